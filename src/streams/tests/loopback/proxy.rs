//! What somebody who passes upgrades on lets through, and what not.

use base::env;
use expect_test::expect;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::between;
use crate::node::simulate;

/// What a server that must not be trusted with the client's connection answers, and what the proxy makes
/// of it. Then whether the backend can still be reached through the client's connection.
async fn proxied(answer: &'static str) -> String {
    let (near, far) = tokio::io::duplex(1 << 20);
    let (mut backend, dialed) = tokio::io::duplex(1 << 20);
    let seen = env::spawn(async move {
        let mut bytes = vec![0; 4096];
        let count = backend.read(&mut bytes).await.expect("a request");
        backend.write_all(answer.as_bytes()).await.expect("it is read");
        bytes.truncate(count);
        // What else arrives came past whoever stands between.
        let mut rest = Vec::new();
        let _ = backend.read_to_end(&mut rest).await;
        (String::from_utf8_lossy(&bytes).into_owned(), rest)
    });
    env::spawn(between::pass_on(far, dialed));
    let (mut reader, mut writer) = tokio::io::split(near);
    let request = "GET /x/exec HTTP/1.1\r\nhost: node\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    writer.write_all(request.as_bytes()).await.expect("open");
    let mut bytes = vec![0; 1 << 18];
    let count = reader.read(&mut bytes).await.expect("an answer");
    writer
        .write_all(b"GET /secrets HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n")
        .await
        .expect("open");
    writer.shutdown().await.expect("open");
    let (request, rest) = seen.await.expect("ends");
    assert!(request.starts_with("GET /x/exec HTTP/1.1\r\n"), "{request}");
    assert!(!rest.windows(8).any(|window| window == b"/secrets"), "it reached the backend");
    let answer = String::from_utf8_lossy(&bytes[..count]);
    let lines = answer.lines().filter(|line| !line.starts_with("date:"));
    lines.map(|line| format!("{}\n", line.chars().take(100).collect::<String>())).collect()
}

#[test]
fn only_an_upgrade_connects_a_client_to_its_backend() {
    simulate(async {
        expect![[r#"
            HTTP/1.1 403 Forbidden
            x-why: because
            content-length: 4

            no! 
        "#]]
        .assert_eq(
            &proxied("HTTP/1.1 403 Forbidden\r\ncontent-length: 4\r\nx-why: because\r\n\r\nno! ").await,
        );
        expect![[r#"
            HTTP/1.1 502 Bad Gateway
            content-length: 41

            invalid upgrade response: status code 302
        "#]]
        .assert_eq(
            &proxied("HTTP/1.1 302 Found\r\nlocation: http://elsewhere/\r\ncontent-length: 0\r\n\r\n").await,
        );
        expect![[r#"
            HTTP/1.1 502 Bad Gateway
            content-length: 41

            invalid upgrade response: status code 200
        "#]]
        .assert_eq(&proxied("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await);
    });
}
