//! Templates for pods, as they stand in everything that makes pods.

use super::annotations::Annotations;
use super::{Spec, check};
use crate::validate::at::At;
use crate::validate::meta;

/// A template; with the one that it replaces, if there is one.
pub fn template(template: At<'_>, old: Option<At<'_>>) {
    let (metadata, spec) = (template.field("metadata"), template.field("spec"));
    // Errors leave `metadata` out of the path: so does Kubernetes.
    let labels = template.field("labels").with(metadata.field("labels").value());
    labels.labels();
    let place = template.field("annotations").with(metadata.field("annotations").value());
    meta::annotations_of(place);
    let annotations = Annotations::of_template(place);
    let old_annotations = old.map(|old| Annotations::of_template(old.field("metadata").field("annotations")));
    annotations.check(spec, old_annotations.as_ref());
    check(&mut Spec::new(spec, old.map(|old| old.field("spec"))));
    annotations.seccomp_match(spec);
    annotations.app_armor_match(spec);
    if spec.field("ephemeralContainers").count() > 0 {
        spec.field("ephemeralContainers").forbidden("ephemeral containers not allowed in pod template");
    }
}

/// A template whose pods run until they are deleted; `of` is the kind that makes them.
pub fn running(at: At<'_>, old: Option<At<'_>>, of: &str) {
    template(at, old);
    always_restarts(at, of);
}

/// Pods that are replaced when they end must not end by themselves.
pub fn always_restarts(template: At<'_>, of: &str) {
    let (policy, deadline) = (
        template.field("spec").field("restartPolicy"),
        template.field("spec").field("activeDeadlineSeconds"),
    );
    if policy.text() != "Always" {
        policy.not_supported(&["Always"]);
    }
    if deadline.is_set() {
        deadline.forbidden(&format!("activeDeadlineSeconds in {of} is not Supported"));
    }
}
