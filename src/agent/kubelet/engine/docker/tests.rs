//! Engines of other versions.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

use super::*;

/// What becomes of a connection to an engine that speaks this version at most.
async fn met(newest: &str) -> Result<(), EngineError> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("engine.sock");
    let listener = UnixListener::bind(&path).expect("a socket");
    let body = format!(r#"{{"Version":"9","ApiVersion":"{newest}","MinAPIVersion":"1.12"}}"#);
    let serving = async {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut request = vec![0; 4096];
        let length = stream.read(&mut request).await.expect("a request");
        // One that names a version is refused by engines that do not know it.
        assert!(request[..length].starts_with(b"GET /version "), "{request:?}");
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close";
        let answer = format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).await.expect("an answer");
        std::future::pending().await
    };
    let socket = path.to_string_lossy();
    tokio::select! {
        biased;
        connected = Docker::connect(&socket) => connected.map(drop),
        () = serving => Ok(()),
    }
}

#[tokio::test]
async fn an_engine_may_be_newer_but_not_too_old() {
    for newest in ["1.41", "1.47", "1.99", "2.0"] {
        assert_eq!(met(newest).await, Ok(()), "{newest}");
    }
    let text = "the engine is too old: it speaks API 1.40, and 1.41 is needed".to_owned();
    assert_eq!(met("1.40").await, Err(EngineError::Refused(text)));
    assert!(met("new").await.is_err(), "what is no version is none that is known");
    let nobody = Docker::connect("/nowhere/engine.sock").await.err().expect("nobody is there");
    assert!(nobody.is_unreachable(), "{nobody}");
}
