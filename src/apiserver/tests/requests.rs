//! What is refused before any object is looked at: paths, methods, media types, options.

use axum::body::Body;
use serde_json::json;

use super::{Api, MAPS};

#[tokio::test]
async fn paths_that_nobody_serves() {
    let api = Api::new();
    let known = [
        "/api/v9",
        "/api/v1/nothings",
        "/api/v1/configmaps/map",
        "/api/v1/namespaces/default/nodes",
        "/api/v1/namespaces/default/configmaps/map/status",
        "/apis/apps/v9",
        "/apis/apps/v9/deployments",
        "/apis/authentication.k8s.io/v1/tokenreviews/x",
    ];
    for path in known {
        let answer = api.get(path).await;
        assert_eq!(answer.failure(), (404, "the server could not find the requested resource"), "{path}");
        assert_eq!(answer.body["details"], json!({}), "{path}");
    }
    for path in ["/nothing", "/apis/nothing.example.com", "/apis/nothing.example.com/v1/things", "/apisx"] {
        let answer = api.get(path).await;
        assert_eq!((answer.code, &answer.body), (404, &json!("404 page not found\n")), "{path}");
        assert_eq!(api.post(path, json!({})).await.code, 404, "{path}");
    }
}

#[tokio::test]
async fn methods_that_a_path_does_not_have() {
    let api = Api::new();
    let map = format!("{MAPS}/map");
    let cases = [
        ("PUT", MAPS),
        ("PATCH", MAPS),
        ("POST", &*map),
        ("DELETE", "/api/v1/configmaps"),
        ("DELETE", "/api/v1/namespaces"),
        ("GET", "/apis/authentication.k8s.io/v1/tokenreviews"),
        ("POST", "/version"),
        ("PUT", "/api/v1"),
        ("POST", "/apis"),
    ];
    for (method, path) in cases {
        let answer = api.ask(method, path, &[], "{}").await;
        let expect = (405, "the server does not allow this method on the requested resource");
        assert_eq!((answer.failure(), &answer.body["details"]), (expect, &json!({})), "{method} {path}");
    }
}

#[tokio::test]
async fn media_types_that_a_path_does_not_have() {
    let api = Api::new();
    let map = format!("{MAPS}/map");
    let text = [("content-type", "text/plain")];
    let patched = api.ask("PATCH", &map, &text, "{}").await;
    assert_eq!(
        (patched.failure(), &patched.body["details"]),
        ((415, "415: Unsupported Media Type"), &json!({}))
    );
    let three = "application/json, application/yaml, application/vnd.kubernetes.protobuf";
    let unknown = "the body of the request was in an unknown format - accepted media types include";
    assert_eq!(api.ask("PUT", &map, &text, "{}").await.failure(), (415, &*format!("{unknown}: {three}")));
    let html = [("accept", "text/html")];
    let available = format!("406: Not Acceptable\n\nAvailable representations: {three}");
    assert_eq!(api.ask("GET", &map, &html, Body::empty()).await.failure(), (406, &*available));
    let streams = "application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch";
    let both = format!("{available}, {streams}");
    assert_eq!(api.ask("GET", MAPS, &html, Body::empty()).await.failure(), (406, &*both));
    let nothing = [("accept", "application/json;as=Nothing;g=meta.k8s.io;v=v1")];
    let only = format!("only the following media types are accepted: {three}");
    assert_eq!(api.ask("GET", &map, &nothing, Body::empty()).await.failure(), (406, &*only));
}

