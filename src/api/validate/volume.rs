//! Volumes that outlive pods: the spec of a PersistentVolume.

use super::at::At;
use super::claim;
use super::pod::paths::no_backsteps;
use super::pod::scheduling::node_selector;
use super::pod::volumes::{check_source, csi_driver};
use super::text;
use crate::names;
use crate::quantity::Quantity;

const INLINE: &str = "may not be specified in the context of inline volumes";
const ISCSI_NAME_BYTES_MAX: usize = 64;

/// Sources that can be mounted with options.
pub const WITH_MOUNT_OPTIONS: &[&str] = &[
    "awsElasticBlockStore",
    "azureDisk",
    "azureFile",
    "cephfs",
    "cinder",
    "gcePersistentDisk",
    "glusterfs",
    "iscsi",
    "nfs",
    "photonPersistentDisk",
    "quobyte",
    "rbd",
    "vsphereVolume",
];

/// One kind of source: its field, what errors within call it, what an error about a second source calls it, and what it
/// needs beside what it needs in a pod.
type Source = (&'static str, &'static str, &'static str, Rules);

enum Rules {
    /// As in a pod.
    Shared,
    Own(fn(At<'_>)),
}

/// In the order in which Kubernetes looks at them: the first one counts.
static SOURCES: &[Source] = &[
    ("hostPath", "hostPath", "hostPath", Rules::Shared),
    ("gcePersistentDisk", "persistentDisk", "gcePersistentDisk", Rules::Shared),
    ("awsElasticBlockStore", "awsElasticBlockStore", "awsElasticBlockStore", Rules::Shared),
    ("glusterfs", "glusterfs", "glusterfs", Rules::Own(glusterfs)),
    ("flocker", "flocker", "flocker", Rules::Shared),
    ("nfs", "nfs", "nfs", Rules::Shared),
    ("rbd", "rbd", "rbd", Rules::Shared),
    ("quobyte", "quobyte", "quobyte", Rules::Shared),
    ("cephfs", "cephfs", "cephFS", Rules::Shared),
    ("iscsi", "iscsi", "iscsi", Rules::Own(iscsi)),
    ("cinder", "cinder", "cinder", Rules::Own(cinder)),
    ("fc", "fc", "fc", Rules::Shared),
    ("flexVolume", "flexVolume", "flexVolume", Rules::Shared),
    ("azureFile", "azureFile", "azureFile", Rules::Own(azure_file)),
    ("vsphereVolume", "vsphereVolume", "vsphereVolume", Rules::Shared),
    ("photonPersistentDisk", "photonPersistentDisk", "photonPersistentDisk", Rules::Shared),
    ("portworxVolume", "portworxVolume", "portworxVolume", Rules::Shared),
    ("azureDisk", "azureDisk", "azureDisk", Rules::Shared),
    ("scaleIO", "scaleIO", "scaleIO", Rules::Shared),
    ("local", "local", "local", Rules::Own(local)),
    ("storageos", "storageos", "storageos", Rules::Own(storage_os)),
    ("csi", "csi", "csi", Rules::Own(csi)),
];

/// Whether a field of the spec names a source.
pub fn is_source(field: &str) -> bool {
    SOURCES.iter().any(|(source, ..)| *source == field)
}

/// A spec; with `inline`, one that stands in an attachment and not in a volume.
pub fn spec(spec: At<'_>, name: &str, inline: bool) {
    if inline {
        not_inline(spec, &["claimRef", "capacity"]);
        if !spec.field("csi").is_set() {
            spec.field("csi").required("has to be specified in the context of inline volumes");
        }
    }
    claim::access_modes(spec.field("accessModes"), "");
    if !inline {
        capacity(spec.field("capacity"));
    }
    reclaim_policy(spec.field("persistentVolumeReclaimPolicy"), inline);
    if inline {
        not_inline(spec, &["nodeAffinity"]);
    } else {
        node_affinity(spec.field("nodeAffinity"));
    }
    sources(spec, name);
    if spec.field("local").is_set()
        && !spec.field("nodeAffinity").is_set()
        && first_source(spec) == Some("local")
    {
        spec.field("nodeAffinity").required("Local volume requires node affinity");
    }
    rest(spec, inline);
}

fn not_inline(spec: At<'_>, fields: &[&'static str]) {
    for field in fields.iter().map(|field| spec.field(field)) {
        if field.is_set() && !(field.is_empty() && field.map().is_none()) {
            field.forbidden(INLINE);
        }
    }
}

fn reclaim_policy(policy: At<'_>, inline: bool) {
    match policy.text() {
        "" => {}
        "Retain" if inline => {}
        _ if inline => policy.forbidden("may only be Retain in the context of inline volumes"),
        _ => policy.one_of(&["Delete", "Recycle", "Retain"]),
    }
}

fn node_affinity(affinity: At<'_>) {
    let required = affinity.field("required");
    if required.is_set() {
        node_selector(required);
    } else if affinity.is_set() {
        required.required("must specify required node constraints");
    }
}

fn capacity(capacity: At<'_>) {
    if capacity.count() == 0 {
        capacity.required("");
    }
    if capacity.count() != 1 || !capacity.field("storage").is_set() {
        let mut shown = capacity.value().cloned().unwrap_or_default();
        if let Some(amounts) = shown.as_object_mut() {
            amounts.sort_keys();
        }
        capacity.report(|path| crate::FieldError::not_supported(path, shown, &["storage"]));
    }
    for (_, amount) in capacity.entries() {
        let Some(given) = amount.quantity() else { continue };
        if given < Quantity::ZERO {
            let shown = i64::try_from(given.in_units(0)).unwrap_or(i64::MIN);
            amount.invalid_value(shown, "must be a valid resource quantity");
        }
        if given <= Quantity::ZERO {
            amount.invalid("must be greater than zero");
        }
    }
}

fn first_source(spec: At<'_>) -> Option<&'static str> {
    SOURCES.iter().map(|(field, ..)| *field).find(|field| spec.field(field).is_set())
}

fn sources(spec: At<'_>, name: &str) {
    let first = first_source(spec);
    if first.is_none() {
        spec.required("must specify a volume type");
    }
    for (field, called, second, rules) in SOURCES {
        let given = spec.field(field);
        if !given.is_set() {
            continue;
        }
        // Nobody looks whether this one is the second.
        if first != Some(field) && *field != "flexVolume" {
            spec.field(second).forbidden("may not specify more than 1 volume type");
            continue;
        }
        let place = spec.field(called).with(given.value());
        match rules {
            Rules::Shared => check_source(field, place),
            Rules::Own(rules) => rules(place),
        }
        if *field == "iscsi" {
            iscsi_name(place, name);
        }
    }
}

fn rest(spec: At<'_>, inline: bool) {
    let (policy, mode, class) = (
        spec.field("persistentVolumeReclaimPolicy"),
        spec.field("volumeMode"),
        spec.field("storageClassName"),
    );
    if policy.text() == "Recycle" && is_root(spec.field("hostPath")) {
        policy.forbidden("may not be 'recycle' for a hostPath mount of '/'");
    }
    if inline {
        not_inline(spec, &["storageClassName"]);
        if mode.is_set() && mode.text() != "Filesystem" {
            mode.forbidden(
                "may not specify volumeMode other than Filesystem in the context of inline volumes",
            );
        }
    } else {
        if !class.is_empty() {
            class.check_name(names::dns_subdomain);
        }
        if mode.is_set() {
            mode.one_of(&["Block", "Filesystem"]);
        }
    }
    let attributes = spec.field("volumeAttributesClassName");
    if attributes.is_set() && !inline {
        if attributes.is_empty() {
            attributes.required("an empty string is disallowed");
        } else {
            attributes.check_name(names::dns_subdomain);
        }
        if !spec.field("csi").is_set() {
            spec.field("csi").required("has to be specified when using volumeAttributesClassName");
        }
    }
}

/// Whether a path leads to the root of its host, however it is written.
fn is_root(host: At<'_>) -> bool {
    let path = host.field("path").text();
    let depth = path.split('/').fold(0_usize, |depth, step| match step {
        "" | "." => depth,
        ".." => depth.saturating_sub(1),
        _ => depth + 1,
    });
    path.starts_with('/') && depth == 0
}

fn secret(reference: At<'_>) {
    if reference.is_set() {
        reference.field("name").require_name(names::dns_subdomain);
        reference.field("namespace").require_name(names::dns_label);
    }
}

/// A reference whose parts need only be there.
fn named_secret(reference: At<'_>) {
    if reference.is_set() {
        reference.field("name").require_text();
        reference.field("namespace").require_text();
    }
}

fn glusterfs(source: At<'_>) {
    source.field("endpoints").require_text();
    source.field("path").require_text();
    let namespace = source.field("endpointsNamespace");
    match namespace.text() {
        "" if namespace.is_set() => {
            namespace.invalid("if the endpointnamespace is set, it must be a valid namespace name");
        }
        "" => {}
        _ => namespace.check_name(names::dns_label),
    }
}

fn iscsi(source: At<'_>) {
    source.field("targetPortal").require_text();
    let (iqn, lun, initiator) = (source.field("iqn"), source.field("lun"), source.field("initiatorName"));
    if iqn.require_text() && !super::pod::volumes::is_initiator(iqn.text()) {
        iqn.invalid("must be valid format");
    }
    if !(0..=255).contains(&lun.number()) {
        lun.invalid(&text::range(0, 255));
    }
    let secret = source.field("secretRef");
    let asks = source.field("chapAuthDiscovery").is_true() || source.field("chapAuthSession").is_true();
    if secret.is_set() {
        secret.field("name").require_text();
    } else if asks {
        secret.required("");
    }
    if initiator.is_set() && !super::pod::volumes::is_initiator(initiator.text()) {
        source.field("initiatorname").with(initiator.value()).invalid("must be valid format");
    }
}

fn iscsi_name(source: At<'_>, name: &str) {
    const RULE: &str = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.";
    let portal = source.field("targetPortal").text();
    if source.field("initiatorName").is_set() && name.len() + 1 + portal.len() > ISCSI_NAME_BYTES_MAX {
        source.field("targetportal").invalid_value(portal, RULE);
    }
}

fn cinder(source: At<'_>) {
    source.field("volumeID").require_text();
    named_secret(source.field("secretRef"));
}

fn azure_file(source: At<'_>) {
    source.field("secretName").require_text();
    source.field("shareName").require_text();
    if source.field("secretNamespace").is_set() {
        source.field("secretNamespace").require_text();
    }
}

fn local(source: At<'_>) {
    if source.field("path").require_text() {
        no_backsteps(source.field("path"));
    }
}

fn storage_os(source: At<'_>) {
    source.field("volumeName").require_name(names::dns_label);
    if !source.field("volumeNamespace").is_empty() {
        source.field("volumeNamespace").check_name(names::dns_label);
    }
    named_secret(source.field("secretRef"));
}

fn csi(source: At<'_>) {
    csi_driver(source.field("driver"));
    source.field("volumeHandle").require_text();
    for field in [
        "controllerPublishSecretRef",
        "controllerExpandSecretRef",
        "nodePublishSecretRef",
        "nodeExpandSecretRef",
    ] {
        secret(source.field(field));
    }
}
