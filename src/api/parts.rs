//! Parts of objects that are written under paths of their own: `status`, and those of some kinds.
//!
//! A write of a part leaves everything else as it is, and a write of the object leaves the parts as they are.

mod pod;

use serde_json::Value;

use crate::kinds::{certificate_signing_request, namespace};
use crate::meta::ObjectMeta;
use crate::object::Object;
use crate::resource::Resource;
use crate::validate::at::Root;

/// One part.
#[derive(Debug)]
pub struct Part {
    /// API group, kind and subresource.
    pub of: [&'static str; 3],
    /// Puts back in the new object what is not of the part.
    pub prepare: fn(new: &mut Object, old: &Object, resource: &Resource),
    /// The rules of the change: new, old.
    pub validate: fn(new: Root<'_>, old: Root<'_>, resource: &Resource),
}

/// `status`.
static STATUS: Part = Part {
    of: ["", "", "status"],
    prepare: |new, old, resource| {
        keep_all_but(new, old, &["status"]);
        if keeps_metadata(resource) {
            new.meta = ObjectMeta {
                resource_version: std::mem::take(&mut new.meta.resource_version),
                managed_fields: std::mem::take(&mut new.meta.managed_fields),
                ..old.meta.clone()
            };
        }
        (resource.strategy().prepare_status)(new, old);
    },
    validate: |new, old, resource| (resource.strategy().validate_status)(new, old),
};

/// All others.
static PARTS: &[Part] = &[
    Part {
        of: ["", "Namespace", "finalize"],
        prepare: |new, old, _| keep_all_but(new, old, &["spec"]),
        validate: |new, _, _| namespace::validate_finalizers(new),
    },
    pod::EPHEMERAL_CONTAINERS,
    pod::RESIZE,
    Part {
        of: ["certificates.k8s.io", "CertificateSigningRequest", "approval"],
        prepare: |new, old, _| keep_all_but_status(new, old, &["conditions"]),
        validate: |new, old, _| certificate_signing_request::validate_approval(new, old),
    },
];

/// Kinds of which a write of `status` leaves the metadata alone, too.
const METADATA_KEPT: &[(&str, &str)] = &[
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"),
    ("apiregistration.k8s.io", "APIService"),
    ("certificates.k8s.io", "PodCertificateRequest"),
    ("flowcontrol.apiserver.k8s.io", "FlowSchema"),
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"),
    ("networking.k8s.io", "ServiceCIDR"),
    ("resource.k8s.io", "DeviceTaintRule"),
    ("resource.k8s.io", "ResourceClaim"),
    ("storage.k8s.io", "CSINode"),
    ("storage.k8s.io", "VolumeAttachment"),
    ("storagemigration.k8s.io", "StorageVersionMigration"),
];

/// Whether a write of `status` leaves the metadata alone, too.
pub(crate) fn keeps_metadata(resource: &Resource) -> bool {
    resource.custom.is_some() || resource.is_one_of(METADATA_KEPT)
}

/// The part of a resource's objects that is written under this name, if it is one.
pub fn find(resource: &Resource, name: &str) -> Option<&'static Part> {
    resource.subresource(name)?;
    let own = PARTS.iter().find(|part| part.of == [&*resource.group, &*resource.kind, name]);
    own.or((name == "status").then_some(&STATUS))
}

/// Puts a field back as it was.
pub fn keep(new: &mut Object, old: &Object, field: &str) {
    match old.fields.get(field) {
        Some(value) => new.fields.insert(field.into(), value.clone()),
        None => new.fields.shift_remove(field),
    };
}

/// Puts back all fields but these.
fn keep_all_but(new: &mut Object, old: &Object, fields: &[&str]) {
    let mut given = std::mem::take(&mut new.fields);
    let kept = old.fields.iter().filter(|(name, _)| !fields.contains(&&***name));
    new.fields = kept.map(|(name, value)| (name.clone(), value.clone())).collect();
    for field in fields {
        new.fields.extend(given.shift_remove_entry(*field));
    }
}

