//! The paths under `/keelson/v1`: how administrators and new masters reach the cluster itself.

use std::time::Duration;

use api::{Reason, Status};
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base::env;
use http::{StatusCode, header};
use serde::{Deserialize, Serialize};

use super::orders::Order;
use super::view::{HashView, JoinRequest};
use super::{ClusterError, Handle};

/// The largest request body: a join is a few hundred bytes.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// How long a hash waits for its index to be applied.
const HASH_DEADLINE: Duration = Duration::from_secs(10);

/// Paths for `system:masters` alone: the caller of this function sees to that.
pub fn for_masters(cluster: Handle) -> Router {
    Router::new()
        .route("/keelson/v1/cluster", get(view))
        .route("/keelson/v1/cluster/hash", get(hash))
        .route("/keelson/v1/cluster/members/{name}", get(confirm))
        .route("/keelson/v1/cluster/members/{name}/admit", post(admit))
        .route("/keelson/v1/cluster/members/{name}/remove", post(remove))
        .route("/keelson/v1/cluster/transfer", post(transfer))
        .route("/keelson/v1/masters", get(masters))
        .route("/keelson/v1/node-tokens", post(issue_node_token))
        .route("/keelson/v1/tokens", post(issue_token))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(cluster)
}

/// Paths for anybody: what they ask for is guarded by a token.
pub fn for_anybody(cluster: Handle) -> Router {
    Router::new()
        .route("/keelson/v1/authority", get(authority))
        .route("/keelson/v1/join", post(join))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(cluster)
}

/// The certificate that all of the cluster's are signed with: no secret.
async fn authority(State(cluster): State<Handle>) -> Response {
    let pem = cluster.authority.certificate_pem().to_owned();
    ([(header::CONTENT_TYPE, "application/x-pem-file")], pem).into_response()
}

/// Who the masters are: for agents, which learn of new ones by it.
async fn masters(State(cluster): State<Handle>) -> Response {
    Json(cluster.masters()).into_response()
}

async fn view(State(cluster): State<Handle>) -> Response {
    Json(cluster.view().await).into_response()
}

#[derive(Deserialize)]
struct AtIndex {
    index: u64,
}

async fn hash(State(cluster): State<Handle>, Query(at): Query<AtIndex>) -> Response {
    let hash = env::timeout(HASH_DEADLINE, cluster.replica.hash_at(at.index)).await;
    match hash {
        Ok(Some(hash)) => Json(HashView { index: at.index, hash: format!("{hash:032x}") }).into_response(),
        Ok(None) => refusal(Status::expired(format!(
            "the hash at index {} is no longer kept here: ask for a newer index",
            at.index
        ))),
        Err(_) => {
            refusal(Status::timeout(&format!("log index {} was not applied here in time", at.index), 1))
        }
    }
}

/// Which master of a name is meant: the name may have been given to another since.
#[derive(Deserialize)]
struct WithId {
    node: base::ids::NodeId,
}

async fn confirm(
    State(cluster): State<Handle>,
    Path(name): Path<String>,
    Query(WithId { node }): Query<WithId>,
) -> Response {
    answer(cluster.confirm(&name, node).await.map(|()| DONE))
}

async fn admit(State(cluster): State<Handle>, Path(name): Path<String>, body: Bytes) -> Response {
    let Ok(WithId { node }) = serde_json::from_slice(&body) else {
        return refusal(Status::bad_request("the body is not {\"node\": ID}"));
    };
    answer(cluster.order(Order::Admit { name, node }).await.map(|()| DONE))
}

async fn remove(State(cluster): State<Handle>, Path(name): Path<String>) -> Response {
    answer(cluster.remove(&name).await.map(|()| DONE))
}

#[derive(Deserialize)]
struct TransferTo {
    to: Option<String>,
}

async fn transfer(State(cluster): State<Handle>, Query(transfer): Query<TransferTo>) -> Response {
    answer(cluster.transfer(transfer.to.as_deref()).await.map(|()| DONE))
}

async fn issue_token(State(cluster): State<Handle>) -> Response {
    answer(cluster.issue_token().await)
}

async fn issue_node_token(State(cluster): State<Handle>) -> Response {
    answer(cluster.issue_node_token().await)
}

async fn join(State(cluster): State<Handle>, body: Bytes) -> Response {
    match serde_json::from_slice::<JoinRequest>(&body) {
        Ok(request) => answer(cluster.join(&request).await),
        // Not the parser's words: they could repeat the token.
        Err(_) => refusal(Status::bad_request("the body is not a join request of this version")),
    }
}

/// A success without anything to tell.
#[derive(Serialize)]
struct Done {
    status: &'static str,
}

const DONE: Done = Done { status: "Success" };

fn answer<T: Serialize>(result: Result<T, ClusterError>) -> Response {
    match result {
        Ok(value) => Json(value).into_response(),
        Err(error) => refusal(status(&error)),
    }
}

fn status(error: &ClusterError) -> Status {
    let message = error.to_string();
    match error {
        ClusterError::Refused(_) => Status::failure(409, Reason::Conflict, message),
        ClusterError::NotAllowed(_) => Status::failure(401, Reason::Unauthorized, message),
        ClusterError::NoSuchMember(_) => Status::failure(404, Reason::NotFound, message),
        ClusterError::Unavailable(_) => Status::unavailable(message),
        ClusterError::Unknown(_) => Status::timeout(&message, 1),
    }
}

fn refusal(status: Status) -> Response {
    let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (code, [(header::CONTENT_TYPE, "application/json")], status.to_json()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::TokenRefusal;

    #[test]
    fn what_is_final_for_a_client_is_told_by_the_code() {
        let text = || "why".to_owned();
        let cases = [
            (ClusterError::Refused(text()), 409, "Conflict"),
            (ClusterError::NotAllowed(TokenRefusal::Expired), 401, "Unauthorized"),
            (ClusterError::NoSuchMember(text()), 404, "NotFound"),
            (ClusterError::Unavailable(text()), 503, "ServiceUnavailable"),
            (ClusterError::Unknown(text()), 504, "Timeout"),
        ];
        for (error, code, reason) in cases {
            let status = status(&error);
            let json: serde_json::Value = serde_json::from_slice(&status.to_json()).expect("json");
            assert_eq!((status.code, json["reason"].as_str()), (code, Some(reason)), "{error:?}");
            assert!(status.message.contains(&error.to_string()));
        }
    }
}
