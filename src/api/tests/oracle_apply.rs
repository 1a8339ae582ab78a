//! Random objects, written in turns by several managers: Kubernetes' own field manager gives each the same fields,
//! merges the same objects and meets the same conflicts.

mod common;

use api::apply::{self, By, Entry};
use api::codec::{FieldValidation, from_tree};
use api::{Object, RESOURCES, Resource, Status, parts};
use common::Dice;
use common::oracle::{Oracle, sample};
use serde_json::{Map, Value, json};

/// Kinds that the oracle has no types of.
const ABSENT: &[&str] = &["APIService", "CustomResourceDefinition"];

/// Where kubectl notes down what it applied.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// How many sequences of writes of each kind.
const SEEDS: u64 = 12;

/// One object that several managers write, and who owns it by now.
struct World<'o> {
    oracle: &'o mut Oracle,
    row: &'o Resource,
    /// As Kubernetes shows it.
    live: Value,
    clock: u32,
    conflicts: u32,
}

/// One write.
struct Writing<'w> {
    operation: &'static str,
    manager: &'w str,
    subresource: &'w str,
    force: bool,
}

impl World<'_> {
    fn ask(&mut self, writing: &Writing<'_>, object: &Value, now: &str) -> Value {
        let how = json!({
            "manager": writing.manager, "subresource": writing.subresource, "force": writing.force, "now": now,
        });
        let mut question =
            json!({"operation": writing.operation, "text": how.to_string(), "modified": object});
        if !self.live.is_null() {
            question["current"] = self.live.clone();
        }
        self.oracle.ask(&question)
    }

    /// Now and then the object that somebody applies to has no owners, or was applied by a client before.
    fn prepare(&mut self, dice: &mut Dice, wanted: &Value) {
        let Some(meta) = self.live.get_mut("metadata").and_then(Value::as_object_mut) else { return };
        match dice.below(6) {
            0 => _ = meta.shift_remove("managedFields"),
            1 | 2 => {
                let annotations = meta.entry("annotations").or_insert_with(|| json!({}));
                annotations[LAST_APPLIED] = wanted.to_string().into();
            }
            _ => {}
        }
    }

    /// Writes on both sides, and compares.
    fn write(&mut self, writing: &Writing<'_>, object: &Value) {
        self.clock += 1;
        let now = format!("2020-01-01T00:00:{:02}Z", self.clock);
        let told = self.ask(writing, object, &now);
        let by = By { manager: writing.manager, subresource: writing.subresource, now: &now };
        let ours = self.ours(writing, object, &by);
        let of = || {
            let (live, row) = (&self.live, self.row);
            format!(
                "{} {} by {}\nlive {live}\nwritten {object}",
                row.kind, writing.operation, writing.manager
            )
        };
        let failure = told["error"].as_str().or(told["status"]["message"].as_str());
        match (ours, failure) {
            (Ok(mut ours), None) => {
                ours["metadata"]["creationTimestamp"] =
                    told["object"]["metadata"]["creationTimestamp"].clone();
                let owners = |object: &Value| object["metadata"]["managedFields"].to_string();
                assert_eq!(owners(&ours), owners(&told["object"]), "{}", of());
                if let (Value::Object(ours), Value::Object(theirs)) = (ours, told["object"].clone()) {
                    let ours = held(self.oracle, ours).expect("an object");
                    // Without what is there or not for Go alone: empty lists, and null.
                    let ours = shown(self.row, &mut read(self.row, ours));
                    let theirs = shown(self.row, &mut read(self.row, unowned(theirs).into()));
                    assert_eq!(ours, theirs, "{}", of());
                }
                self.live = without_empty_lists(told["object"].clone());
                // Now it is stored.
                self.live["metadata"]["uid"] = "u".into();
            }
            (Err(ours), Some(text)) => {
                self.conflicts += u32::from(told["status"]["code"] == 409);
                if ours.message != text {
                    assert_eq!(lines(&ours.message), lines(text), "{}", of());
                }
                if told["status"]["code"] == 409 {
                    let told: Value = told["status"].clone();
                    let ours: Value = serde_json::from_slice(&ours.to_json()).expect("JSON");
                    assert_eq!(ours["reason"], told["reason"]);
                    assert_eq!(causes(&ours), causes(&told), "{}", of());
                }
            }
            // What is applied is merged before it is looked at.
            (Ok(_), Some(text)) if text.starts_with("failed to convert new object") => {}
            (ours, _) => panic!("{ours:?} / {told}\n{}", of()),
        }
    }

    fn ours(&self, writing: &Writing<'_>, object: &Value, by: &By<'_>) -> Result<Value, Status> {
        let live = (!self.live.is_null()).then(|| read(self.row, self.live.clone()));
        if writing.operation == "write" {
            let mut new = read(self.row, object.clone());
            apply::update(self.row, live.as_ref(), &mut new, by);
            return Ok(shown(self.row, &mut new));
        }
        let (mut tree, mut entries) = (self.live.clone(), Vec::new());
        if let Some(live) = live {
            entries = live.meta.managed_fields;
            tree["metadata"].as_object_mut().expect("metadata").shift_remove("managedFields");
        }
        let applied = apply::apply(self.row, &tree, &entries, object, by, writing.force)?;
        let mut new = from_tree(applied.object, Vec::new(), self.row, FieldValidation::Ignore)?.0;
        new.meta.managed_fields = applied.managed_fields;
        Ok(shown(self.row, &mut new))
    }
}

