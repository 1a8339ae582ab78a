//! Random objects, written in turns by several managers: Kubernetes' own field manager gives each the same fields,
//! merges the same objects and meets the same conflicts.

mod common;

use std::sync::Arc;

use api::apply::{self, By};
use api::codec::{FieldValidation, from_tree};
use api::kinds::custom_resource_definition::RESOURCE as DEFINITIONS;
use api::{Object, RESOURCES, Resource, Status, custom, parts};
use common::Dice;
use common::oracle::{Oracle, sample};
use common::schemas::{definition, instance, schema, whole};
use serde_json::{Map, Value, json};

/// Where kubectl notes down what it applied.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// How many sequences of writes of each kind.
const SEEDS: u64 = 12;

/// A kind whose objects are written, and its definition if Kubernetes does not bring it.
struct Kind {
    row: Arc<Resource>,
    definition: Option<Value>,
}

impl Kind {
    fn ask(&self, oracle: &mut Oracle, mut question: Value) -> Value {
        if let Some(definition) = &self.definition {
            question["object"] = definition.clone();
        }
        oracle.ask(&question)
    }

    /// An object as Kubernetes would hold it, without owners.
    fn held(&self, oracle: &mut Oracle, tree: Map<String, Value>) -> Option<Value> {
        let how = json!({"now": "2020-01-01T00:00:00Z"}).to_string();
        let question = json!({"operation": "write", "text": how, "modified": unowned(tree)});
        let Value::Object(object) = self.ask(oracle, question)["object"].take() else { return None };
        Some(Value::Object(unowned(object)))
    }

    /// A random object.
    fn sample(&self, oracle: &mut Oracle, seed: u64) -> Option<Value> {
        let tree = match &self.definition {
            None => sample(&self.row, seed).1,
            Some(definition) => {
                let props = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
                let mut tried = (0..20).map(|at| instance(props, &mut Dice::new(seed * 20 + at), 0));
                tried.find_map(|instance| {
                    let Value::Object(whole) = whole(instance.as_object()?.clone(), "n") else { return None };
                    let question = json!({"operation": "custom-object", "modified": props, "object": whole});
                    let is_valid = oracle.ask(&question)["object"]["causes"] == json!([]);
                    is_valid.then_some(whole)
                })?
            }
        };
        self.held(oracle, tree)
    }
}

/// One object that several managers write, and who owns it by now.
struct World<'o> {
    oracle: &'o mut Oracle,
    kind: &'o Kind,
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
        self.kind.ask(self.oracle, question)
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
            let (live, Kind { row, definition }) = (&self.live, self.kind);
            format!(
                "{} {} by {}\nlive {live}\nwritten {object}\nof {definition:?}",
                row.kind, writing.operation, writing.manager
            )
        };
        let failure = told["error"].as_str().or(told["status"]["message"].as_str());
        match (ours, failure) {
            (Ok(mut ours), None) => {
                ours["metadata"]["creationTimestamp"] =
                    told["object"]["metadata"]["creationTimestamp"].clone();
                let owners =
                    |object: &Value| match (&object["metadata"]["managedFields"], &self.kind.definition) {
                        (owners, None) => owners.to_string().into(),
                        // Without types, Go writes members by their names.
                        (owners, Some(_)) => owners.clone(),
                    };
                assert_eq!(owners(&ours), owners(&told["object"]), "{}", of());
                let (Value::Object(ours), Value::Object(theirs)) = (ours, told["object"].clone()) else {
                    panic!("objects")
                };
                let Kind { row, definition } = self.kind;
                let ours = self.kind.held(self.oracle, ours).expect("an object");
                let theirs = match definition {
                    None => unowned(theirs).into(),
                    // What is applied is not made fit before it is read again.
                    Some(_) => self.kind.held(self.oracle, theirs).expect("an object"),
                };
                // Without what is there or not for Go alone: empty lists, and null.
                assert_eq!(
                    shown(row, &mut read(row, ours)),
                    shown(row, &mut read(row, theirs.clone())),
                    "{}",
                    of()
                );
                self.live = match definition {
                    None => stored(self.oracle, &told["object"]),
                    Some(_) => theirs,
                };
                self.live["metadata"]["managedFields"] = told["object"]["metadata"]["managedFields"].clone();
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
        let row = &self.kind.row;
        let live = (!self.live.is_null()).then(|| read(row, self.live.clone()));
        if writing.operation == "write" {
            let mut new = read(row, object.clone());
            apply::update(row, live.as_ref(), &mut new, by);
            return Ok(shown(row, &mut new));
        }
        let (mut tree, mut entries) = (self.live.clone(), Vec::new());
        if let Some(live) = live {
            entries = live.meta.managed_fields;
            tree["metadata"].as_object_mut().expect("metadata").shift_remove("managedFields");
        }
        let applied = apply::apply(row, &tree, &entries, object, by, writing.force)?;
        let mut new = from_tree(applied.object, Vec::new(), row, FieldValidation::Ignore)?.0;
        new.meta.managed_fields = applied.managed_fields;
        Ok(shown(row, &mut new))
    }
}

