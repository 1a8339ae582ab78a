//! Reading a watch, event by event.

use std::time::Duration;

use base::env;
use bytes::{Buf, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use serde_json::Value;

use crate::client::{ClientError, Result, revision};

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventKind {
    /// It is there since.
    Added,
    /// It changed.
    Modified,
    /// It is gone.
    Deleted,
    /// Nothing: everything up to the revision was sent.
    Bookmark,
}

/// One event of a watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// The object's name, empty for a bookmark.
    pub name: String,
    /// The object's value, see [`crate::client::config_map`].
    pub value: String,
    /// The event's own revision.
    pub revision: u64,
}

/// A watch that stands.
#[derive(Debug)]
pub struct Watch {
    body: Incoming,
    unread: BytesMut,
    /// So many unread bytes hold no line's end: an event may come in a thousand pieces.
    searched: usize,
    is_over: bool,
    /// Dropping it would end the connection.
    _connection: SendRequest<Full<Bytes>>,
}

impl Watch {
    /// Reads events from `body`.
    pub fn new(body: Incoming, connection: SendRequest<Full<Bytes>>) -> Self {
        Self { body, unread: BytesMut::new(), searched: 0, is_over: false, _connection: connection }
    }

    /// Whether the server closed the watch, or it broke.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// The next event; `None` when the server closed the watch, or nothing came within `limit`.
    ///
    /// # Errors
    /// An error event (410 past the horizon), a broken stream, or a line that is no event.
    pub async fn next(&mut self, limit: Duration) -> Result<Option<Event>> {
        loop {
            if let Some(end) = self.unread[self.searched..].iter().position(|byte| *byte == b'\n') {
                let line = self.unread.split_to(self.searched + end);
                self.unread.advance(1);
                self.searched = 0;
                return parse(&line).map(Some);
            }
            self.searched = self.unread.len();
            let read = env::timeout(limit, self.body.frame()).await;
            self.is_over = matches!(read, Ok(None | Some(Err(_))));
            match read {
                Err(_) | Ok(None) => return Ok(None),
                Ok(Some(Ok(frame))) => {
                    self.unread.extend_from_slice(frame.data_ref().unwrap_or(&Bytes::new()))
                }
                Ok(Some(Err(error))) => return Err(ClientError::Unknown(error.to_string())),
            }
        }
    }
}

/// Reads one line of a watch.
///
/// # Errors
/// For an error event its `Status`; for anything that is no event, the line.
pub fn parse(line: &[u8]) -> Result<Event> {
    let strange = || ClientError::Unknown(format!("no watch event: {}", String::from_utf8_lossy(line)));
    let event: Value = serde_json::from_slice(line).map_err(|_| strange())?;
    let object = &event["object"];
    let kind = match event["type"].as_str().unwrap_or_default() {
        "ADDED" => EventKind::Added,
        "MODIFIED" => EventKind::Modified,
        "DELETED" => EventKind::Deleted,
        "BOOKMARK" => EventKind::Bookmark,
        "ERROR" => {
            let text = |field: &str| object[field].as_str().unwrap_or_default().to_owned();
            let code = object["code"].as_u64().unwrap_or_default() as u16;
            return Err(ClientError::Status { code, reason: text("reason"), message: text("message") });
        }
        _ => return Err(strange()),
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(Event {
        kind,
        name: text(&object["metadata"]["name"]),
        value: text(&object["data"]["value"]),
        revision: revision(object)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_watch() {
        let event = |kind, name: &str, value: &str, revision| {
            Some(Event { kind, name: name.into(), value: value.into(), revision })
        };
        let cases = [
            (
                r#"{"type":"ADDED","object":{"metadata":{"name":"a","resourceVersion":"7"},"data":{"value":"x"}}}"#,
                event(EventKind::Added, "a", "x", 7),
            ),
            (
                r#"{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"9"}}}"#,
                event(EventKind::Bookmark, "", "", 9),
            ),
            (r#"{"type":"ADDED","object":{"metadata":{"name":"a"}}}"#, None),
            (r#"{"type":"ERROR","object":{"code":410,"reason":"Expired"}}"#, None),
            ("half a li", None),
        ];
        for (line, expect) in cases {
            assert_eq!(parse(line.as_bytes()).ok(), expect, "{line}");
        }
        let expired = parse(br#"{"type":"ERROR","object":{"code":410,"reason":"Expired"}}"#).unwrap_err();
        assert_eq!(expired.code(), Some(410));
    }
}