/// Puts back everything but these members of the status.
fn keep_all_but_status(new: &mut Object, old: &Object, members: &[&str]) {
    let given = new.fields.shift_remove("status").unwrap_or_default();
    new.fields.clone_from(&old.fields);
    let status = new.fields.entry("status").or_insert_with(|| Value::Object(serde_json::Map::new()));
    let Some(status) = status.as_object_mut() else { return };
    for member in members {
        match given.get(*member) {
            Some(value) => status.insert((*member).to_owned(), value.clone()),
            None => status.shift_remove(*member),
        };
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{validate, write};

    /// What is stored, or what is wrong.
    fn changed(row: &Resource, part: &str, old: Value, new: Value) -> Result<Value, Vec<String>> {
        let part = find(row, part).expect("served");
        let read = |tree: Value| Object::from_tree(tree, row).expect("conforms").0;
        let (mut new, old) = (read(new), read(old));
        write::update_part(&mut new, &old, row, part);
        let errors = validate::update_part(&new, &old, row, part);
        new.meta.creation_timestamp = "2026-01-01T00:00:00Z".to_owned();
        match errors.as_slice() {
            [] => Ok(serde_json::from_slice(&new.prepare(row).body).expect("JSON")),
            errors => Err(errors.iter().map(ToString::to_string).collect()),
        }
    }

    #[test]
    fn a_status_leaves_metadata_alone_for_some_kinds() {
        let write = |group: &str, plural: &str| {
            let row = Resource::builtin(group, "v1", plural);
            let old = json!({"metadata": {"name": "a", "labels": {"a": "b"}}, "spec": {}});
            let new = json!({"metadata": {"name": "a"}, "status": {"conditions": []}});
            changed(&row, "status", old, new).expect("allowed")["metadata"]["labels"].clone()
        };
        assert_eq!(write("flowcontrol.apiserver.k8s.io", "flowschemas"), json!({"a": "b"}));
        assert_eq!(write("networking.k8s.io", "servicecidrs"), json!({"a": "b"}));
        assert_eq!(write("networking.k8s.io", "ingresses"), Value::Null);
    }

    #[test]
    fn statuses_of_pods() {
        let pod = |status: Value| {
            json!({"metadata": {"name": "a", "namespace": "b"}, "status": status, "spec": {"containers": [
                {"name": "c", "resources": {"requests": {"example.com/gpu": "1"}, "claims": [{"name": "d", "request": "e"}]}},
            ]}})
        };
        let row = Resource::builtin("", "v1", "pods");
        let wrong =
            |status: Value| changed(&row, "status", pod(json!({})), pod(status)).err().unwrap_or_default();
        let got = |list: &str, name: &str, health: &str| {
            let resources = json!([{"resourceID": "x", "health": health}]);
            json!({list: [{"name": "c", "allocatedResourcesStatus": [{"name": name, "resources": resources}]}]})
        };
        for name in ["example.com/gpu", "claim:d/e"] {
            assert_eq!(wrong(got("containerStatuses", name, "Healthy")), [""; 0]);
        }
        let cases = [
            (
                got("containerStatuses", "cpu", "Healthy"),
                "status.containerStatuses[0].allocatedResourcesStatus[0].name: Invalid value: \"cpu\": must match one of the container's resource requests",
            ),
            (
                got("containerStatuses", "claim:d", "Healthy"),
                "status.containerStatuses[0].allocatedResourcesStatus[0].name: Invalid value: \"claim:d\": must match one of the container's resource claims as 'claim:<claimName>/<requestName>' when container.resources.claims[*].request is set or 'claim:<claimName>' when it is empty",
            ),
            (
                got("initContainerStatuses", "claim:d", "Odd"),
                "status.initContainerStatuses[0].allocatedResourcesStatus[0].resources[0].health: Unsupported value: \"Odd\": supported values: \"Healthy\", \"Unhealthy\", \"Unknown\"",
            ),
            (
                got("ephemeralContainerStatuses", "claim:d", "Odd"),
                "status.ephemeralContainerStatuses[0].allocatedResourcesStatus: Forbidden: must not be specified in container status",
            ),
            (
                json!({"extendedResourceClaimStatus": {"resourceClaimName": "a", "requestMappings": []}}),
                "status.extendedResourceClaimStatus.requestMappings: Required value: at least one request mapping is required",
            ),
        ];
        for (status, expect) in cases {
            assert_eq!(wrong(status), [expect]);
        }
        let health = json!({"volumeHealth": [{"name": "a"}]});
        let stored = changed(&row, "status", pod(json!({})), pod(health)).expect("allowed");
        assert_eq!(stored["status"].get("volumeHealth"), None, "that feature is off");
    }

    #[test]
    fn a_resize_adds_no_empty_resources_to_a_pod() {
        let pod = |resources: Value| {
            let mut pod = json!({"metadata": {"name": "a", "namespace": "b"}, "spec": {"containers": [
                {"name": "c", "image": "d", "terminationMessagePolicy": "File", "imagePullPolicy": "Always"},
            ], "restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "terminationGracePeriodSeconds": 30}, "status": {"qosClass": "BestEffort"}});
            if !resources.is_null() {
                pod["spec"]["resources"] = resources;
            }
            pod
        };
        let wrong = changed(&Resource::builtin("", "v1", "pods"), "resize", pod(Value::Null), pod(json!({})));
        assert_eq!(wrong, Err(vec!["spec: Forbidden: only cpu and memory resources are mutable".to_owned()]));
    }
}