#[tokio::test]
async fn options_of_writes() {
    let api = Api::new();
    api.config_map("map", json!({})).await;
    let unsupported = |kind: &str, given: &str| {
        format!(
            r#"{kind}.meta.k8s.io "" is invalid: dryRun: Unsupported value: {given}: supported values: "All""#
        )
    };
    let map = format!("{MAPS}/map");
    let merge = [("content-type", "application/merge-patch+json")];
    let cases = [
        ("POST", format!("{MAPS}?dryRun="), "CreateOptions", r#"[""]"#),
        ("POST", format!("{MAPS}?dryRun=All&dryRun=Some"), "CreateOptions", r#"["All","Some"]"#),
        ("PUT", format!("{map}?dryRun=Some"), "UpdateOptions", r#"["Some"]"#),
        ("PATCH", format!("{map}?dryRun=Some"), "PatchOptions", r#"["Some"]"#),
        ("DELETE", format!("{map}?dryRun=Some"), "DeleteOptions", r#"["Some"]"#),
        ("DELETE", format!("{MAPS}?dryRun=Some"), "DeleteOptions", r#"["Some"]"#),
    ];
    for (method, path, kind, given) in cases {
        let headers: &[_] = if method == "PATCH" { &merge } else { &[] };
        let body = if method == "DELETE" { "" } else { r#"{"metadata":{"name":"map"}}"# };
        let answer = api.ask(method, &path, headers, body).await;
        assert_eq!(answer.failure(), (422, &*unsupported(kind, given)), "{method} {path}");
    }
    let both = api.post(&format!("{MAPS}?fieldManager=a%01&fieldValidation=Some"), json!({})).await;
    let fields: Vec<_> = both.body["details"]["causes"].as_array().expect("causes").iter().collect();
    assert_eq!(
        (both.code, &fields[0]["field"], &fields[1]["field"]),
        (422, &json!("fieldManager"), &json!("fieldValidation"))
    );

    let soon = api.delete(&format!("{map}?gracePeriodSeconds=soon")).await;
    assert_eq!(soon.failure(), (400, r#"strconv.ParseInt: parsing "soon": invalid syntax"#));
    let other = api.ask("DELETE", &map, &[], r#"{"preconditions":{"resourceVersion":"1"}}"#).await;
    assert!(
        other.failure().1.starts_with(r#"Operation cannot be fulfilled on ConfigMap "map": the Res"#),
        "{other:?}"
    );
    // A body says it all: the query is not looked at, nor is the media type of none.
    let gone = api.ask("DELETE", &format!("{map}?dryRun=All"), &[], "{}").await;
    assert_eq!(gone.code, 200);
    assert_eq!(api.ask("DELETE", &map, &[("content-type", "text/plain")], "").await.code, 404);
}

#[tokio::test]
async fn options_of_lists() {
    let api = Api::new();
    let list_options = r#"ListOptions.meta.k8s.io "" is invalid"#;
    let match_of_watch = format!(
        r#"{list_options}: [resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided, resourceVersionMatch: Unsupported value: "Exact": supported values: "NotOlderThan"]"#
    );
    let new = r#"resourceVersion: Invalid value: "new": strconv.ParseUint: parsing "new": invalid syntax"#;
    let cases = [
        ("?limit=many", 400, r#"strconv.ParseInt: parsing "many": invalid syntax"#.to_owned()),
        ("?timeoutSeconds=long", 400, r#"strconv.ParseInt: parsing "long": invalid syntax"#.to_owned()),
        ("?resourceVersion=new", 400, format!("invalid resource version: {new}")),
        ("?watch=1&resourceVersion=new", 500, new.to_owned()),
        ("/map?resourceVersion=new", 500, new.to_owned()),
        ("?watch=1&resourceVersion=1&resourceVersionMatch=Exact", 422, match_of_watch),
        (
            "?sendInitialEvents=true",
            422,
            format!("{list_options}: sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list"),
        ),
        (
            "?continue=bm9uc2Vuc2U",
            400,
            "invalid continue token: continue key is not valid: invalid character 'o' in literal null (expecting 'u')"
                .to_owned(),
        ),
    ];
    for (query, code, message) in cases {
        assert_eq!(api.get(&format!("{MAPS}{query}")).await.failure(), (code, &*message), "{query}");
    }
    assert_eq!(api.get(&format!("{MAPS}?limit=-1&allowWatchBookmarks=perhaps")).await.code, 200);
}

#[tokio::test(start_paused = true)]
async fn a_revision_that_is_far_ahead() {
    let api = Api::new();
    let ahead = api.get(&format!("{MAPS}?resourceVersion=99999999")).await;
    assert_eq!((ahead.code, &ahead.body["details"]["retryAfterSeconds"]), (504, &json!(1)));
    let exactly = api.get(&format!("{MAPS}?resourceVersion=99999999&resourceVersionMatch=Exact")).await;
    assert_eq!((exactly.code, exactly.body["details"].get("retryAfterSeconds")), (504, None));
}

#[tokio::test]
async fn what_is_told_of_the_server() {
    let api = Api::new();
    let address = [("host", "masters.example.com:6443")];
    let versions = api.ask("GET", "/api", &address, Body::empty()).await.body;
    assert_eq!(
        versions.to_string(),
        r#"{"kind":"APIVersions","versions":["v1"],"serverAddressByClientCIDRs":[{"clientCIDR":"0.0.0.0/0","serverAddress":"masters.example.com:6443"}]}"#
    );
    let group = api.get("/apis/apps").await.body.to_string();
    assert!(group.starts_with(r#"{"kind":"APIGroup","apiVersion":"v1","name":"apps","#), "{group}");
}
