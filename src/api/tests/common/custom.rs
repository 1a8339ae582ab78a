//! Random schemas of definitions, and causes in a form that can be compared.

use serde_json::{Map, Value, json};

use super::Dice;

/// The names of members: few, so that objects hit them.
pub const NAMES: [&str; 5] = ["a", "b", "c", "list", "map"];

pub fn pick<'w>(dice: &mut Dice, words: &[&'w str]) -> &'w str {
    words[dice.below(words.len() as u64) as usize]
}

pub fn chance(dice: &mut Dice, of: u64) -> bool {
    dice.below(of) == 0
}

/// Checks of a value, as they may stand beside its type or below a junctor.
fn rules(kind: &str, dice: &mut Dice) -> Map<String, Value> {
    let mut rules = Map::new();
    let mut add = |name: &str, value: Value| drop(rules.insert(name.to_owned(), value));
    match kind {
        "string" => {
            if chance(dice, 4) {
                add("maxLength", dice.below(4).into());
            }
            if chance(dice, 4) {
                add("minLength", dice.below(3).into());
            }
            if chance(dice, 4) {
                add("pattern", pick(dice, &["^a", r"^\d+$", "^[a-z]+$", "b{2}"]).into());
            }
            if chance(dice, 4) {
                let formats =
                    ["date", "date-time", "ipv4", "uuid", "byte", "unheard-of", "duration", "k8s-short-name"];
                add("format", pick(dice, &formats).into());
            }
            if chance(dice, 6) {
                add("enum", json!(["a", "bb", "x y"]));
            }
        }
        "integer" | "number" => {
            if chance(dice, 3) {
                add("maximum", [json!(5), json!(2.5), json!(-1)][dice.below(3) as usize].clone());
            }
            if chance(dice, 3) {
                add("minimum", [json!(0), json!(1.5), json!(3)][dice.below(3) as usize].clone());
            }
            if chance(dice, 4) {
                add("exclusiveMaximum", true.into());
            }
            if chance(dice, 4) {
                add("exclusiveMinimum", true.into());
            }
            if chance(dice, 5) {
                add("multipleOf", [json!(2), json!(0.5)][dice.below(2) as usize].clone());
            }
            if chance(dice, 5) {
                add("format", pick(dice, &["int32", "int64", "float", "double", "date"]).into());
            }
            if chance(dice, 8) {
                add("enum", json!([1, 2.5, 3]));
            }
        }
        "array" => {
            if chance(dice, 4) {
                add("maxItems", dice.below(3).into());
            }
            if chance(dice, 5) {
                add("minItems", dice.below(3).into());
            }
        }
        "object" => {
            if chance(dice, 6) {
                add("maxProperties", (1 + dice.below(2)).into());
            }
            if chance(dice, 6) {
                add("minProperties", dice.below(3).into());
            }
            if chance(dice, 4) {
                add("required", json!([pick(dice, &NAMES)]));
            }
        }
        _ => {}
    }
    rules
}

/// A structural schema.
pub fn schema(dice: &mut Dice, depth: usize) -> Value {
    let scalars = ["string", "integer", "number", "boolean"];
    let all = ["string", "integer", "object", "array", "object", "object", "array", "number"];
    let kind = if depth == 0 {
        "object"
    } else if depth > 3 {
        pick(dice, &scalars)
    } else {
        pick(dice, &all)
    };
    let mut props = Map::from_iter([("type".to_owned(), kind.into())]);
    if depth > 0 {
        if chance(dice, 12) {
            return int_or_string(dice);
        }
        if chance(dice, 14) {
            return json!({"x-kubernetes-preserve-unknown-fields": true});
        }
        if chance(dice, 14) {
            return json!({
                "type": "object", "x-kubernetes-embedded-resource": true,
                "x-kubernetes-preserve-unknown-fields": true,
            });
        }
        if chance(dice, 6) {
            props.insert("nullable".into(), true.into());
        }
        if chance(dice, 5) && kind != "object" {
            let default = match kind {
                "string" => json!("def"),
                "integer" => json!(7),
                "number" => json!(1.5),
                "boolean" => json!(true),
                _ => json!([]),
            };
            props.insert("default".into(), default);
        }
        if chance(dice, 6) && kind == "object" {
            props.insert("default".into(), json!({}));
        }
    }
    props.extend(rules(kind, dice));
    if kind == "object" {
        object_parts(&mut props, dice, depth);
    }
    if kind == "array" {
        let mut items = schema(dice, depth + 1);
        match dice.below(5) {
            0 if items["type"] == "object"
                && items.get("properties").is_some_and(|all| all.get("a").is_some()) =>
            {
                items["properties"]["a"] = json!({"type": "string", "default": "key"});
                props.insert("x-kubernetes-list-type".into(), "map".into());
                props.insert("x-kubernetes-list-map-keys".into(), json!(["a"]));
            }
            1 => drop(props.insert("x-kubernetes-list-type".into(), "set".into())),
            _ => {}
        }
        props.insert("items".into(), items);
    }
    if depth > 0 && chance(dice, 4) {
        junctors(&mut props, kind, dice);
    }
    props.into()
}

fn junctors(props: &mut Map<String, Value>, kind: &str, dice: &mut Dice) {
    for name in ["allOf", "anyOf", "oneOf"] {
        if chance(dice, 2) {
            let branches: Vec<Value> = (0..1 + dice.below(3)).map(|_| rules(kind, dice).into()).collect();
            props.insert(name.into(), branches.into());
        }
    }
    if chance(dice, 3) {
        props.insert("not".into(), rules(kind, dice).into());
    }
}

fn int_or_string(dice: &mut Dice) -> Value {
    let mut props = json!({"x-kubernetes-int-or-string": true});
    if chance(dice, 2) {
        props["anyOf"] = json!([{"type": "integer"}, {"type": "string"}]);
    }
    if chance(dice, 3) {
        props["pattern"] = r"^\d+%$".into();
    }
    props
}

fn object_parts(props: &mut Map<String, Value>, dice: &mut Dice, depth: usize) {
    if depth > 0 && chance(dice, 5) {
        let additional = if chance(dice, 5) { true.into() } else { schema(dice, depth + 1) };
        props.insert("additionalProperties".into(), additional);
        return;
    }
    let mut members = Map::new();
    for name in NAMES {
        if chance(dice, 2) {
            members.insert(name.into(), schema(dice, depth + 1));
        }
    }
    props.insert("properties".into(), members.into());
    if chance(dice, 8) {
        props.insert("x-kubernetes-preserve-unknown-fields".into(), true.into());
    }
}

/// Causes in one order; what is about the metadata of the object itself is generic, and compared elsewhere.
fn sorted(causes: impl IntoIterator<Item = (String, String, String)>) -> Vec<(String, String, String)> {
    let mut causes: Vec<_> = causes.into_iter().collect();
    causes.sort();
    causes
}

pub fn theirs(told: &Value) -> Vec<(String, String, String)> {
    let word = |cause: &Value, name: &str| cause[name].as_str().unwrap_or_default().to_owned();
    let causes = told["object"]["causes"].as_array().into_iter().flatten();
    sorted(causes.map(|cause| (word(cause, "field"), word(cause, "reason"), word(cause, "message"))))
}

pub fn ours(errors: &[api::FieldError]) -> Vec<(String, String, String)> {
    sorted(errors.iter().map(|error| {
        let cause = error.cause();
        (cause.field, cause.reason.to_owned(), cause.message)
    }))
}
