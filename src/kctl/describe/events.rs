//! What happened to an object lately.

use serde_json::Value;

use super::{Page, ago, items, text};
use crate::manifest;
use crate::server::Call;

/// Asks for the events of an object.
pub fn call(object: &Value) -> Call {
    let namespace = match manifest::namespace(object) {
        "" => "default",
        namespace => namespace,
    };
    let fields = format!(
        "involvedObject.name={},involvedObject.uid={}",
        manifest::name(object),
        manifest::text(object, "/metadata/uid")
    );
    Call::get(format!("/api/v1/namespaces/{namespace}/events")).with("fieldSelector", fields)
}

/// Writes them, oldest first; nothing is known when they could not be read.
pub fn write(list: Option<&Value>, object: &Value, page: &mut Page) {
    let Some(list) = list else { return page.field(0, "Events", "<unknown>") };
    let uid = manifest::text(object, "/metadata/uid");
    let is_its = |event: &&Value| manifest::text(event, "/involvedObject/uid") == uid;
    let mut events: Vec<&Value> = items(&list["items"]).iter().filter(is_its).collect();
    if events.is_empty() {
        return page.field(0, "Events", "<none>");
    }
    events.sort_by_key(|event| manifest::text(event, "/lastTimestamp"));
    page.head(0, "Events");
    page.line(1, &["Type", "Reason", "Age", "From", "Message"]);
    page.line(1, &["----", "------", "----", "----", "-------"]);
    for event in events {
        let from = match text(&event["source"]["component"]) {
            none if none.is_empty() => text(&event["reportingComponent"]),
            from => from,
        };
        let last = [&event["lastTimestamp"], &event["eventTime"]].into_iter().find(|at| at.is_string());
        let mut age = ago(last.unwrap_or(&Value::Null));
        if event["count"].as_i64().unwrap_or(1) > 1 {
            age = format!("{age} (x{} over {})", event["count"], ago(&event["firstTimestamp"]));
        }
        // Of a part of the object: which one.
        let part = manifest::text(event, "/involvedObject/fieldPath");
        let about = if part.is_empty() { String::new() } else { format!("{part}: ") };
        let message = format!("{about}{}", text(&event["message"]).trim());
        page.line(1, &[&text(&event["type"]), &text(&event["reason"]), &age, &from, &message]);
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    #[test]
    fn events_in_order_and_only_its_own() {
        let object = json!({"metadata": {"name": "a", "namespace": "n", "uid": "u"}});
        let event = |uid: &str, at: &str, reason: &str| json!({"type": "Normal", "reason": reason, "involvedObject": {"uid": uid}, "lastTimestamp": at, "message": "m\n", "source": {"component": "c"}});
        let mut second = event("u", "z", "Second");
        second["involvedObject"]["fieldPath"] = "spec.containers{main}".into();
        let list = json!({"items": [second, event("other", "a", "Not"), event("u", "y", "First")]});
        let mut page = Page::default();
        write(Some(&list), &object, &mut page);
        write(Some(&json!({"items": []})), &object, &mut page);
        write(None, &object, &mut page);
        expect![[r"
            Events:
              Type    Reason  Age        From  Message
              ----    ------  ----       ----  -------
              Normal  First   <unknown>  c     m
              Normal  Second  <unknown>  c     spec.containers{main}: m
            Events:   <none>
            Events:   <unknown>
        "]]
        .assert_eq(&page.text());
    }
}
