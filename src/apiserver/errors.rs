//! Every failure below the API, as the `Status` that a client sees. The only place that decides it.

use api::Status;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use replica::{AtLeastError, Gone, ProposeError, Unavailable, ViewError, WatchEnd};

/// A failed request.
#[derive(Debug)]
pub struct Failure(pub Box<Status>);

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self(Box::new(status))
    }
}

impl From<Unavailable> for Failure {
    fn from(error: Unavailable) -> Self {
        match error {
            // No Retry-After: this master has waited through elections already, and client libraries would
            // keep a person waiting for ten more rounds of it.
            Unavailable::Unconfirmed { reason } => Status::unavailable(reason),
            Unavailable::Busy { reason } => Status::too_many_requests(&reason, 1),
        }
        .into()
    }
}

impl From<AtLeastError> for Failure {
    fn from(error: AtLeastError) -> Self {
        match error {
            AtLeastError::TooLarge { revision, current } => {
                Status::too_large_resource_version(revision, current).into()
            }
        }
    }
}

impl From<ProposeError> for Failure {
    fn from(error: ProposeError) -> Self {
        match &error {
            ProposeError::Unavailable { reason } => Status::unavailable(reason.clone()),
            ProposeError::OutOfSpace | ProposeError::OutOfSpaceHere => {
                Status::insufficient_storage(error.to_string())
            }
            ProposeError::TooLarge(what) => Status::too_large(what),
            ProposeError::Unknown => Status::timeout(&error.to_string(), 0),
        }
        .into()
    }
}

impl From<Gone> for Failure {
    fn from(gone: Gone) -> Self {
        Status::too_old(gone.revision, gone.floor).into()
    }
}

impl From<ViewError> for Failure {
    fn from(error: ViewError) -> Self {
        match error {
            ViewError::Gone(gone) => gone.into(),
            ViewError::Unwritten { .. } => Status::timeout(&error.to_string(), 1).into(),
            ViewError::History(_) => Status::internal(&error.to_string()).into(),
        }
    }
}

impl Failure {
    /// What a watch says before it ends; `None` when it just ends.
    pub fn of_watch(end: WatchEnd) -> Option<Self> {
        match end {
            WatchEnd::Gone(gone) => Some(gone.into()),
            // Nothing is lost yet: a client resumes a stream that just ends, and the history that came with
            // the snapshot decides whether it can.
            WatchEnd::Reset => None,
            WatchEnd::History(_) => Some(Status::internal(&end.to_string()).into()),
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let retry_after_seconds = self.0.details.as_ref().map_or(0, |details| details.retry_after_seconds);
        let mut response = json(self.0.code, self.0.to_json());
        if retry_after_seconds > 0 {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(retry_after_seconds));
        }
        response
    }
}

/// A response with a JSON body.
pub fn json(code: u16, body: impl Into<bytes::Bytes>) -> Response {
    let mut response = Response::new(axum::body::Body::from(body.into()));
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_see() {
        let unavailable = || "no master leads".to_owned();
        let cases: Vec<(Failure, u16, &str)> = vec![
            (Unavailable::Unconfirmed { reason: unavailable() }.into(), 503, "no master leads"),
            (Unavailable::Busy { reason: "9 reads wait".into() }.into(), 429, "9 reads wait"),
            (ProposeError::Unavailable { reason: unavailable() }.into(), 503, "no master leads"),
            (ProposeError::Unknown.into(), 504, "Timeout: the outcome is unknown"),
            (ProposeError::OutOfSpace.into(), 507, "the leading master's disk is full"),
            (ProposeError::TooLarge("x".into()).into(), 413, "Request entity too large: x"),
            (
                AtLeastError::TooLarge { revision: 9, current: 5 }.into(),
                504,
                "Timeout: Too large resource version: 9, current: 5",
            ),
            (
                ViewError::Unwritten { revision: 9, written: 5 }.into(),
                504,
                "Timeout: history is written up to revision 5 only, and 9 was asked for",
            ),
            (Gone { revision: 1, floor: 5 }.into(), 410, "too old resource version: 1 (5)"),
        ];
        for (Failure(status), code, start) in cases {
            assert_eq!(status.code, code, "{status:?}");
            assert!(status.message.starts_with(start), "{status:?}");
        }
    }

    #[test]
    fn a_lost_quorum_does_not_send_clients_into_retries() {
        let lost = Failure::from(Unavailable::Unconfirmed { reason: "no quorum".into() }).into_response();
        assert!(!lost.headers().contains_key(RETRY_AFTER));
        let behind = Failure::from(AtLeastError::TooLarge { revision: 9, current: 5 }).into_response();
        assert_eq!(behind.headers()[RETRY_AFTER], "1");
        let busy = Failure::from(Unavailable::Busy { reason: "9 reads wait".into() }).into_response();
        assert_eq!(busy.headers()[RETRY_AFTER], "1");
    }
}
