//! Logs over WebSocket: what is read goes out as messages, until there is no more or the client goes.

use bytes::Bytes;
use http::Response;
use http::request::Parts;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWriteExt};

use crate::driver::Role;
use crate::error::Error;
use crate::pipe::PipeWriter;
use crate::upgrade::{self, Refusal, Wanted};
use crate::websocket::{Channels, Codec, Framing};

const BASE64: &str = "base64.binary.k8s.io";
const PROTOCOLS: &[&str] = &["", "binary.k8s.io", BASE64];

/// A client whose request is being upgraded.
#[derive(Debug)]
pub struct Accepted {
    codec: Codec,
    upgrade: OnUpgrade,
}

/// Whether a request for logs wants them over WebSocket, and not as a body.
pub fn is_wanted(head: &Parts) -> bool {
    upgrade::wanted(&head.headers) == Ok(Wanted::WebSocket)
}

/// Agrees with a client on what a message looks like.
///
/// # Errors
/// When the request asks for no WebSocket, or for none that is spoken here.
pub fn accept(head: &Parts, upgrade: OnUpgrade) -> Result<(Response<Bytes>, Accepted), Refusal> {
    if !is_wanted(head) {
        return Err(Refusal::bad_request("Upgrade request required"));
    }
    let (name, response) = upgrade::web_socket(&head.headers, PROTOCOLS)?;
    let codec = if name == BASE64 { Codec::Base64 } else { Codec::Binary };
    Ok((response, Accepted { codec, upgrade }))
}

impl Accepted {
    /// Runs once the answer is sent. What the client sends is ignored.
    ///
    /// # Errors
    /// When the connection ended before the log did, or the log cannot be read.
    pub async fn run(self, mut log: impl AsyncRead + Unpin) -> Result<(), Error> {
        let stream = TokioIo::new(self.upgrade.await?);
        // An empty message comes first, so that a client knows that it is connected.
        let begun = Channels::begin(stream, Role::Server, (self.codec, Framing::Bare), 1, Some(0));
        let (mut driver, channels) = begun.await;
        // Where nobody reads what comes, it is thrown away.
        let writers: Vec<PipeWriter> = channels.into_iter().map(|pipe| pipe.into_split().1).collect();
        for mut writer in writers {
            driver.during(tokio::io::copy(&mut log, &mut writer)).await??;
            writer.shutdown().await?;
        }
        driver.close().await
    }
}
