//! A request whose body is not whole yet: it keeps a master busy for as long as a test wants.

use anyhow::{Context, Result, bail};
use base::env;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::client::{Client, REQUEST_TIMEOUT};

/// The longest head of an answer. One of ours has a few hundred bytes.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// What ends the head of an answer.
const HEAD_END: &[u8] = b"\r\n\r\n";

/// A request that a master waits for the rest of.
pub struct Held {
    stream: TlsStream<TcpStream>,
    body: String,
}

impl Held {
    /// Sends the head of a POST, and returns once the master asks for the body: it has taken the request.
    ///
    /// # Errors
    /// When the master does not.
    pub async fn post(client: &Client, path: &str, body: &Value) -> Result<Self> {
        let body = body.to_string();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nexpect: 100-continue\r\n\r\n",
            client.address(),
            body.len()
        );
        let mut held = Self { stream: client.dial().await?, body };
        held.stream.write_all(head.as_bytes()).await.context("send the head of a request")?;
        match held.answer().await? {
            100 => Ok(held),
            code => bail!("the head of a request was answered with {code}, not with 100"),
        }
    }

    /// Sends the rest; the HTTP status code of the answer.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn finish(mut self) -> Result<u16> {
        self.stream.write_all(self.body.as_bytes()).await.context("send the rest of a request")?;
        self.answer().await
    }

    /// The status code of the next answer.
    async fn answer(&mut self) -> Result<u16> {
        let mut head = Vec::new();
        let reading = async {
            while !head.ends_with(HEAD_END) && head.len() < HEAD_BYTES_MAX {
                head.push(self.stream.read_u8().await?);
            }
            std::io::Result::Ok(())
        };
        env::timeout(REQUEST_TIMEOUT, reading).await.context("no answer")?.context("read an answer")?;
        let head = String::from_utf8_lossy(&head);
        let code = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        code.with_context(|| format!("no status line in {head:?}"))
    }
}
