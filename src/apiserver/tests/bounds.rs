//! Requests that are too many, or never end. Time is virtual.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::post;
use base::env;
use http::StatusCode;
use http::header::RETRY_AFTER;
use serde_json::json;
use tower::ServiceExt;

use super::{Api, MAPS};
use crate::limits::{REQUEST_TIMEOUT, REQUESTS_MAX};

/// A body that is begun and never ends.
fn endless() -> Body {
    let begun = futures::stream::iter([Ok::<_, std::convert::Infallible>(Bytes::from_static(b"{"))]);
    Body::from_stream(futures::StreamExt::chain(begun, futures::stream::pending()))
}

#[test]
fn requests_beyond_the_limit_are_refused_and_health_is_told() {
    env::simulate(1, async {
        let api = Api::new();
        let waiting = (0..REQUESTS_MAX).map(|_| api.send("POST", MAPS, &[], endless()));
        let waiting = futures::future::join_all(waiting);
        let others = async {
            env::sleep(Duration::from_secs(1)).await;
            let refused = api.send("GET", MAPS, &[], Body::empty()).await;
            assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
            assert_eq!(refused.headers()[RETRY_AFTER], "1");
            assert_eq!(api.get("/readyz").await.body, json!("ok"));
        };
        let (waited, ()) = tokio::join!(waiting, others);
        assert!(waited.iter().all(|answer| answer.status() == StatusCode::GATEWAY_TIMEOUT));
        assert_eq!(api.get(MAPS).await.code, 200, "the places are free again");
    });
}

#[test]
fn a_request_that_nobody_is_authorized_for_ends_too() {
    env::simulate(1, async {
        let open = Router::new().route("/open", post(async |_: Bytes| "whole"));
        let api = Api::with(open);
        let request = http::Request::post("/open").body(endless()).expect("a request");
        let began = env::monotonic();
        let answer = env::timeout(2 * REQUEST_TIMEOUT, api.router.clone().oneshot(request)).await;
        let answer = answer.expect("it ends").expect("an answer");
        assert_eq!((answer.status(), began.elapsed()), (StatusCode::GATEWAY_TIMEOUT, REQUEST_TIMEOUT));
    });
}
