//! Watch streams, frame by frame. Time is virtual: nothing waits.

use axum::body::{Body, BodyDataStream};
use futures::StreamExt;
use serde_json::{Value, json};

use super::{Api, MAPS};
use crate::limits::BOOKMARK_INTERVAL;

/// The frames of one watch.
struct Frames {
    body: BodyDataStream,
    rest: Vec<u8>,
}

impl Frames {
    async fn open(api: &Api, query: &str) -> Self {
        Self::open_as(api, query, &[]).await
    }

    async fn open_as(api: &Api, query: &str, headers: &[(&str, &str)]) -> Self {
        let response = api.send("GET", &format!("{MAPS}?watch=true&{query}"), headers, Body::empty()).await;
        assert_eq!(response.status(), 200);
        Self { body: response.into_body().into_data_stream(), rest: Vec::new() }
    }

    /// The next frame; `None` at the end.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).expect("a frame is JSON"));
            }
            self.rest.extend(self.body.next().await?.expect("bytes"));
        }
    }

    /// Type and name of the next frames.
    async fn expect(&mut self, frames: &[(&str, &str)]) {
        for (kind, name) in frames {
            let frame = self.next().await.expect("a frame");
            assert_eq!(
                (&frame["type"], &frame["object"]["metadata"]["name"]),
                (&json!(kind), &json!(name)),
                "{frame}"
            );
        }
    }
}

#[tokio::test]
async fn every_change_after_a_revision_once_and_in_order() {
    let api = Api::new();
    let first = api.config_map("a", json!({})).await;
    api.config_map("b", json!({})).await;
    let mut frames = Frames::open(&api, &format!("resourceVersion={}", first.revision())).await;
    frames.expect(&[("ADDED", "b")]).await;
    api.put(&format!("{MAPS}/a"), json!({"metadata": {"name": "a"}, "data": {"a": "c"}})).await;
    api.delete(&format!("{MAPS}/a")).await;
    frames.expect(&[("MODIFIED", "a")]).await;
    let deleted = frames.next().await.expect("a frame");
    assert_eq!(
        (&deleted["type"], &deleted["object"]["metadata"]["resourceVersion"]),
        (&json!("DELETED"), &json!("8"))
    );
}

#[tokio::test]
async fn without_a_revision_what_exists_comes_first() {
    let api = Api::new();
    api.config_map("a", json!({})).await;
    let mut frames = Frames::open(&api, "").await;
    frames.expect(&[("ADDED", "a")]).await;
    api.config_map("b", json!({})).await;
    frames.expect(&[("ADDED", "b")]).await;
    let mut other = Frames::open(&api, "sendInitialEvents=false&resourceVersionMatch=NotOlderThan").await;
    api.config_map("c", json!({})).await;
    other.expect(&[("ADDED", "c")]).await;
}

#[tokio::test]
async fn initial_events_end_with_a_bookmark() {
    let api = Api::new();
    api.config_map("a", json!({})).await;
    let query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut frames = Frames::open(&api, query).await;
    frames.expect(&[("ADDED", "a")]).await;
    let expect = json!({"type": "BOOKMARK", "object": {"kind": "ConfigMap", "apiVersion": "v1",
        "metadata": {"resourceVersion": "5", "annotations": {"k8s.io/initial-events-end": "true"}}}});
    assert_eq!(frames.next().await, Some(expect));
    for query in ["sendInitialEvents=true", "resourceVersionMatch=NotOlderThan"] {
        assert_eq!(api.get(&format!("{MAPS}?watch=true&{query}")).await.code, 422);
    }
}

#[tokio::test]
async fn objects_enter_and_leave_a_selector() {
    let api = Api::new();
    let mut frames = Frames::open(&api, "resourceVersion=4&labelSelector=app%3Dweb").await;
    let path = format!("{MAPS}/a");
    api.config_map("a", json!({})).await;
    api.put(&path, json!({"metadata": {"name": "a", "labels": {"app": "web"}}})).await;
    api.put(&path, json!({"metadata": {"name": "a", "labels": {"app": "web"}}, "data": {"x": "y"}})).await;
    let left = api.put(&path, json!({"metadata": {"name": "a", "labels": {"app": "db"}}})).await;
    api.put(&path, json!({"metadata": {"name": "a", "labels": {"app": "web"}}})).await;
    frames.expect(&[("ADDED", "a"), ("MODIFIED", "a")]).await;
    let gone = frames.next().await.expect("a frame");
    assert_eq!(gone["type"], "DELETED");
    let meta = &gone["object"]["metadata"];
    assert_eq!(
        (&meta["labels"]["app"], &meta["resourceVersion"]),
        (&json!("web"), &json!(left.revision().to_string()))
    );
    frames.expect(&[("ADDED", "a")]).await;
}

