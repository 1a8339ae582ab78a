//! What a command line is about: words and files become objects to ask for.

use std::sync::Arc;

use http::Method;
use serde_json::{Map, Value, json};

use crate::catalog::Kind;
use crate::failure::Failure;
use crate::flags::{Files, Select};
use crate::manifest;
use crate::server::{Call, Server};

/// How many objects one page of a list has.
const PAGE: &str = "500";

/// An object, or all objects of a kind.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its kind.
    pub kind: Arc<Kind>,
    /// Where; empty: in all namespaces, or in none.
    pub namespace: String,
    /// Its name; empty: all of them.
    pub name: String,
    /// As a file has it, or as a list told it.
    pub object: Option<Value>,
    /// The file.
    pub source: String,
}

impl Target {
    /// All objects of a kind in a namespace; empty: in all of them.
    pub fn all(kind: &Arc<Kind>, namespace: &str) -> Self {
        Self {
            kind: Arc::clone(kind),
            namespace: namespace.to_owned(),
            name: String::new(),
            object: None,
            source: String::new(),
        }
    }

    /// Where it stands.
    pub fn path(&self) -> String {
        self.kind.path(&self.namespace, &self.name)
    }

    /// Where a part of it stands; empty: the whole.
    pub fn path_of(&self, subresource: &str) -> String {
        let slash = if subresource.is_empty() { "" } else { "/" };
        format!("{}{slash}{subresource}", self.path())
    }

    /// Where its like are created.
    pub fn collection(&self) -> String {
        self.kind.path(&self.namespace, "")
    }

    /// `deployment.apps/web`
    pub fn printed(&self) -> String {
        self.kind.printed(&self.name)
    }

    /// As the server has it now.
    ///
    /// # Errors
    /// When it does not tell.
    pub async fn read(&self, server: &Server) -> Result<Value, Failure> {
        server.json(Call::get(self.path())).await
    }

    /// The same; `None` where there is no such object.
    ///
    /// # Errors
    /// When the server does not tell.
    pub async fn read_if_there(&self, server: &Server) -> Result<Option<Value>, Failure> {
        match self.read(server).await {
            Ok(object) => Ok(Some(object)),
            Err(failure) if failure.is("NotFound") => Ok(None),
            Err(failure) => Err(failure),
        }
    }
}

/// What a verb was given.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// TYPE NAME..., TYPE/NAME...
    pub words: &'a [String],
    /// Files.
    pub files: &'a Files,
    /// Which of a type.
    pub select: &'a Select,
    /// Whether all objects of a type were asked for.
    pub all: bool,
}

/// Objects, on the command line of a verb that takes many.
#[derive(clap::Args, Debug)]
pub struct Objects {
    /// TYPE NAME..., TYPE/NAME..., or a TYPE with -l or --all.
    words: Vec<String>,
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    select: Select,
    /// All objects of the type.
    #[arg(long)]
    all: bool,
}

impl Objects {
    /// The same, to look for.
    pub fn given(&self) -> Given<'_> {
        Given { words: &self.words, files: &self.files, select: &self.select, all: self.all }
    }
}

/// What the words and files mean. Targets without a name stand for all objects of their kind.
///
/// # Errors
/// When they mean nothing.
pub fn resolve(given: Given<'_>, server: &Server) -> Result<Vec<Target>, Failure> {
    if !given.files.names.is_empty() {
        if !given.words.is_empty() || given.all {
            return Err(Failure::Usage("when files are given with -f, no types or names may be".to_owned()));
        }
        let documents = manifest::read(given.files)?;
        return documents.into_iter().map(|document| of_document(document, server)).collect();
    }
    let mut targets = Vec::new();
    for (types, name) in pairs(given.words)? {
        let kinds = server.catalog.find_all(&types)?;
        if name.is_some() && given.select.is_given() {
            return Err(Failure::Usage(
                "a name and a selector were given: which of them is meant?".to_owned(),
            ));
        }
        if name.is_some() && given.all {
            return Err(Failure::Usage("a name and --all were given: which of them is meant?".to_owned()));
        }
        if name.is_some() && given.select.all_namespaces {
            return Err(Failure::Usage(
                "a resource cannot be retrieved by name across all namespaces".to_owned(),
            ));
        }
        targets.extend(kinds.into_iter().map(|kind| Target {
            namespace: match kind.namespaced && !given.select.all_namespaces {
                true => server.namespace.clone(),
                false => String::new(),
            },
            name: name.clone().unwrap_or_default(),
            object: None,
            source: String::new(),
            kind,
        }));
    }
    Ok(targets)
}

/// The same; targets without a name are replaced by the objects that there are.
///
/// # Errors
/// When they mean nothing, and when neither a name nor a selector nor --all says which objects.
pub async fn objects(given: Given<'_>, server: &Server) -> Result<Vec<Target>, Failure> {
    let mut targets = Vec::new();
    for target in resolve(given, server)? {
        if !target.name.is_empty() {
            targets.push(target);
        } else if given.select.is_given() || given.all {
            targets.extend(listed(server, &target, given.select).await?);
        } else {
            return Err(Failure::Usage(
                "resource(s) were provided, but no name was specified: add names, a selector (-l) or --all"
                    .to_owned(),
            ));
        }
    }
    Ok(targets)
}

