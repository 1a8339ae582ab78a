//! What both sides say first: which protocol, which cluster, who, and for which lane.
//!
//! ```text
//! hello:  "KLSP" | protocol u8 = 1 | cluster u64 LE | from u64 LE | to u64 LE | lane u8
//! answer: "KLSP" | protocol u8 = 1 | verdict u8
//! ```
//! Both have a fixed length in every protocol, so that an older side can say that it is older.

use std::io;

use base::ids::{ClusterId, NodeId};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::transport::Lane;

const MAGIC: [u8; 4] = *b"KLSP";

/// The newest protocol spoken here.
const PROTOCOL: u8 = 1;

const HELLO_BYTES: usize = 30;
const ANSWER_BYTES: usize = 6;

/// What a connecting master says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hello {
    pub(super) cluster: ClusterId,
    pub(super) from: NodeId,
    pub(super) to: NodeId,
    pub(super) lane: Lane,
}

/// What the other answers. The numbers are on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[repr(u8)]
pub(super) enum Verdict {
    #[error("welcome")]
    Welcome = 0,
    #[error("it speaks another version of the protocol: upgrade one of the two masters")]
    OtherProtocol = 1,
    #[error("it belongs to another cluster")]
    OtherCluster = 2,
    #[error("it is another master: was a data directory replaced, or an address reused?")]
    OtherNode = 3,
    #[error("its caller's certificate does not name the id that the caller says it has")]
    NotYourId = 4,
}

impl Verdict {
    const ALL: [Self; 5] =
        [Self::Welcome, Self::OtherProtocol, Self::OtherCluster, Self::OtherNode, Self::NotYourId];
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

impl Hello {
    pub(super) async fn write(&self, to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        to.write_all(&self.encode()).await?;
        to.flush().await
    }

    fn encode(&self) -> [u8; HELLO_BYTES] {
        let mut bytes = [0; HELLO_BYTES];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4] = PROTOCOL;
        bytes[5..13].copy_from_slice(&self.cluster.0.to_le_bytes());
        bytes[13..21].copy_from_slice(&self.from.to_le_bytes());
        bytes[21..29].copy_from_slice(&self.to.to_le_bytes());
        bytes[29] = self.lane as u8;
        bytes
    }

    /// What the other says; `Err` within when it is to be answered with a verdict at once.
    pub(super) async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Result<Self, Verdict>> {
        let mut bytes = [0; HELLO_BYTES];
        from.read_exact(&mut bytes).await?;
        if bytes[..4] != MAGIC {
            return Err(invalid("not a master"));
        }
        if bytes[4] != PROTOCOL {
            return Ok(Err(Verdict::OtherProtocol));
        }
        let number = |at: usize| {
            let mut number = [0; 8];
            number.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(number)
        };
        let lane = Lane::ALL.get(usize::from(bytes[29])).copied().ok_or_else(|| invalid("no such lane"))?;
        Ok(Ok(Self { cluster: ClusterId(number(5)), from: number(13), to: number(21), lane }))
    }
}

impl Verdict {
    pub(super) async fn write(self, to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        let mut bytes = [0; ANSWER_BYTES];
        bytes[..4].copy_from_slice(&MAGIC);
        (bytes[4], bytes[5]) = (PROTOCOL, self as u8);
        to.write_all(&bytes).await?;
        to.flush().await
    }

    pub(super) async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Self> {
        let mut bytes = [0; ANSWER_BYTES];
        from.read_exact(&mut bytes).await?;
        if bytes[..4] != MAGIC {
            return Err(invalid("not a master"));
        }
        Self::ALL.get(usize::from(bytes[5])).copied().ok_or_else(|| invalid("no such verdict"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::hex;

    const HELLO: Hello = Hello { cluster: ClusterId(0x1122), from: 3, to: 4, lane: Lane::Call };

    #[tokio::test]
    async fn bytes_of_protocol_1_never_change() {
        let golden = "4b4c5350012211000000000000030000000000000004000000000000000".to_owned() + "3";
        assert_eq!(hex(&HELLO.encode()), golden);
        assert_eq!(Hello::read(&mut &HELLO.encode()[..]).await.expect("a hello"), Ok(HELLO));
        let mut answer = Vec::new();
        Verdict::OtherNode.write(&mut answer).await.expect("memory");
        assert_eq!(hex(&answer), "4b4c53500103");
        assert_eq!(Verdict::read(&mut &answer[..]).await.expect("a verdict"), Verdict::OtherNode);
    }

    #[tokio::test]
    async fn another_protocol_is_answered_and_noise_is_not() {
        let mut bytes = HELLO.encode();
        bytes[4] = 2;
        assert_eq!(Hello::read(&mut &bytes[..]).await.expect("a hello"), Err(Verdict::OtherProtocol));
        bytes[0] = b'G';
        assert!(Hello::read(&mut &bytes[..]).await.is_err());
        let mut lane = HELLO.encode();
        lane[29] = 9;
        assert!(Hello::read(&mut &lane[..]).await.is_err());
    }
}