#[tokio::test]
async fn one_object_by_name() {
    let api = Api::new();
    let mut frames = Frames::open(&api, "resourceVersion=4&fieldSelector=metadata.name%3Dweb").await;
    api.config_map("web-2", json!({})).await;
    api.config_map("web", json!({})).await;
    frames.expect(&[("ADDED", "web")]).await;
}

#[tokio::test]
async fn past_the_horizon_is_an_error_event() {
    let api = Api::new();
    api.config_map("a", json!({})).await;
    api.memory.compact();
    let mut frames = Frames::open(&api, "resourceVersion=2").await;
    let frame = frames.next().await.expect("a frame");
    assert_eq!(
        (&frame["type"], &frame["object"]["code"], &frame["object"]["reason"]),
        (&json!("ERROR"), &json!(410), &json!("Expired"))
    );
    assert_eq!(frame["object"]["message"], "too old resource version: 2 (5)");
    assert_eq!(frames.next().await, None);
    assert_eq!(api.get(&format!("{MAPS}?watch=true&resourceVersion=99")).await.code, 504);
}

#[tokio::test]
async fn an_installed_snapshot_ends_a_watch_without_a_word_and_a_resume_decides() {
    let api = Api::new();
    let mut frames = Frames::open(&api, "resourceVersion=4").await;
    let first = api.config_map("a", json!({})).await;
    frames.expect(&[("ADDED", "a")]).await;
    api.memory.install_snapshot();
    assert_eq!(frames.next().await, None);

    api.config_map("b", json!({})).await;
    let resume = format!("resourceVersion={}", first.revision());
    let mut frames = Frames::open(&api, &resume).await;
    frames.expect(&[("ADDED", "b")]).await;
    // A snapshot whose history begins later.
    api.memory.compact();
    api.memory.install_snapshot();
    assert_eq!(frames.next().await, None);
    let mut frames = Frames::open(&api, &resume).await;
    assert_eq!(frames.next().await.expect("a frame")["object"]["code"], 410);
}

#[tokio::test]
async fn tables_tell_their_columns_once() {
    let api = Api::new();
    api.config_map("a", json!({})).await;
    let table = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")];
    let mut frames = Frames::open_as(&api, "", &table).await;
    let first = frames.next().await.expect("a frame");
    assert_eq!(
        (&first["object"]["kind"], &first["object"]["rows"][0]["cells"][0]),
        (&json!("Table"), &json!("a"))
    );
    assert!(first["object"]["columnDefinitions"].is_array());
    api.config_map("b", json!({})).await;
    let second = frames.next().await.expect("a frame");
    assert!(second["object"]["columnDefinitions"].is_null());
    assert_eq!(second["object"]["rows"][0]["cells"][0], "b");
}

#[tokio::test(start_paused = true)]
async fn bookmarks_come_with_time_and_at_the_end() {
    let api = Api::new();
    let seconds = BOOKMARK_INTERVAL.as_secs() * 3 / 2;
    let query = format!("resourceVersion=4&allowWatchBookmarks=true&timeoutSeconds={seconds}");
    let mut frames = Frames::open(&api, &query).await;
    for _ in 0..2 {
        let frame = frames.next().await.expect("a frame");
        assert_eq!(
            (&frame["type"], &frame["object"]["metadata"]["resourceVersion"]),
            (&json!("BOOKMARK"), &json!("4"))
        );
    }
    assert_eq!(frames.next().await, None);
}

#[tokio::test]
async fn a_shutdown_ends_watches() {
    let api = Api::new();
    let mut frames = Frames::open(&api, "resourceVersion=4").await;
    api.trigger.fire();
    assert_eq!(frames.next().await, None);
}

#[tokio::test]
async fn watches_without_selectors_share_their_frames() {
    let api = Api::new();
    let (mut one, mut two) =
        (Frames::open(&api, "resourceVersion=4").await, Frames::open(&api, "resourceVersion=4").await);
    api.config_map("a", json!({})).await;
    let chunk = |frames: Option<Result<bytes::Bytes, axum::Error>>| frames.expect("a chunk").expect("bytes");
    let (first, second) = (chunk(one.body.next().await), chunk(two.body.next().await));
    assert_eq!(first.as_ptr(), second.as_ptr(), "the same memory");
}