fn read(row: &Resource, tree: Value) -> Object {
    from_tree(tree, Vec::new(), row, FieldValidation::Ignore).expect("an object").0
}

fn shown(row: &Resource, object: &mut Object) -> Value {
    object.meta.creation_timestamp = "2020-01-01T00:00:00Z".to_owned();
    serde_json::from_slice(&object.prepare(row).body).expect("JSON")
}

/// In any order: Kubernetes tells of several owners in none.
fn lines(text: &str) -> Vec<&str> {
    let mut lines: Vec<_> = text.split(['\n']).collect();
    lines.sort_unstable();
    lines
}

fn causes(status: &Value) -> Vec<String> {
    let causes = status["details"]["causes"].as_array().into_iter().flatten();
    let mut causes: Vec<_> = causes.map(Value::to_string).collect();
    causes.sort_unstable();
    causes
}

/// An object as Kubernetes would hold it, without owners.
fn held(oracle: &mut Oracle, tree: Map<String, Value>) -> Option<Value> {
    let tree = Value::Object(unowned(tree));
    let question = json!({"operation": "write", "text": json!({"now": "2020-01-01T00:00:00Z"}).to_string(), "modified": tree});
    let mut told = oracle.ask(&question);
    let Value::Object(object) = told["object"].take() else { return None };
    Some(Value::Object(unowned(object)))
}

/// As it comes back from a store, which does not tell an empty list from none.
fn without_empty_lists(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let is_empty = |value: &Value| value.as_array().is_some_and(Vec::is_empty);
            let kept = map.into_iter().filter(|(_, value)| !is_empty(value));
            kept.map(|(name, value)| (name, without_empty_lists(value))).collect::<Map<_, _>>().into()
        }
        Value::Array(items) => items.into_iter().map(without_empty_lists).collect(),
        scalar => scalar,
    }
}

