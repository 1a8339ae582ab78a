//! Environment variables of containers.

use super::downward;
use super::paths::no_backsteps;
use crate::names;
use crate::validate::at::At;
use crate::validate::text;

/// The variables of a container.
pub(super) fn env(variables: At<'_>) {
    for variable in variables.items() {
        if variable.field("name").require_text() {
            variable.field("name").check(text::env_name);
        }
        if variable.field("valueFrom").is_set() {
            value_from(variable.field("valueFrom"), variable.field("value").text());
        }
    }
}

/// The rules of one source of values.
type Check = fn(At<'_>);

fn value_from(from: At<'_>, value: &str) {
    const SOURCES: &[(&str, Check)] = &[
        ("fieldRef", |reference| downward::field(reference, downward::ENV_FIELDS)),
        ("resourceFieldRef", |reference| downward::resource(reference, false)),
        ("configMapKeyRef", key_reference),
        ("secretKeyRef", key_reference),
        ("fileKeyRef", file_reference),
    ];
    let given = SOURCES.iter().filter(|(field, _)| from.field(field).is_set());
    let count = given.map(|(field, check)| check(from.field(field))).count();
    let rule = match count {
        0 => {
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
        }
        _ if !value.is_empty() => "may not be specified when `value` is not empty",
        1 => return,
        _ => "may not have more than one field specified at a time",
    };
    from.invalid_value("", rule);
}

fn key_reference(reference: At<'_>) {
    reference.field("name").check_name(names::dns_subdomain);
    if reference.field("key").require_text() {
        reference.field("key").check(names::config_key);
    }
}

fn file_reference(reference: At<'_>) {
    if reference.field("key").require_text() {
        reference.field("key").check(text::env_name);
    }
    reference.field("volumeName").require_name(names::dns_label);
    if reference.field("path").require_text() {
        no_backsteps(reference.field("path"));
    }
}

/// The ConfigMaps and Secrets whose keys all become variables.
pub(super) fn env_from(sources: At<'_>) {
    for source in sources.items() {
        if !source.field("prefix").text().is_empty() {
            source.field("prefix").check(text::env_name);
        }
        let given = ["configMapRef", "secretRef"].map(|field| source.field(field));
        for reference in given.iter().filter(|reference| reference.is_set()) {
            let name = reference.field("name");
            if name.require_text() {
                names::dns_subdomain(name.text(), true).iter().for_each(|wrong| name.invalid(wrong));
            }
        }
        match given.iter().filter(|reference| reference.is_set()).count() {
            0 => sources.invalid_value("", "must specify one of: `configMapRef` or `secretRef`"),
            1 => {}
            _ => sources.invalid_value("", "may not have more than one field specified at a time"),
        }
    }
}

/// Files with variables are read from volumes that containers can write before: only empty directories.
pub(super) fn files_are_in_empty_dirs(spec: At<'_>, container: At<'_>) {
    for variable in container.field("env").items() {
        let reference = variable.field("valueFrom").field("fileKeyRef");
        let name = reference.field("volumeName");
        if !reference.is_set() {
            continue;
        }
        match spec.field("volumes").items().filter(|volume| volume.field("name").text() == name.text()).last()
        {
            None => name.not_found(),
            Some(volume) if volume.field("emptyDir").is_set() => {}
            Some(_) => name.invalid("referenced volume must be of type emptyDir"),
        }
    }
}