/// The objects that a target without a name stands for, each by its name.
///
/// # Errors
/// When the server does not tell.
pub async fn listed(server: &Server, all: &Target, select: &Select) -> Result<Vec<Target>, Failure> {
    let of = |object: Value| {
        let all = Target::all(&all.kind, manifest::namespace(&object));
        Target { name: manifest::name(&object).to_owned(), object: Some(object), ..all }
    };
    Ok(list(server, all, select).await?.into_iter().map(of).collect())
}

/// All objects that a target without a name stands for.
///
/// # Errors
/// When the server does not tell.
pub async fn list(server: &Server, target: &Target, select: &Select) -> Result<Vec<Value>, Failure> {
    let mut objects = Vec::new();
    let mut next = String::new();
    loop {
        let call = Call::get(target.collection())
            .with("labelSelector", &select.labels)
            .with("fieldSelector", &select.fields)
            .with("limit", PAGE)
            .with("continue", next);
        let mut page = server.json(call).await?;
        let items = page["items"].as_array_mut().map(std::mem::take).unwrap_or_default();
        objects.extend(items.into_iter().map(|item| typed(item, &target.kind)));
        next = manifest::text(&page, "/metadata/continue").to_owned();
        if next.is_empty() {
            return Ok(objects);
        }
    }
}

/// Items of a list do not say what they are.
pub fn typed(object: Value, kind: &Kind) -> Value {
    let Value::Object(members) = object else { return object };
    let mut whole = Map::new();
    whole.insert("apiVersion".to_owned(), json!(kind.api_version()));
    whole.insert("kind".to_owned(), json!(kind.kind));
    whole.extend(members);
    whole.into()
}

fn of_document(document: manifest::Document, server: &Server) -> Result<Target, Failure> {
    let manifest::Document { mut object, source } = document;
    let known =
        server.catalog.of_object(manifest::text(&object, "/apiVersion"), manifest::text(&object, "/kind"));
    let kind = known.map_err(|failure| {
        let name = manifest::name(&object);
        failure.doing(&format!("resource mapping not found for name: \"{name}\" from \"{source}\""))
    })?;
    let its = manifest::namespace(&object).to_owned();
    if kind.namespaced && server.is_namespace_given && !its.is_empty() && its != server.namespace {
        return Err(Failure::Refused(format!(
            "the namespace from the provided object \"{its}\" does not match the namespace \"{}\". You must pass \
             '--namespace={its}' to perform this operation.",
            server.namespace
        )));
    }
    let namespace = match (kind.namespaced, its.is_empty()) {
        (false, _) => String::new(),
        (true, false) => its,
        (true, true) => server.namespace.clone(),
    };
    if kind.namespaced && object["metadata"].is_object() {
        object["metadata"]["namespace"] = json!(namespace);
    }
    let name = manifest::name(&object).to_owned();
    Ok(Target { kind, namespace, name, object: Some(object), source })
}

/// Types and names, from TYPE NAME..., TYPE,TYPE and TYPE/NAME....
fn pairs(words: &[String]) -> Result<Vec<(String, Option<String>)>, Failure> {
    let Some(first) = words.first() else {
        return Err(Failure::Usage(
            "You must specify the type of resource. Use `kctl api-resources` for a complete list of supported \
             resources."
                .to_owned(),
        ));
    };
    if words.iter().any(|word| word.contains('/')) {
        let pair = |word: &String| match word.split_once('/') {
            Some((kind, name)) if !kind.is_empty() && !name.is_empty() && !name.contains('/') => {
                Ok((kind.to_owned(), Some(name.to_owned())))
            }
            _ => Err(Failure::Usage(format!(
                "{word}: among arguments of the form TYPE/NAME each must be one; write `{first}`, or TYPE NAME..."
            ))),
        };
        return words.iter().map(pair).collect();
    }
    match &words[1..] {
        [] => Ok(vec![(first.clone(), None)]),
        names => Ok(names.iter().map(|name| (first.clone(), Some(name.clone()))).collect()),
    }
}

/// Sends an object to be created.
///
/// # Errors
/// When it is refused.
pub async fn create(
    server: &Server,
    target: &Target,
    object: &Value,
    query: &[(&'static str, &str)],
) -> Result<Value, Failure> {
    let call = Call::new(Method::POST, target.collection()).body("application/json", object);
    let call = query.iter().fold(call, |call, (name, value)| call.with(name, *value));
    server.json(call).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_types_and_names() {
        type Pairs<'p> = Option<&'p [(&'p str, &'p str)]>;
        let cases: &[(&str, Pairs<'_>)] = &[
            ("pods", Some(&[("pods", "")])),
            ("pods,svc", Some(&[("pods,svc", "")])),
            ("pods a b", Some(&[("pods", "a"), ("pods", "b")])),
            ("pod/a svc/b", Some(&[("pod", "a"), ("svc", "b")])),
            ("pod/a b", None),
            ("pods pod/a", None),
            ("pod/", None),
            ("", None),
        ];
        for (line, expected) in cases {
            let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            let found = pairs(&words).ok();
            let expected = expected.map(|pairs| {
                let pair = |(kind, name): &(&str, &str)| {
                    ((*kind).to_owned(), Some((*name).to_owned()).filter(|name| !name.is_empty()))
                };
                pairs.iter().map(pair).collect::<Vec<_>>()
            });
            assert_eq!(found, expected, "{line}");
        }
    }
}
