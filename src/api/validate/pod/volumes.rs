//! The volumes of a pod: one source each, and what each source needs.

use super::Spec;
use super::paths::{local_descending, no_backsteps};
use super::projected::{downward_file, key_to_path, projected};
use crate::names;
use crate::quantity::Quantity;
use crate::validate::at::At;
use crate::validate::claim;
use crate::validate::text;

/// The text for modes of files.
pub(super) const MODE: &str = "must be a number between 0 and 0777 (octal), both inclusive";
const DIRECTORY_MODE: &str = "must be a number between 0 and 01777 (octal), both inclusive";
const ONE_SOURCE: &str = "may not specify more than 1 volume type";

const ISCSI_NAME_BYTES_MAX: usize = 64;
const CSI_DRIVER_BYTES_MAX: usize = 63;

/// One kind of source.
struct Source {
    field: &'static str,
    /// What errors within call it, where it is not the field.
    called: &'static str,
    /// What an error about a second source calls it.
    second: &'static str,
    /// Fields that must not be empty.
    required: &'static [&'static str],
    more: fn(At<'_>),
}

const fn source(field: &'static str, required: &'static [&'static str], more: fn(At<'_>)) -> Source {
    Source { field, called: field, second: field, required, more }
}

/// In the order in which Kubernetes looks at them: the first one counts.
static SOURCES: &[Source] = &[
    source("emptyDir", &[], empty_dir),
    source("hostPath", &["path"], host_path),
    source("gitRepo", &["repository"], |git| local_descending(git.field("directory"))),
    Source {
        called: "persistentDisk",
        ..source("gcePersistentDisk", &["pdName"], |disk| partition(disk.field("partition")))
    },
    source("awsElasticBlockStore", &["volumeID"], |disk| partition(disk.field("partition"))),
    source("secret", &["secretName"], files),
    source("nfs", &["server", "path"], |nfs| {
        if !nfs.field("path").text().starts_with('/') {
            nfs.field("path").invalid("must be an absolute path");
        }
    }),
    source("iscsi", &["targetPortal", "iqn"], iscsi),
    source("glusterfs", &["endpoints", "path"], |_| {}),
    source("flocker", &[], flocker),
    source("persistentVolumeClaim", &["claimName"], |_| {}),
    source("rbd", &[], |rbd| {
        for field in
            ["monitors", "image"].map(|field| rbd.field(field)).iter().filter(|field| field.is_empty())
        {
            field.required("");
        }
    }),
    source("cinder", &["volumeID"], |cinder| named(cinder.field("secretRef"))),
    Source {
        second: "cephFS",
        ..source("cephfs", &[], |ceph| {
            if ceph.field("monitors").count() == 0 {
                ceph.field("monitors").required("");
            }
        })
    },
    source("quobyte", &[], quobyte),
    Source { second: "downwarAPI", ..source("downwardAPI", &[], downward) },
    source("fc", &[], fibre_channel),
    source("flexVolume", &["driver"], flex),
    source("configMap", &["name"], files),
    source("azureFile", &["secretName", "shareName"], |_| {}),
    source("vsphereVolume", &["volumePath"], |_| {}),
    source("photonPersistentDisk", &["pdID"], |_| {}),
    source("portworxVolume", &["volumeID"], |_| {}),
    source("azureDisk", &["diskName", "diskURI"], azure_disk),
    source("storageos", &[], storage_os),
    source("projected", &[], projected),
    source("scaleIO", &["gateway", "system", "volumeName"], |_| {}),
    source("csi", &[], csi),
    source("ephemeral", &[], |ephemeral| {
        let template = ephemeral.field("volumeClaimTemplate");
        if template.is_set() { claim::template(template) } else { template.required("") }
    }),
    source("image", &[], image),
];

/// Checks the volumes. Returns those with nothing wrong: mounts may name these.
pub(super) fn volumes<'a>(of: &Spec<'a>) -> Vec<At<'a>> {
    let list = of.spec.field("volumes");
    let created = |claim: &str| {
        let is_it = |volume: At<'_>| {
            let name = volume.field("name").text();
            volume.field("ephemeral").is_set()
                && claim.strip_prefix(of.name).and_then(|rest| rest.strip_prefix('-')) == Some(name)
        };
        !of.name.is_empty() && list.items().any(is_it)
    };
    let mut sound: Vec<At<'a>> = Vec::new();
    for volume in list.items() {
        let (before, name) = (volume.error_count(), volume.field("name"));
        volume_source(volume, of.name);
        name.require_name(names::dns_label);
        if sound.iter().any(|other| other.field("name").text() == name.text()) {
            name.duplicate();
        }
        if volume.error_count() == before {
            sound.push(volume);
        }
        let claim = volume.field("persistentVolumeClaim").field("claimName");
        if volume.field("persistentVolumeClaim").is_set() && created(claim.text()) {
            claim.invalid("must not reference a PVC that gets created for an ephemeral volume");
        }
    }
    sound
}

