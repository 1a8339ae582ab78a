//! The frames of a watch: one line of JSON each, decoded in one pass.

use std::fmt;
use std::marker::PhantomData;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use kube::core::Status;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::transport::Body;

/// Bytes of the longest frame: an object and what stands around it.
const FRAME_BYTES_MAX: usize = 8 << 20;

/// What a frame says.
#[derive(Debug, PartialEq)]
pub(crate) enum Frame<K> {
    /// The object was added, or changed.
    Applied(K),
    /// The object as it was last.
    Deleted(K),
    /// Everything up to this revision was told.
    Bookmark(String),
    /// The watch is over.
    Failed(Box<Status>),
}

/// Metadata that every object has.
#[derive(Deserialize)]
struct Meta {
    #[serde(rename = "resourceVersion", default)]
    revision: String,
}

#[derive(Deserialize)]
struct OnlyMeta {
    metadata: Meta,
}

impl<'de, K: DeserializeOwned> Deserialize<'de> for Frame<K> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(FrameVisitor(PhantomData))
    }
}

struct FrameVisitor<K>(PhantomData<K>);

impl<'de, K: DeserializeOwned> Visitor<'de> for FrameVisitor<K> {
    type Value = Frame<K>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event of a watch")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Frame<K>, A::Error> {
        let mut kind: Option<String> = None;
        let mut frame = None;
        // Servers send the type first: only then the object is read once.
        let mut early: Option<Box<RawValue>> = None;
        while let Some(key) = map.next_key::<String>()? {
            match (key.as_str(), kind.as_deref()) {
                ("type", _) => kind = Some(map.next_value()?),
                ("object", None) => early = Some(map.next_value()?),
                ("object", Some("ADDED" | "MODIFIED")) => frame = Some(Frame::Applied(map.next_value()?)),
                ("object", Some("DELETED")) => frame = Some(Frame::Deleted(map.next_value()?)),
                ("object", Some("BOOKMARK")) => {
                    frame = Some(Frame::Bookmark(map.next_value::<OnlyMeta>()?.metadata.revision));
                }
                ("object", Some("ERROR")) => frame = Some(Frame::Failed(map.next_value()?)),
                ("object", Some(other)) => {
                    return Err(A::Error::custom(format!("events of type {other:?} are not known")));
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        match (frame, early, kind) {
            (Some(frame), ..) => Ok(frame),
            (None, Some(object), Some(kind)) => {
                let kind = serde_json::to_string(&kind).map_err(A::Error::custom)?;
                let in_order = format!("{{\"type\":{kind},\"object\":{object}}}");
                serde_json::from_str(&in_order).map_err(A::Error::custom)
            }
            _ => Err(A::Error::custom("an event without type or object")),
        }
    }
}

/// The lines of a body.
pub(crate) struct Lines {
    body: Body,
    buffer: BytesMut,
    /// So much of the buffer holds no end of a line.
    searched: usize,
}

impl Lines {
    pub(crate) fn new(body: Body) -> Self {
        Self { body, buffer: BytesMut::new(), searched: 0 }
    }

    /// The next whole line; `None` at the end of the stream. What stands behind the last line is dropped: it was
    /// cut off. Cancel-safe.
    ///
    /// # Errors
    /// When the stream breaks, or a line is too long.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, String> {
        loop {
            if let Some(at) = memchr::memchr(b'\n', &self.buffer[self.searched..]) {
                let line = self.buffer.split_to(self.searched + at + 1).freeze();
                self.searched = 0;
                if line.len() > 1 {
                    return Ok(Some(line));
                }
                continue;
            }
            self.searched = self.buffer.len();
            if self.buffer.len() > FRAME_BYTES_MAX {
                return Err(format!("an event longer than {FRAME_BYTES_MAX} bytes"));
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(error.to_string()),
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.buffer.extend_from_slice(data);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::StreamBody;
    use k8s_openapi::api::core::v1::ConfigMap;

    use super::*;

    fn check(text: &str, expect: &str) {
        let frame: Result<Frame<ConfigMap>, _> = serde_json::from_str(text);
        let name = |map: ConfigMap| map.metadata.name.unwrap_or_default();
        let told = match frame {
            Ok(Frame::Applied(map)) => format!("applied {}", name(map)),
            Ok(Frame::Deleted(map)) => format!("deleted {}", name(map)),
            Ok(Frame::Bookmark(revision)) => format!("bookmark {revision}"),
            Ok(Frame::Failed(status)) => format!("failed {}", status.code),
            Err(error) => error.to_string(),
        };
        assert!(told.starts_with(expect), "{text}: {told}");
    }

    #[test]
    fn frames_are_told_apart() {
        check(r#"{"type":"ADDED","object":{"metadata":{"name":"a"}}}"#, "applied a");
        check(r#"{"type":"MODIFIED","object":{"kind":"ConfigMap","metadata":{"name":"a"}}}"#, "applied a");
        check(r#"{"object":{"metadata":{"name":"a"}},"type":"DELETED"}"#, "deleted a");
        check(
            r#"{"type":"BOOKMARK","object":{"kind":"X","metadata":{"resourceVersion":"7"}}}"#,
            "bookmark 7",
        );
        check(r#"{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired"}}"#, "failed 410");
        check(r#"{"type":"LATER","object":{}}"#, "events of type \"LATER\" are not known");
        check(r#"{"type":"ADDED"}"#, "an event without type or object");
    }

    #[test]
    fn lines_are_put_together_and_a_cut_one_is_dropped() {
        base::env::simulate(1, async {
            let parts = ["a", "b\nc\n", "\n", "de", "f", "\ng"];
            let chunks = parts.map(|part| Ok(hyper::body::Frame::data(Bytes::from_static(part.as_bytes()))));
            let mut lines = Lines::new(StreamBody::new(futures::stream::iter(chunks)).boxed_unsync());
            let mut read = Vec::new();
            while let Some(line) = lines.next().await.expect("no error") {
                read.push(String::from_utf8(line.to_vec()).expect("text"));
            }
            assert_eq!(read, ["ab\n", "c\n", "def\n"]);
        });
    }
}
