//! Asks the masters from time to time who they are, so that a replaced one is found.

use std::sync::Weak;
use std::time::Duration;

use base::env;
use bytes::Bytes;
use http::{Method, Request};
use serde::Deserialize;

use crate::send::{Repeat, Shape, send};
use crate::server::Server;
use crate::{Inner, whole};

/// How often they are asked when there is no reason to. Spread by up to as much again.
const INTERVAL: Duration = Duration::from_secs(60);
/// How often at most, when a master failed or an unknown one leads. Spread likewise.
const DOUBT_INTERVAL: Duration = Duration::from_secs(5);
const PATH: &str = "/keelson/v1/masters";

#[derive(Deserialize)]
struct Masters {
    masters: Vec<String>,
    leader: Option<String>,
}

/// Runs until the client is gone.
pub(crate) async fn run(client: Weak<Inner>) {
    while let Some(inner) = client.upgrade() {
        match ask(&inner).await {
            Ok(Masters { masters, leader }) => {
                let members = masters.iter().filter_map(|text| text.parse().ok()).collect();
                let leader: Option<Server> = leader.and_then(|text| text.parse().ok());
                inner.replace(members, leader);
            }
            Err(why) => tracing::debug!("the masters do not say who they are: {why}"),
        }
        drop(inner);
        env::sleep(spread(DOUBT_INTERVAL)).await;
        doubt_or(&client, spread(INTERVAL)).await;
    }
}

/// Waits for a doubt, but no longer than this.
async fn doubt_or(client: &Weak<Inner>, limit: Duration) {
    // A step at a time, so that a client that is gone is noticed.
    let deadline = env::monotonic() + limit;
    while env::monotonic() < deadline {
        let Some(inner) = client.upgrade() else { return };
        if env::timeout(DOUBT_INTERVAL, inner.doubt.notified()).await.is_ok() {
            return;
        }
    }
}

/// Between this and twice this.
fn spread(least: Duration) -> Duration {
    least + Duration::from_millis(env::random_u64() % (least.as_millis() as u64).max(1))
}

async fn ask(inner: &Inner) -> Result<Masters, String> {
    let request = Request::builder().method(Method::GET).uri(PATH).body(Bytes::new());
    let request = request.map_err(|error| error.to_string())?;
    let reply =
        send(inner, request, Repeat::Undone, Shape::Whole).await.map_err(|error| error.to_string())?;
    let body = whole(PATH, reply.response).await.map_err(|error| error.to_string())?;
    serde_json::from_slice(&body).map_err(|error| error.to_string())
}
