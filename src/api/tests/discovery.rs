//! What is told of groups and resources, beside what Kubernetes publishes of itself: the same.

mod common;

use api::discovery::{self, Aggregated, Served};
use common::sources::{kubernetes, read};
use serde_json::Value;

/// Resources that Kubernetes has and that are not served: group, version, name.
const UNSERVED: &[(&str, &str, &str)] = &[("", "v1", "componentstatuses")];

fn is_served(group: &str, version: &str, resource: &str) -> bool {
    let resource = resource.split('/').next().unwrap_or_default();
    is_stable(version) && !UNSERVED.contains(&(group, version, resource))
}

/// Only stable versions are served unasked.
fn is_stable(version: &str) -> bool {
    version.trim_start_matches('v').bytes().all(|byte| byte.is_ascii_digit())
}

fn text<'v>(of: &'v Value, member: &str) -> &'v str {
    of[member].as_str().unwrap_or_default()
}

fn retain(of: &mut Value, member: &str, keep: impl Fn(&Value) -> bool) -> usize {
    let items = of[member].as_array_mut().unwrap_or_else(|| panic!("no {member}"));
    items.retain(keep);
    items.len()
}

/// A group's document without the versions that are not served; `None` when none is left.
fn served_group(mut group: Value) -> Option<Value> {
    let name = text(&group, "name").to_owned();
    let left = retain(&mut group, "versions", |version| {
        let version = text(version, "version");
        is_stable(version) && Served::builtin().resources(&name, version).is_some()
    });
    (left > 0).then_some(group)
}

#[test]
fn resources_are_told_as_kubernetes_tells_them() {
    let Some(folder) = kubernetes() else { return };
    let mut compared = 0;
    for group in [vec![read(&folder, "api/discovery/api.json")], groups(&folder)].concat() {
        let name = text(&group, "name");
        let versions = group["versions"].as_array().cloned().unwrap_or_default();
        for version in versions.iter().map(|one| one.as_str().unwrap_or_else(|| text(one, "version"))) {
            let file =
                if name.is_empty() { format!("api__{version}") } else { format!("apis__{name}__{version}") };
            let mut theirs = read(&folder, &format!("api/discovery/{file}.json"));
            let left = retain(&mut theirs, "resources", |one| is_served(name, version, text(one, "name")));
            compared += left;
            let ours = Served::builtin().resources(name, version);
            let items = |list: &Value| list["resources"].as_array().cloned().unwrap_or_default();
            for (ours, theirs) in ours.iter().flat_map(items).zip(items(&theirs)) {
                assert_eq!(ours, theirs, "{name}/{version}");
            }
            assert_eq!(ours, (left > 0).then_some(theirs), "{name}/{version}");
        }
    }
    assert!(compared > 90, "only {compared} resources were compared");
}

fn groups(folder: &std::path::Path) -> Vec<Value> {
    read(folder, "api/discovery/apis.json")["groups"].as_array().cloned().expect("groups")
}

#[test]
fn groups_are_told_as_kubernetes_tells_them() {
    let Some(folder) = kubernetes() else { return };
    let theirs: Vec<Value> = groups(&folder).into_iter().filter_map(served_group).collect();
    assert!(theirs.len() > 15);
    assert_eq!(Served::builtin().groups()["groups"], Value::from(theirs.clone()));
    for group in theirs {
        let name = text(&group, "name");
        let file = read(&folder, &format!("api/discovery/apis__{name}.json"));
        assert_eq!(Served::builtin().group(name), served_group(file), "{name}");
    }
    let legacy = read(&folder, "api/discovery/api.json");
    assert_eq!(discovery::legacy_versions("")["versions"], legacy["versions"]);
}

/// The aggregator leaves out which group and version the kinds of its own resources are of.
fn name_kinds(of: &mut Value, group: &str, version: &str) {
    match of {
        Value::Array(items) => items.iter_mut().for_each(|item| name_kinds(item, group, version)),
        Value::Object(map) => {
            if let Some(kind) = map.get_mut("responseKind").filter(|kind| kind["version"] == "") {
                (kind["group"], kind["version"]) = (group.into(), version.into());
            }
            map.values_mut().for_each(|value| name_kinds(value, group, version));
        }
        _ => {}
    }
}

#[test]
fn everything_at_once_is_told_as_kubernetes_tells_it() {
    let Some(folder) = kubernetes() else { return };
    let mut theirs = read(&folder, "api/discovery/aggregated_v2.json");
    for group in theirs["items"].as_array_mut().expect("groups") {
        let name = text(&group["metadata"], "name").to_owned();
        for one in group["versions"].as_array_mut().expect("versions") {
            let version = text(one, "version").to_owned();
            retain(one, "resources", |row| is_served(&name, &version, text(row, "resource")));
            name_kinds(one, &name, &version);
        }
        retain(group, "versions", |one| one["resources"].as_array().is_some_and(|rows| !rows.is_empty()));
    }
    retain(&mut theirs, "items", |group| group["versions"].as_array().is_some_and(|all| !all.is_empty()));
    let ours = Served::builtin().aggregated(false, Aggregated::V2);
    let (ours, theirs) =
        (ours["items"].as_array().expect("groups"), theirs["items"].as_array().expect("groups"));
    for (ours, theirs) in ours.iter().zip(theirs) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(ours.len(), theirs.len());
}