fn unowned(mut object: Map<String, Value>) -> Map<String, Value> {
    let meta = object.get_mut("metadata").and_then(Value::as_object_mut);
    if let Some(meta) = meta {
        for name in
            ["managedFields", "generation", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"]
        {
            meta.shift_remove(name);
        }
        meta.insert("uid".into(), "u".into());
        meta.insert("name".into(), "n".into());
    }
    object
}

/// Now and then a client says itself who the owners are.
fn state_owners(object: &mut Value, live: &Value, dice: &mut Dice) {
    let entries = match (dice.below(12), live["metadata"]["managedFields"].as_array()) {
        (0, _) => json!([{}]),
        (1, _) => json!([]),
        (2, _) => {
            json!([{"manager": "x", "operation": "Other", "apiVersion": "v1", "fieldsType": "FieldsV1"}])
        }
        (3, Some(entries)) => entries.iter().filter(|_| dice.below(2) == 0).cloned().collect(),
        (4, Some(entries)) => entries.clone().into(),
        _ => return,
    };
    object["metadata"]["managedFields"] = entries;
}

/// What somebody might apply: some of the fields.
fn thinned(value: &Value, dice: &mut Dice, is_key: bool) -> Value {
    match value {
        Value::Object(map) => {
            let keep = |(name, inner): (&String, &Value)| {
                let is_named = is_key
                    || matches!(
                        name.as_str(),
                        "name"
                            | "containerPort"
                            | "protocol"
                            | "port"
                            | "type"
                            | "key"
                            | "ip"
                            | "topologyKey"
                            | "whenUnsatisfiable"
                            | "mountPath"
                            | "devicePath"
                            | "uid"
                    );
                let is_kept = dice.below(4) > 0 || is_named;
                is_kept.then(|| (name.clone(), thinned(inner, dice, false)))
            };
            map.iter().filter_map(keep).collect::<Map<_, _>>().into()
        }
        Value::Array(items) => items.iter().map(|item| thinned(item, dice, false)).collect(),
        // Not bytes: Go keeps those that are null apart from empty ones, until it stores them.
        Value::String(text) if text == "x" && dice.below(60) == 0 => Value::Null,
        Value::Bool(_) | Value::Number(_) if dice.below(60) == 0 => Value::Null,
        scalar => scalar.clone(),
    }
}

fn run(oracle: &mut Oracle, row: &Resource, seed: u64) -> Option<u32> {
    let mut dice = Dice::new(seed + 7);
    let first = held(oracle, sample(row, seed).1)?;
    let others: Vec<_> =
        (1..4).filter_map(|other| held(oracle, sample(row, seed + other * 1_000).1)).collect();
    let below: Vec<_> = row
        .subresources
        .iter()
        .map(|below| &*below.name)
        .filter(|name| parts::find(row, name).is_some())
        .collect();
    let mut world = World { oracle, row, live: Value::Null, clock: 0, conflicts: 0 };
    // The oldest managers are joined when many write.
    for step in 0..if seed.is_multiple_of(4) { 20 } else { 8 } {
        let many = (0..14).map(|at| format!("m{at}")).collect::<Vec<_>>();
        let manager = match (seed % 4, ["kubectl", "b", "c"][dice.below(3) as usize]) {
            (0, _) => many[dice.below(14) as usize].as_str(),
            (_, few) => few,
        };
        let base = if world.live.is_null() { &first } else { &world.live };
        let (Value::Object(base), Value::Object(other)) =
            (base, &others[dice.below(others.len() as u64) as usize])
        else {
            panic!("objects")
        };
        let mut object = common::blend(base, other, &mut dice, &row.schema);
        object.entry("metadata").or_insert_with(|| json!({}));
        let object = Value::Object(unowned(object));
        let is_applied = dice.below(if seed.is_multiple_of(4) { 5 } else { 2 }) == 0;
        let subresource = match (step, below.as_slice()) {
            (1.., [_, ..]) if dice.below(3) == 0 => below[dice.below(below.len() as u64) as usize],
            _ => "",
        };
        let writing = Writing {
            operation: if is_applied { "apply" } else { "write" },
            manager,
            subresource,
            force: dice.below(2) == 0,
        };
        let object = match (is_applied, object) {
            (true, object) => wanted(&object, &mut dice, row),
            (false, Value::Object(object)) => {
                let mut object = held(world.oracle, object)?;
                state_owners(&mut object, &world.live, &mut dice);
                object
            }
            (false, _) => return None,
        };
        if is_applied {
            world.prepare(&mut dice, &object);
        }
        world.write(&writing, &object);
    }
    Some(world.conflicts)
}

fn wanted(object: &Value, dice: &mut Dice, row: &Resource) -> Value {
    let mut wanted = thinned(object, dice, false);
    let mut meta = wanted["metadata"].take();
    let meta = match meta.as_object_mut() {
        Some(meta) => {
            for name in ["uid", "resourceVersion", "creationTimestamp", "generation"] {
                meta.shift_remove(name);
            }
            std::mem::take(meta)
        }
        None => Map::new(),
    };
    wanted["metadata"] = meta.into();
    wanted["metadata"]["name"] = "n".into();
    wanted["apiVersion"] = row.api_version().into();
    wanted["kind"] = row.kind.clone().into();
    wanted
}

#[test]
fn sets_combine_as_those_of_kubernetes() {
    let Some(mut oracle) = Oracle::start() else { return };
    let mut dice = Dice::new(3);
    for _ in 0..3_000 {
        let (a, b) = (fields(&mut dice, 0), fields(&mut dice, 0));
        let told = oracle.ask(&json!({"operation": "sets", "current": a, "modified": b}));
        let texts = (a.to_string(), b.to_string());
        let (mine, theirs) = (apply::read(&texts.0).expect("a set"), apply::read(&texts.1).expect("a set"));
        let combined = [
            ("self", mine.clone()),
            ("union", mine.union(&theirs)),
            ("intersection", mine.intersection(&theirs)),
            ("difference", mine.difference(&theirs)),
            ("recursive", mine.recursive_difference(&theirs)),
        ];
        for (name, set) in combined {
            let text = apply::write(&set);
            assert_eq!(text, told["object"][name].to_string(), "{name} of {a} and {b}");
        }
    }
}

/// A random set: few different elements, so that two sets have much in common.
fn fields(dice: &mut Dice, depth: usize) -> Value {
    const ELEMENTS: &[&str] = &[
        ".",
        "f:a",
        "f:b",
        "f:c/d",
        "k:{\"name\":\"a\"}",
        "k:{\"name\":\"a<b\"}",
        "k:{\"port\":80}",
        "k:{\"port\":443}",
        "k:{\"port\":80,\"protocol\":\"TCP\"}",
        "v:1",
        "v:10",
        "v:2",
        "v:\"x\"",
        "v:true",
        "i:0",
        "i:10",
        "i:9",
        "x:y",
    ];
    let mut map = Map::new();
    for _ in 0..dice.below(5) {
        let name = ELEMENTS[dice.below(ELEMENTS.len() as u64) as usize];
        let below = if name == "." || depth > 2 { json!({}) } else { fields(dice, depth + 1) };
        map.insert(name.to_owned(), below);
    }
    map.into()
}

/// Entries of `apps/v1` that own replicas, or do not.
fn entries(dice: &mut Dice, versions: &[&str]) -> Value {
    let mut all: Vec<Value> = Vec::new();
    for manager in ["a", "b", "c"] {
        let operation = if dice.below(2) == 0 { "Apply" } else { "Update" };
        let spec = match dice.below(3) {
            0 => json!({"f:replicas": {}}),
            1 => json!({"f:paused": {}}),
            _ => json!({"f:paused": {}, "f:replicas": {}}),
        };
        if dice.below(4) > 0 {
            all.push(json!({
                "manager": manager, "operation": operation,
                "apiVersion": versions[dice.below(versions.len() as u64) as usize],
                "time": format!("2020-01-01T00:00:0{}Z", dice.below(9)), "fieldsType": "FieldsV1",
                "fieldsV1": {"f:spec": spec},
                "subresource": if dice.below(3) == 0 { "scale" } else { "" },
            }));
        }
    }
    all.into()
}

#[test]
fn managers_of_a_scale_are_those_of_kubernetes() {
    let Some(mut oracle) = Oracle::start() else { return };
    let mut dice = Dice::new(5);
    let replicas: &[&str] = &["spec", "replicas"];
    let mappings = &[("apps/v1", replicas), ("apps/v1beta1", replicas)];
    let read = |entries: &Value| {
        let entries = entries.as_array().expect("a list").iter().cloned();
        entries.map(Entry::from_tree).collect::<Vec<_>>()
    };
    for _ in 0..1_000 {
        let parent = entries(&mut dice, &["apps/v1", "apps/v1", "apps/v1beta1", "apps/v2"]);
        let told = oracle.ask(&json!({"operation": "scale", "current": parent}));
        let shown = apply::of_parent(&read(&parent), mappings).expect("entries");
        assert_eq!(listed(shown), told["object"].to_string(), "{parent}");
        let mut scale = match told["object"].as_array() {
            Some(same) if dice.below(2) == 0 => same.clone().into(),
            _ => entries(&mut dice, &["autoscaling/v1"]),
        };
        scale.as_array_mut().expect("a list").retain(|_| dice.below(3) > 0);
        let told = oracle.ask(&json!({"operation": "scale", "current": parent, "modified": scale}));
        let after = apply::to_parent(&read(&parent), &read(&scale), "apps/v1", mappings).expect("entries");
        assert_eq!(listed(after), told["object"].to_string(), "{parent} {scale}");
    }
}

/// Entries as an object shows them.
fn listed(entries: Vec<Entry>) -> String {
    let row = Resource::builtin("", "v1", "configmaps");
    let mut object = read(&row, json!({}));
    object.meta.managed_fields = entries;
    shown(&row, &mut object)["metadata"]["managedFields"].to_string()
}

#[test]
fn fields_have_the_owners_that_kubernetes_gives_them() {
    let Some(mut oracle) = Oracle::start() else { return };
    let (mut runs, mut conflicts) = (0, 0_u64);
    for row in RESOURCES.iter().filter(|row| !ABSENT.contains(&row.kind.as_str())) {
        for seed in 0..SEEDS {
            if let Some(met) = run(&mut oracle, row, seed) {
                (runs, conflicts) = (runs + 1, conflicts + u64::from(met));
            }
        }
    }
    assert!(runs > 40 * SEEDS && conflicts > 10 * SEEDS, "{runs} runs met {conflicts} conflicts");
}
