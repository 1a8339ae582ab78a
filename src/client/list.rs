//! One page of a collection.

use std::sync::Arc;

use serde::Deserialize;

use crate::error::Error;
use crate::kind::{Kind, Selection, encode};
use crate::send::{Repeat, Shape, send};
use crate::{Client, whole};

/// Objects of a page: some MiB of pods.
const PAGE_OBJECTS: usize = 500;

/// A page.
#[derive(Deserialize)]
#[serde(bound = "K: Kind")]
pub(crate) struct Page<K> {
    pub(crate) metadata: PageMeta,
    pub(crate) items: Vec<Arc<K>>,
}

/// Where a page belongs.
#[derive(Deserialize)]
pub(crate) struct PageMeta {
    /// That of the whole list.
    #[serde(rename = "resourceVersion", default)]
    pub(crate) revision: String,
    /// How to ask for the next page; empty on the last.
    #[serde(rename = "continue", default)]
    pub(crate) next: String,
}

impl Client {
    /// The page that a token names, the first without.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub(crate) async fn page<K: Kind>(&self, selection: &Selection, token: &str) -> Result<Page<K>, Error> {
        let mut path = selection.path::<K>(&format!("limit={PAGE_OBJECTS}"));
        if !token.is_empty() {
            path.push_str(&format!("&continue={}", encode(token)));
        }
        let body = self.get(&path).await?;
        serde_json::from_slice(&body)
            .map_err(|error| Error::Malformed { operation: format!("GET {path}"), reason: error.to_string() })
    }

    /// Opens the stream of what changes after a revision.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub(crate) async fn changes<K: Kind>(
        &self,
        selection: &Selection,
        revision: u64,
    ) -> Result<(crate::Server, crate::Body), Error> {
        let query = format!("watch=true&allowWatchBookmarks=true&resourceVersion={revision}");
        let path = selection.path::<K>(&query);
        let malformed = |reason: String| Error::Malformed { operation: format!("GET {path}"), reason };
        let request = http::Request::builder().uri(&path).header(http::header::ACCEPT, "application/json");
        let request = request.body(bytes::Bytes::new()).map_err(|error| malformed(error.to_string()))?;
        let reply = send(&self.0, request, Repeat::Undone, Shape::Stream).await?;
        if reply.response.status().is_success() {
            return Ok((reply.server, reply.response.into_body()));
        }
        match whole(&path, reply.response).await {
            Err(error) => Err(error),
            Ok(_) => Err(malformed("a refusal that succeeded".to_owned())),
        }
    }
}
