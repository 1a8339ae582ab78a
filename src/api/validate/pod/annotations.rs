//! Annotations that mean something to Kubernetes: older ways to say what now has fields.

use serde_json::Value;

use super::all_containers;
use crate::FieldError;
use crate::meta::ObjectMeta;
use crate::validate::at::{At, Root};

/// Set by kubelets on the pods that stand for those from files.
pub(super) const MIRROR: &str = "kubernetes.io/config.mirror";

const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
/// A container's profile of AppArmor.
pub(super) const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";
const LOCAL: &str = "localhost/";

/// The annotations of a pod or of a template.
pub(super) struct Annotations<'a> {
    place: At<'a>,
    /// Those of an object stand beside its tree.
    meta: Option<&'a ObjectMeta>,
}

impl<'a> Annotations<'a> {
    pub(super) fn of_object(object: Root<'a>) -> Self {
        Self { place: object.meta_field("annotations"), meta: Some(object.meta()) }
    }

    pub(super) fn of_template(place: At<'a>) -> Self {
        Self { place, meta: None }
    }

    fn each(&self, mut check: impl FnMut(&'a str, &'a str)) {
        match self.meta {
            Some(meta) => meta.annotations.iter().for_each(|(key, value)| check(key, value)),
            None => self.place.entries().for_each(|(key, value)| check(key, value.text())),
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<&'a str> {
        match self.meta {
            Some(meta) => meta.annotations.get(key).map(String::as_str),
            None => self.place.map().and_then(|map| map.get(key)).and_then(Value::as_str),
        }
    }

    /// The rules of each; a cost that was accepted before stays accepted.
    pub(super) fn check(&self, spec: At<'_>, old: Option<&Self>) {
        if let (Some(value), true) = (self.get(MIRROR), spec.field("nodeName").is_empty()) {
            self.place
                .key(MIRROR)
                .invalid_value(value, "must set spec.nodeName if mirror pod annotation is set");
        }
        let cost = self.get(DELETION_COST).filter(|cost| !is_cost(cost));
        let was_odd = old.and_then(|old| old.get(DELETION_COST)).is_some_and(|cost| !is_cost(cost));
        if let (Some(cost), false) = (cost, was_odd) {
            self.place.key(DELETION_COST).invalid_value(cost, "must be a 32bit integer");
        }
        self.each(|key, value| {
            if key == SECCOMP_POD || key.starts_with(SECCOMP_CONTAINER) {
                self.seccomp(key, value);
            }
            if let Some(container) = key.strip_prefix(APP_ARMOR) {
                self.app_armor(spec, key, container, value);
            }
        });
    }

    fn seccomp(&self, key: &str, profile: &str) {
        if matches!(profile, "runtime/default" | "docker/default" | "unconfined") {
            return;
        }
        let refuse = |shown: &str, rule: &str| {
            self.place.report(|path| FieldError::invalid(&format!("{path}.{key}"), shown, rule));
        };
        let Some(path) = profile.strip_prefix(LOCAL) else {
            return refuse(profile, "must be a valid seccomp profile");
        };
        if path.starts_with('/') {
            refuse(path, "must be a relative path");
        }
        if path.split('/').any(|part| part == "..") {
            refuse(path, "must not contain '..'");
        }
    }

    fn app_armor(&self, spec: At<'_>, key: &str, container: &str, profile: &str) {
        if !all_containers(spec).any(|known| known.field("name").text() == container) {
            self.place.key(key).invalid_value(container, "container not found");
        }
        if !matches!(profile, "" | "runtime/default" | "unconfined") && !profile.starts_with(LOCAL) {
            let rule = format!("invalid AppArmor profile name: {profile:?}");
            self.place.key(key).invalid_value(profile, &rule);
        }
    }

    /// Seccomp profiles, where fields say them too, say the same.
    pub(super) fn seccomp_match(&self, spec: At<'_>) {
        let defaults = &["runtime/default", "docker/default"];
        let of_pod = spec.field("securityContext").field("seccompProfile");
        if let (true, Some(value)) = (of_pod.is_set(), self.get(SECCOMP_POD)) {
            profiles_match(value, of_pod, of_pod, defaults, "seccomp");
        }
        for container in all_containers(spec) {
            let profile = container.field("securityContext").field("seccompProfile");
            if profile.is_set()
                && let Some(value) = self.of_container(SECCOMP_CONTAINER, container)
            {
                profiles_match(value, profile, profile, defaults, "seccomp");
            }
        }
    }

    /// The same for AppArmor, where a container without a profile has that of the pod.
    pub(super) fn app_armor_match(&self, spec: At<'_>) {
        if spec.field("os").field("name").text() == "windows" {
            return;
        }
        let of_pod = spec.field("securityContext").field("appArmorProfile");
        for container in all_containers(spec) {
            let own = container.field("securityContext").field("appArmorProfile");
            let profile = if own.is_set() { own } else { of_pod };
            if profile.is_set()
                && let Some(value) = self.of_container(APP_ARMOR, container)
            {
                profiles_match(value, profile, own, &["runtime/default"], "apparmor");
            }
        }
    }

    fn of_container(&self, prefix: &str, container: At<'_>) -> Option<&'a str> {
        self.get(&format!("{prefix}{}", container.field("name").text()))
    }

    /// What an update may not do to them.
    pub(super) fn update(&self, old: &Self) {
        let is_app_armor = |key: &str| key.starts_with(APP_ARMOR);
        old.each(|key, value| {
            if self.get(key) == Some(value) {
                return;
            }
            if is_app_armor(key) {
                self.place.key(key).forbidden("may not remove or update AppArmor annotations");
            }
            if key == MIRROR {
                self.place.key(key).forbidden("may not remove or update mirror pod annotation");
            }
        });
        self.each(|key, _| {
            if old.get(key).is_some() {
                return;
            }
            if is_app_armor(key) {
                self.place.key(key).forbidden("may not add AppArmor annotations");
            }
            if key == MIRROR {
                self.place.key(key).forbidden("may not add mirror pod annotation");
            }
        });
    }
}

fn profiles_match(value: &str, profile: At<'_>, place: At<'_>, defaults: &[&str], what: &str) {
    let same_type = match profile.field("type").text() {
        "Unconfined" => value == "unconfined",
        "RuntimeDefault" => defaults.contains(&value),
        "Localhost" => value.starts_with(LOCAL),
        _ => true,
    };
    let path = profile.field("localhostProfile");
    if !same_type {
        place.field("type").forbidden(&format!("{what} type in annotation and field must match"));
    } else if profile.field("type").text() == "Localhost"
        && (!path.is_set() || value.strip_prefix(LOCAL) != Some(path.text()))
    {
        place
            .field("localhostProfile")
            .forbidden(&format!("{what} profile in annotation and field must match"));
    }
}

/// A 32-bit number without a plus sign and without leading zeros.
fn is_cost(text: &str) -> bool {
    let first = text.bytes().next();
    let starts =
        text == "0" || first == Some(b'-') || first.is_some_and(|byte| (b'1'..=b'9').contains(&byte));
    starts && text.parse::<i32>().is_ok()
}
