//! Which objects a pod needs before its containers can be given anything.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Pod, VolumeProjection};

use crate::pod::{AnyContainer, containers, list, mounted_volumes};

/// Objects of the pod's namespace, by name; true where the pod can do without each of its uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct References {
    /// The ConfigMaps.
    pub config_maps: BTreeMap<String, bool>,
    /// The Secrets, those for pulling images among them: a pod can always do without those.
    pub secrets: BTreeMap<String, bool>,
}

/// The objects that the containers and mounted volumes of a pod take something from.
pub fn references(pod: &Pod) -> References {
    let mut found = References::default();
    let Some(spec) = &pod.spec else { return found };
    for container in containers(spec) {
        of_container(&container, &mut found);
    }
    for volume in mounted_volumes(spec) {
        if let Some(source) = &volume.config_map {
            note(&mut found.config_maps, &source.name, source.optional);
        }
        if let Some((source, name)) =
            volume.secret.as_ref().and_then(|source| Some((source, source.secret_name.as_ref()?)))
        {
            note(&mut found.secrets, name, source.optional);
        }
        let projected = volume.projected.as_ref().and_then(|source| source.sources.as_ref());
        for source in list(projected) {
            of_projection(source, &mut found);
        }
    }
    for secret in list(spec.image_pull_secrets.as_ref()) {
        note(&mut found.secrets, &secret.name, Some(true));
    }
    found
}

fn of_container(container: &AnyContainer<'_>, found: &mut References) {
    for from in container.env_from {
        if let Some(source) = &from.config_map_ref {
            note(&mut found.config_maps, &source.name, source.optional);
        }
        if let Some(source) = &from.secret_ref {
            note(&mut found.secrets, &source.name, source.optional);
        }
    }
    for from in container.env.iter().filter_map(|variable| variable.value_from.as_ref()) {
        if let Some(source) = &from.config_map_key_ref {
            note(&mut found.config_maps, &source.name, source.optional);
        }
        if let Some(source) = &from.secret_key_ref {
            note(&mut found.secrets, &source.name, source.optional);
        }
    }
}

fn of_projection(source: &VolumeProjection, found: &mut References) {
    if let Some(source) = &source.config_map {
        note(&mut found.config_maps, &source.name, source.optional);
    }
    if let Some(source) = &source.secret {
        note(&mut found.secrets, &source.name, source.optional);
    }
}

fn note(objects: &mut BTreeMap<String, bool>, name: &str, optional: Option<bool>) {
    let optional = optional == Some(true);
    objects.entry(name.to_owned()).and_modify(|all| *all &= optional).or_insert(optional);
}
