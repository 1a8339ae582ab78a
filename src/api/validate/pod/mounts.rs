//! Volumes in containers: as directories and as block devices.

use super::Spec;
use super::paths::local_descending;
use crate::validate::at::At;

const UNIQUE: &str = "must be unique";

/// Volumes mounted as directories. Some errors leave the number of the mount out of the path: so does Kubernetes.
pub(super) fn mounts(of: &Spec<'_>, container: At<'_>) {
    let mounts = container.field("volumeMounts");
    let devices = || container.field("volumeDevices").items();
    let mut known: Vec<&str> = Vec::new();
    for mount in mounts.items() {
        let (name, path) = (mount.field("name"), mount.field("mountPath"));
        name.require_text();
        if of.volume(name.text()).is_none() {
            name.not_found();
        }
        path.require_text();
        if known.contains(&path.text()) {
            path.invalid_value(path.text(), UNIQUE);
        }
        known.push(path.text());
        if devices().any(|device| device.field("name").text() == name.text()) {
            name.invalid_value(name.text(), "must not already exist in volumeDevices");
        }
        if devices().any(|device| device.field("devicePath").text() == path.text()) {
            path.invalid_value(path.text(), "must not already exist as a path in volumeDevices");
        }
        sub_paths(mounts, mount);
        if mount.field("mountPropagation").is_set() {
            propagation(mounts, mount, container);
        }
        if mount.field("recursiveReadOnly").is_set() {
            recursive_read_only(mounts, mount);
        }
    }
}

fn sub_paths(mounts: At<'_>, mount: At<'_>) {
    let (path, expression) = (mount.field("subPath"), mount.field("subPathExpr"));
    if !path.text().is_empty() {
        local_descending(mounts.field("subPath").with(path.value()));
    }
    if !expression.text().is_empty() {
        if !path.text().is_empty() {
            expression.invalid("subPathExpr and subPath are mutually exclusive");
        }
        local_descending(mounts.field("subPathExpr").with(expression.value()));
    }
}

fn propagation(mounts: At<'_>, mount: At<'_>, container: At<'_>) {
    let place = mounts.field("mountPropagation").with(mount.field("mountPropagation").value());
    place.one_of(&["Bidirectional", "HostToContainer", "None"]);
    if place.text() == "Bidirectional" && !container.field("securityContext").field("privileged").is_true() {
        place.forbidden("Bidirectional mount propagation is available only to privileged containers");
    }
}

fn recursive_read_only(mounts: At<'_>, mount: At<'_>) {
    let place = mounts.field("recursiveReadOnly").with(mount.field("recursiveReadOnly").value());
    place.one_of(&["Disabled", "Enabled", "IfPossible"]);
    if !matches!(place.text(), "Enabled" | "IfPossible") {
        return;
    }
    if !mount.field("readOnly").is_true() {
        place.forbidden("may only be specified when readOnly is true");
    }
    let propagation = mount.field("mountPropagation");
    if propagation.is_set() && propagation.text() != "None" {
        place.forbidden("may only be specified when mountPropagation is None or not specified");
    }
}

/// Volumes as block devices: claims only.
pub(super) fn devices(of: &Spec<'_>, container: At<'_>) {
    let mounts = || container.field("volumeMounts").items();
    let (mut names, mut paths): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
    for device in container.field("volumeDevices").items() {
        let (name, path) = (device.field("name"), device.field("devicePath"));
        name.require_text();
        if names.contains(&name.text()) {
            name.invalid(UNIQUE);
        }
        match of.volume(name.text()) {
            None => name.not_found(),
            Some(volume)
                if ["persistentVolumeClaim", "ephemeral"].iter().any(|kind| volume.field(kind).is_set()) => {}
            Some(_) => name.invalid(
                "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode",
            ),
        }
        path.require_text();
        if paths.contains(&path.text()) {
            path.invalid(UNIQUE);
        }
        if path.text().split('/').any(|part| part == "..") {
            path.invalid("can not contain backsteps ('..')");
        } else {
            paths.push(path.text());
        }
        if mounts().any(|mount| mount.field("name").text() == name.text()) {
            name.invalid("must not already exist in volumeMounts");
        }
        if mounts().any(|mount| mount.field("mountPath").text() == path.text()) {
            path.invalid("must not already exist as a path in volumeMounts");
        }
        if !name.text().is_empty() {
            names.push(name.text());
        }
    }
}