/// As it comes back from Kubernetes' store, which does not tell an empty list from none.
fn stored(oracle: &mut Oracle, object: &Value) -> Value {
    let written = oracle.ask(&json!({"operation": "json", "object": object}));
    oracle.ask(&json!({"operation": "protobuf", "bytes": written["bytes"]}))["object"].take()
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
                is_kept.then(|| {
                    (name.clone(), emptied(name, inner, dice).unwrap_or_else(|| thinned(inner, dice, false)))
                })
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

/// Now and then a member holds nothing, in one way or another.
fn emptied(name: &str, member: &Value, dice: &mut Dice) -> Option<Value> {
    let empty = match member {
        Value::Object(_) => json!({}),
        // Those of autoscalers are filled in where there are none, and the text of an object has no empty lists.
        Value::Array(_) if name != "policies" => json!([]),
        _ => return None,
    };
    match dice.below(40) {
        0 => Some(empty),
        1 => Some(Value::Null),
        _ => None,
    }
}

fn run(oracle: &mut Oracle, kind: &Kind, seed: u64) -> Option<u32> {
    let row = &kind.row;
    let mut dice = Dice::new(seed + 7);
    let first = kind.sample(oracle, seed)?;
    let others: Vec<_> = (1..4).filter_map(|other| kind.sample(oracle, seed + other * 1_000)).collect();
    if others.is_empty() {
        return None;
    }
    let below: Vec<_> = row
        .subresources
        .iter()
        .map(|below| &*below.name)
        .filter(|name| parts::find(row, name).is_some())
        .collect();
    let mut world = World { oracle, kind, live: Value::Null, clock: 0, conflicts: 0 };
    let mut applied: Option<(String, Value)> = None;
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
                let mut object = kind.held(world.oracle, object)?;
                state_owners(&mut object, &world.live, &mut dice);
                object
            }
            (false, _) => return None,
        };
        if is_applied {
            world.prepare(&mut dice, &object);
            applied = Some((manager.to_owned(), object.clone()));
        }
        world.write(&writing, &object);
        // Applied again, perhaps after others wrote.
        if let Some((manager, object)) = applied.take_if(|_| dice.below(3) == 0) {
            let writing =
                Writing { operation: "apply", manager: &manager, subresource: "", force: dice.below(2) == 0 };
            world.write(&writing, &object);
            world.write(&writing, &object);
        }
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
fn fields_have_the_owners_that_kubernetes_gives_them() {
    check(|row| !row.group.is_empty(), 25 * SEEDS, 5 * SEEDS);
}

#[test]
fn fields_of_the_core_have_the_owners_that_kubernetes_gives_them() {
    check(|row| row.group.is_empty(), 12 * SEEDS, 2 * SEEDS);
}

/// Writes objects of some kinds, at least so many, which meet at least so many conflicts.
fn check(is_meant: impl Fn(&Resource) -> bool, runs_min: u64, conflicts_min: u64) {
    let Some(mut oracle) = Oracle::start() else { return };
    let (mut runs, mut conflicts) = (0, 0_u64);
    for row in RESOURCES.iter().filter(|row| is_meant(row)) {
        let kind = Kind { row: row.clone(), definition: None };
        for seed in 0..SEEDS {
            if let Some(met) = run(&mut oracle, &kind, seed) {
                (runs, conflicts) = (runs + 1, conflicts + u64::from(met));
            }
        }
    }
    assert!(runs > runs_min && conflicts > conflicts_min, "{runs} runs met {conflicts} conflicts");
}

#[test]
fn fields_of_custom_resources_have_the_owners_that_kubernetes_gives_them() {
    let Some(mut oracle) = Oracle::start() else { return };
    let (mut runs, mut conflicts) = (0, 0);
    for seed in 0..700 {
        let mut definition = definition(&schema(&mut Dice::new(seed + 3), 0));
        if seed % 2 == 0 {
            definition["spec"]["versions"][0]["subresources"] = json!({"status": {}});
        }
        let told = oracle.ask(&json!({"operation": "custom-definition", "object": definition}));
        if told["object"]["causes"] != json!([]) {
            continue;
        }
        let read = Object::from_tree(definition.clone(), &DEFINITIONS).expect("conforms").0;
        let row = custom::rows(&read, 1).remove(0);
        if let Some(met) = run(&mut oracle, &Kind { row, definition: Some(definition) }, seed) {
            (runs, conflicts) = (runs + 1, conflicts + met);
        }
    }
    assert!(runs > 200 && conflicts > 20, "{runs} runs met {conflicts} conflicts");
}
