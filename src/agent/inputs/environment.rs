//! The environment of a container, and what of its command is made with it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, EnvVar, EnvVarSource};

use crate::error::Error;
use crate::expand::expand;
use crate::pod::{PodContext, list};
use crate::{fields, services};

/// The reason of the Event for [`Skipped`].
pub const INVALID_VARIABLE_NAMES: &str = "InvalidEnvironmentVariableNames";

/// The environment of a container. Shown nowhere: it may hold secrets.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment {
    /// Names and values. Those of `envFrom` come first, by key within each source, then those of `env` as
    /// declared, then those of Services. No name stands twice.
    pub variables: Vec<(String, String)>,
    /// What `envFrom` would have added under names that are none.
    pub skipped: Vec<Skipped>,
    /// Where each name stands in `variables`.
    places: BTreeMap<String, usize>,
}

/// Keys of one source that can be no names of variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// `configMap` or `secret`.
    pub kind: &'static str,
    /// The object as namespace/name.
    pub object: String,
    /// The keys, with the prefix.
    pub keys: Vec<String>,
}

impl std::fmt::Display for Skipped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { kind, object, keys } = self;
        write!(
            f,
            "Keys [{}] from the EnvFrom {kind} {object} were skipped since they are considered invalid environment variable names.",
            keys.join(", ")
        )
    }
}

impl Environment {
    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&str> {
        let place = self.places.get(name)?;
        Some(self.variables[*place].1.as_str())
    }

    /// A later value replaces an earlier one where that stands.
    fn set(&mut self, name: &str, value: String) {
        match self.places.get(name) {
            Some(place) => self.variables[*place].1 = value,
            None => {
                self.places.insert(name.to_owned(), self.variables.len());
                self.variables.push((name.to_owned(), value));
            }
        }
    }

    /// What `envFrom` adds from one object.
    fn add_all<'k>(
        &mut self,
        kind: &'static str,
        object: String,
        prefix: &str,
        entries: impl Iterator<Item = (&'k String, String)>,
    ) {
        let mut keys = Vec::new();
        for (key, value) in entries {
            let name = format!("{prefix}{key}");
            if is_variable_name(&name) {
                self.set(&name, value);
            } else {
                keys.push(name);
            }
        }
        if !keys.is_empty() {
            self.skipped.push(Skipped { kind, object, keys });
        }
    }
}

/// Since 1.34 a name may be anything printable of ASCII but the sign that ends it.
fn is_variable_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'=')
}

/// The environment of a container of the pod. An ephemeral container is handed in as a container with the
/// same fields.
///
/// # Errors
/// An object or key is missing that is not optional, or a field or resource is none that pods have.
pub fn environment(context: &PodContext<'_>, container: &Container) -> Result<Environment, Error> {
    let links = context.pod.spec.as_ref().and_then(|spec| spec.enable_service_links).unwrap_or(true);
    let of_services = services::variables(context.services, context.namespace(), links);
    let mut made = Environment::default();
    add_sources(context, container, &mut made)?;
    for variable in list(container.env.as_ref()) {
        let literal = variable.value.as_deref().filter(|value| !value.is_empty());
        let value = match (literal, &variable.value_from) {
            (Some(text), _) => Some(expand(text, |name| {
                made.get(name).or_else(|| of_services.get(name).map(String::as_str)).map(str::to_owned)
            })),
            (None, Some(source)) => value_from(context, container, variable, source)?,
            (None, None) => Some(String::new()),
        };
        if let Some(value) = value {
            made.set(&variable.name, value);
        }
    }
    for (name, value) in of_services {
        if made.get(&name).is_none() {
            made.set(&name, value);
        }
    }
    Ok(made)
}

fn add_sources(context: &PodContext<'_>, container: &Container, made: &mut Environment) -> Result<(), Error> {
    let namespace = context.namespace();
    for from in list(container.env_from.as_ref()) {
        let prefix = from.prefix.as_deref().unwrap_or_default();
        if let Some(source) = &from.config_map_ref {
            let found = context.objects.config_map(&source.name, source.optional)?;
            let data = found.and_then(|object| object.data.as_ref()).into_iter().flatten();
            let entries = data.map(|(key, value)| (key, value.clone()));
            made.add_all("configMap", format!("{namespace}/{}", source.name), prefix, entries);
        } else if let Some(source) = &from.secret_ref {
            let found = context.objects.secret(&source.name, source.optional)?;
            let data = found.and_then(|object| object.data.as_ref()).into_iter().flatten();
            let entries = data.map(|(key, value)| (key, text(&value.0)));
            made.add_all("secret", format!("{namespace}/{}", source.name), prefix, entries);
        }
    }
    Ok(())
}

/// The value that a variable takes from elsewhere; nothing where it may be missing and is.
fn value_from(
    context: &PodContext<'_>,
    container: &Container,
    variable: &EnvVar,
    source: &EnvVarSource,
) -> Result<Option<String>, Error> {
    if let Some(field) = &source.field_ref {
        return fields::of_variable(field, context).map(Some);
    }
    if let Some(field) = &source.resource_field_ref {
        return fields::resource_of_variable(field, container, context).map(Some);
    }
    let (found, kind, name, key, optional) = if let Some(from) = &source.config_map_key_ref {
        let object = context.objects.config_map(&from.name, from.optional)?;
        let value = object.and_then(|object| object.data.as_ref()?.get(&from.key)).cloned();
        (value, "ConfigMap", &from.name, &from.key, from.optional)
    } else if let Some(from) = &source.secret_key_ref {
        let object = context.objects.secret(&from.name, from.optional)?;
        let value =
            object.and_then(|object| object.data.as_ref()?.get(&from.key)).map(|value| text(&value.0));
        (value, "Secret", &from.name, &from.key, from.optional)
    } else {
        return Err(Error::VariableSource(variable.name.clone()));
    };
    if found.is_none() && optional != Some(true) {
        let (key, namespace, name) = (key.clone(), context.namespace().to_owned(), name.clone());
        return Err(Error::NoSuchKey { key, kind, namespace, name });
    }
    Ok(found)
}

/// Container engines take text only.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The command and the arguments of a container, with its variables put in.
pub fn command(container: &Container, environment: &Environment) -> (Vec<String>, Vec<String>) {
    let expanded = |texts: Option<&Vec<String>>| {
        let texts = list(texts).iter();
        texts.map(|text| expand(text, |name| environment.get(name).map(str::to_owned))).collect()
    };
    (expanded(container.command.as_ref()), expanded(container.args.as_ref()))
}
