//! The page of a kind without a layout of its own: every field, in words.

use serde_json::{Value, json};

use super::{Page, Subject, begin, text};

/// What the page's head has said already, or nobody reads.
const SAID: &[&str] = &["apiVersion", "kind"];
const SAID_OF_METADATA: &[&str] = &["annotations", "labels", "managedFields", "name", "namespace"];

/// Words that are written in capitals.
const CAPITALS: &[&str] = &["API", "CIDR", "CPU", "DNS", "FQDN", "GUID", "IP", "UID", "URL"];

/// Writes the page.
pub fn write(subject: &Subject<'_>, page: &mut Page) {
    let object = without_secrets(subject.object);
    begin(&object, page, |_| {});
    page.field(0, "API Version", text(&object["apiVersion"]));
    page.field(0, "Kind", text(&object["kind"]));
    let mut members: Vec<_> = object.as_object().into_iter().flatten().collect();
    members.sort_unstable_by_key(|(name, _)| *name);
    for (name, value) in members.into_iter().filter(|(name, _)| !SAID.contains(&name.as_str())) {
        let mut value = value.clone();
        if name == "metadata"
            && let Some(metadata) = value.as_object_mut()
        {
            metadata.retain(|name, _| !SAID_OF_METADATA.contains(&name.as_str()));
        }
        // Keys of data are the user's own words.
        let is_data = matches!(name.as_str(), "binaryData" | "data");
        member(&label(name), &value, 0, !is_data, page);
    }
}

/// A Secret's values are not for screens.
fn without_secrets(object: &Value) -> Value {
    let mut object = object.clone();
    if object["kind"] == "Secret" && object["apiVersion"] == "v1" {
        for (_, value) in object["data"].as_object_mut().into_iter().flatten() {
            let encoded = value.as_str().unwrap_or_default().trim_end_matches('=').len();
            *value = json!(format!("{} bytes", encoded * 3 / 4));
        }
    }
    object
}

fn member(name: &str, value: &Value, level: usize, is_ours: bool, page: &mut Page) {
    match value {
        Value::Object(members) => {
            page.head(level, name);
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            for (name, value) in members {
                let name = if is_ours { label(name) } else { name.clone() };
                member(&name, value, level + 1, is_ours, page);
            }
        }
        Value::Array(items) => {
            page.head(level, name);
            for item in items {
                match item {
                    Value::Object(members) => {
                        let mut members: Vec<_> = members.iter().collect();
                        members.sort_unstable_by_key(|(name, _)| *name);
                        members
                            .into_iter()
                            .for_each(|(name, value)| member(&label(name), value, level + 1, true, page));
                    }
                    item => page.line(level + 1, &[&text(item)]),
                }
            }
        }
        value => page.field(level, name, text(value)),
    }
}

/// `creationTimestamp` in words: `Creation Timestamp`.
fn label(name: &str) -> String {
    if name.contains(['.', '/', '-', '_']) {
        return name.to_owned();
    }
    let mut words: Vec<String> = Vec::new();
    let mut was_upper = true;
    for c in name.chars() {
        match words.last_mut() {
            Some(word) if !c.is_uppercase() || was_upper => word.push(c),
            _ => words.push(c.to_uppercase().to_string()),
        }
        was_upper = c.is_uppercase();
    }
    let capital = |word: String| match word.to_uppercase() {
        upper if CAPITALS.contains(&upper.as_str()) => upper,
        _ => word,
    };
    words.into_iter().map(capital).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::{GENERIC, tests::check};
    use super::*;

    #[test]
    fn every_field_in_words() {
        let object = json!({
            "apiVersion": "stable.example.com/v1", "kind": "CronTab",
            "metadata": {"name": "a", "namespace": "n", "uid": "u", "labels": {"x": "y"}, "managedFields": [1]},
            "spec": {"cronSpec": "* *", "apiUrl": "u", "items": [{"name": "b", "n": 1}, "plain"], "on": true},
        });
        check(
            &GENERIC,
            &object,
            vec![],
            &expect![[r"
            Name:         a
            Namespace:    n
            Labels:       x=y
            Annotations:  <none>
            API Version:  stable.example.com/v1
            Kind:         CronTab
            Metadata:
              UID:  u
            Spec:
              API URL:    u
              Cron Spec:  * *
              Items:
                N:     1
                Name:  b
                plain
              On:  true
        "]],
        );
    }

    #[test]
    fn a_secret_is_not_told() {
        let object = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "data": {"passWord": "MTIzNA=="}, "type": "Opaque"});
        check(
            &GENERIC,
            &object,
            vec![],
            &expect![[r"
            Name:         a
            Labels:       <none>
            Annotations:  <none>
            API Version:  v1
            Kind:         Secret
            Data:
              passWord:  4 bytes
            Metadata:
            Type:  Opaque
        "]],
        );
    }
}