fn volume_source(volume: At<'_>, pod: &str) {
    let mut sources = 0;
    for source in SOURCES {
        let given = volume.field(source.field);
        if !given.is_set() {
            continue;
        }
        sources += 1;
        if sources > 1 {
            volume.field(source.second).forbidden(ONE_SOURCE);
        } else {
            let place = volume.field(source.called).with(given.value());
            for field in source.required {
                place.field(field).require_text();
            }
            (source.more)(place);
        }
    }
    if sources == 0 {
        volume.required("must specify a volume type");
    }
    let name = volume.field("name");
    if volume.field("iscsi").field("initiatorName").is_set()
        && name.text().len() + 1 + volume.field("iscsi").field("targetPortal").text().len()
            > ISCSI_NAME_BYTES_MAX
    {
        name.invalid(
            "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.",
        );
    }
    let is_ephemeral = volume.field("ephemeral").is_set() && sources == 1;
    if is_ephemeral && !pod.is_empty() && !name.text().is_empty() {
        let claim = format!("{pod}-{}", name.text());
        for wrong in names::dns_subdomain(&claim, false) {
            name.invalid(&format!("PVC name {claim:?}: {wrong}"));
        }
    }
}

/// What a source of this name needs, wherever it stands.
pub fn check_source(field: &str, place: At<'_>) {
    for source in SOURCES.iter().filter(|source| source.field == field) {
        for required in source.required {
            place.field(required).require_text();
        }
        (source.more)(place);
    }
}

/// The mode of a file.
pub(super) fn mode(field: At<'_>) {
    if field.int().is_some_and(|mode| !(0..=0o777).contains(&mode)) {
        field.invalid(MODE);
    }
}

/// A reference that must have a name, if there is one.
fn named(reference: At<'_>) {
    if reference.is_set() {
        reference.field("name").require_text();
    }
}

fn empty_dir(dir: At<'_>) {
    let size = dir.field("sizeLimit");
    if size.quantity().is_some_and(|size| size < Quantity::ZERO) {
        size.forbidden("SizeLimit field must be a valid resource quantity");
    }
    if dir.field("mode").int().is_some_and(|mode| !(0..=0o1777).contains(&mode)) {
        dir.field("mode").invalid(DIRECTORY_MODE);
    }
}

fn host_path(host: At<'_>) {
    const KINDS: &[&str] = &[
        "",
        "BlockDevice",
        "CharDevice",
        "Directory",
        "DirectoryOrCreate",
        "File",
        "FileOrCreate",
        "Socket",
    ];
    if host.field("path").text().is_empty() {
        return;
    }
    no_backsteps(host.field("path"));
    if host.field("type").is_set() {
        host.field("type").one_of(KINDS);
    }
}

fn partition(field: At<'_>) {
    if !(0..=255).contains(&field.number()) {
        field.invalid(&text::range(1, 255));
    }
}

fn files(volume: At<'_>) {
    mode(volume.field("defaultMode"));
    volume.field("items").items().for_each(key_to_path);
}

fn downward(volume: At<'_>) {
    mode(volume.field("defaultMode"));
    for file in volume.field("items").items() {
        downward_file(file, volume);
    }
}

fn iscsi(iscsi: At<'_>) {
    if !iscsi.field("iqn").text().is_empty() {
        initiator(iscsi.field("iqn"));
    }
    let lun = iscsi.field("lun");
    if !(0..=255).contains(&lun.number()) {
        lun.invalid(&text::range(0, 255));
    }
    let asks = iscsi.field("chapAuthDiscovery").is_true() || iscsi.field("chapAuthSession").is_true();
    if asks && !iscsi.field("secretRef").is_set() {
        iscsi.field("secretRef").required("");
    }
    let name = iscsi.field("initiatorName");
    if name.is_set() {
        initiator(iscsi.field("initiatorname").with(name.value()));
    }
}

fn initiator(field: At<'_>) {
    match field.text().get(..3) {
        Some("iqn" | "eui" | "naa") if is_initiator(field.text()) => {}
        Some("iqn" | "eui" | "naa") => field.invalid("must be valid format"),
        _ => field.invalid("must be valid format starting with iqn, eui, or naa"),
    }
}

/// Whether a text names one end of an iSCSI connection.
pub fn is_initiator(name: &str) -> bool {
    let letters = |start: &str, count: usize| {
        let rest = name.strip_prefix(start).and_then(|rest| {
            let mut rest = rest.chars();
            rest.next().filter(|separator| *separator != '\n').map(|_| rest.as_str())
        });
        rest.is_some_and(|rest| rest.len() == count && rest.bytes().all(|byte| byte.is_ascii_alphanumeric()))
    };
    match name.get(..3) {
        Some("iqn") => name.match_indices("iqn.").any(|(at, _)| is_iqn(&name[at + 4..])),
        Some("eui") => letters("eui", 16),
        Some("naa") => letters("naa", 32),
        _ => false,
    }
}

/// `2001-04.com.example:storage`
fn is_iqn(text: &str) -> bool {
    let Some((head, unit)) = text.split_once(':') else { return false };
    let Some((date, authority)) = head.split_once('.') else { return false };
    let digits =
        |part: &str, count: usize| part.len() == count && part.bytes().all(|byte| byte.is_ascii_digit());
    let is_date = date.split_once('-').is_some_and(|(year, month)| digits(year, 4) && digits(month, 2));
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    let is_odd = |letter: char| ",;*&$|".contains(letter) || letter.is_ascii_whitespace();
    is_date
        && !authority.is_empty()
        && authority.bytes().all(is_name)
        && !unit.is_empty()
        && !unit.contains(is_odd)
}

fn flocker(flocker: At<'_>) {
    let (name, uuid) = (flocker.field("datasetName"), flocker.field("datasetUUID"));
    if name.is_empty() && uuid.is_empty() {
        flocker.required("one of datasetName and datasetUUID is required");
    }
    if !name.is_empty() && !uuid.is_empty() {
        flocker.invalid_value("resource", "datasetName and datasetUUID can not be specified simultaneously");
    }
    if name.text().contains('/') {
        name.invalid("must not contain '/'");
    }
}

fn quobyte(quobyte: At<'_>) {
    const PAIRS: &str = "must be a host:port pair or multiple pairs separated by commas";
    let registry = quobyte.field("registry");
    if registry.text().is_empty() {
        registry.required(PAIRS);
    } else if quobyte.field("tenant").text().len() >= 65 {
        quobyte.field("tenant").required("must be a UUID and may not exceed a length of 64 characters");
    } else {
        registry.text().split(',').filter(|pair| !is_host_port(pair)).for_each(|_| registry.invalid(PAIRS));
    }
    quobyte.field("volume").require_text();
}

/// `host:port` or `[address]:port`, as Go splits it.
fn is_host_port(pair: &str) -> bool {
    let Some((host, port)) = pair.rsplit_once(':') else { return false };
    let bare = match host.strip_prefix('[') {
        Some(inner) => match inner.strip_suffix(']') {
            Some(inner) => inner,
            None => return false,
        },
        None if host.contains(':') => return false,
        None => host,
    };
    !bare.contains(['[', ']']) && !port.contains(['[', ']'])
}

fn fibre_channel(channel: At<'_>) {
    let (targets, ids, lun) = (channel.field("targetWWNs"), channel.field("wwids"), channel.field("lun"));
    if targets.count() == 0 && ids.count() == 0 {
        targets.required("must specify either targetWWNs or wwids, but not both");
    }
    if targets.count() > 0 && ids.count() > 0 {
        targets.invalid("targetWWNs and wwids can not be specified simultaneously");
    }
    if targets.count() > 0 && !lun.is_set() {
        lun.required("lun is required if targetWWNs is specified");
    } else if targets.count() > 0 && !(0..=255).contains(&lun.number()) {
        lun.invalid(&text::range(0, 255));
    }
}

fn flex(flex: At<'_>) {
    for (key, option) in flex.field("options").entries() {
        let domain = format!(".{}", key.split('/').next().unwrap_or_default().to_lowercase());
        if domain.ends_with(".kubernetes.io") || domain.ends_with(".k8s.io") {
            option.invalid_value(key, "kubernetes.io and k8s.io namespaces are reserved");
        }
    }
}

fn azure_disk(disk: At<'_>) {
    const MANAGED: &str =
        "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}";
    const BLOB: &str = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd";
    let (caching, kind, place) = (disk.field("cachingMode"), disk.field("kind"), disk.field("diskURI"));
    if caching.is_set() {
        caching.one_of(&["None", "ReadOnly", "ReadWrite"]);
    }
    if kind.is_set() {
        kind.one_of(&["Dedicated", "Managed", "Shared"]);
        let (start, form) =
            if kind.text() == "Managed" { ("/subscriptions/", MANAGED) } else { ("https://", BLOB) };
        if !place.text().starts_with(start) {
            place.not_supported(&[form]);
        }
    }
}

fn storage_os(volume: At<'_>) {
    volume.field("volumeName").require_name(names::dns_label);
    if !volume.field("volumeNamespace").text().is_empty() {
        volume.field("volumeNamespace").check_name(names::dns_label);
    }
    named(volume.field("secretRef"));
}

/// The name of a CSI driver.
pub fn csi_driver(driver: At<'_>) {
    if !driver.require_text() {
        return;
    }
    if driver.text().len() > CSI_DRIVER_BYTES_MAX {
        driver.too_long(CSI_DRIVER_BYTES_MAX);
    }
    for wrong in names::dns_subdomain(&driver.text().to_lowercase(), false) {
        driver.invalid(&wrong);
    }
}

fn csi(csi: At<'_>) {
    csi_driver(csi.field("driver"));
    let reference = csi.field("nodePublishSecretRef");
    if reference.is_set() && reference.field("name").require_text() {
        for wrong in names::dns_subdomain(reference.field("name").text(), false) {
            csi.field("name").invalid_value(reference.field("name").text(), &wrong);
        }
    }
}

fn image(image: At<'_>) {
    image.field("reference").require_text();
    image.field("pullPolicy").require_one_of(super::containers::PULL_POLICIES);
}
