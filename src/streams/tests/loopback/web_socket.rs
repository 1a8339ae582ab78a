//! The messages of every protocol over WebSocket, as clients see them that know no others.

use std::time::Duration;

use base::env;
use expect_test::expect;
use futures::{SinkExt, StreamExt};
use http::HeaderMap;
use streams::client::Dial;
use streams::limits::STREAM_CREATION_TIMEOUT;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::node::{Way, simulate};

/// A WebSocket that names this protocol, or none.
async fn web_socket(path: &str, protocol: &str) -> (WebSocketStream<DuplexStream>, HeaderMap) {
    let stream = Way::Direct.dial().await.expect("in memory");
    let mut request = format!("ws://node{path}").into_client_request().expect("a request");
    if !protocol.is_empty() {
        request.headers_mut().insert("sec-websocket-protocol", protocol.parse().expect("a value"));
    }
    let (socket, response) = tokio_tungstenite::client_async(request, stream).await.expect("it is served");
    (socket, response.into_parts().0.headers)
}

/// All messages until the end, one a line.
async fn messages(mut socket: WebSocketStream<DuplexStream>) -> String {
    let mut lines = String::new();
    while let Some(message) = socket.next().await {
        let line = match message.expect("a message") {
            Message::Binary(bytes) => format!("binary {}", bytes.escape_ascii()),
            Message::Text(text) => format!("text {text}"),
            Message::Close(reason) => format!("close {:?}", reason.map(|reason| u16::from(reason.code))),
            other => format!("{other:?}"),
        };
        lines += &(line + "\n");
    }
    lines
}

#[test]
fn every_protocol_over_web_socket_has_its_own_messages() {
    simulate(async {
        let path = "/x/exec?stdout=true&stderr=true&command=both";
        let mut shown = String::new();
        for protocol in [
            "",
            "channel.k8s.io",
            "base64.channel.k8s.io",
            "v4.channel.k8s.io",
            "v4.base64.channel.k8s.io",
            "v5.channel.k8s.io",
            "unheard, v5.channel.k8s.io, v4.channel.k8s.io",
        ] {
            let (socket, headers) = web_socket(path, protocol).await;
            shown += &format!("{protocol:?} -> {:?}\n", headers.get("sec-websocket-protocol"));
            shown += &messages(socket).await;
        }
        expect![[r#"
            "" -> None
            binary \x01
            binary \x01out
            binary \x02err
            close Some(1000)
            "channel.k8s.io" -> Some("channel.k8s.io")
            binary \x01
            binary \x01out
            binary \x02err
            close Some(1000)
            "base64.channel.k8s.io" -> Some("base64.channel.k8s.io")
            text 1
            text 1b3V0
            text 2ZXJy
            close Some(1000)
            "v4.channel.k8s.io" -> Some("v4.channel.k8s.io")
            binary \x01
            binary \x01out
            binary \x02err
            binary \x03{\"metadata\":{},\"status\":\"Success\"}
            close Some(1000)
            "v4.base64.channel.k8s.io" -> Some("v4.base64.channel.k8s.io")
            text 1
            text 1b3V0
            text 2ZXJy
            text 3eyJtZXRhZGF0YSI6e30sInN0YXR1cyI6IlN1Y2Nlc3MifQ==
            close Some(1000)
            "v5.channel.k8s.io" -> Some("v5.channel.k8s.io")
            binary \x01
            binary \x01out
            binary \x02err
            binary \x03{\"metadata\":{},\"status\":\"Success\"}
            close Some(1000)
            "unheard, v5.channel.k8s.io, v4.channel.k8s.io" -> Some("v5.channel.k8s.io")
            binary \x01
            binary \x01out
            binary \x02err
            binary \x03{\"metadata\":{},\"status\":\"Success\"}
            close Some(1000)
        "#]]
        .assert_eq(&shown);
    });
}

#[test]
fn failures_over_web_socket_are_told_as_their_protocol_does() {
    simulate(async {
        let mut shown = String::new();
        for (protocol, words) in [
            ("channel.k8s.io", "command=exit&command=3"),
            ("v5.channel.k8s.io", "command=exit&command=3"),
            ("channel.k8s.io", "command=look&command=ls"),
        ] {
            let (socket, _) = web_socket(&format!("/x/exec?stdout=true&{words}"), protocol).await;
            shown += &messages(socket).await;
        }
        expect![[r#"
            binary \x01
            binary \x03command terminated with non-zero exit code: error executing command [exit 3], exit code 3
            close Some(1000)
            binary \x01
            binary \x03{\"metadata\":{},\"status\":\"Failure\",\"message\":\"command terminated with non-zero exit code: error executing command [exit 3], exit code 3\",\"reason\":\"NonZeroExitCode\",\"details\":{\"causes\":[{\"reason\":\"ExitCode\",\"message\":\"3\"}]}}
            close Some(1000)
            binary \x01
            binary \x03Internal error occurred: error executing command in container: ls: not found
            close Some(1000)
        "#]]
        .assert_eq(&shown);
    });
}

#[test]
fn input_over_web_socket_ends_with_a_signal_only_where_there_is_one() {
    simulate(async {
        let path = "/x/exec?stdin=true&stdout=true&command=cat";
        let (mut socket, _) = web_socket(path, "v5.channel.k8s.io").await;
        for message in [&b"\x00some input"[..], b"\x09ignored", b"", &[255, 0]] {
            socket.send(Message::binary(message.to_vec())).await.expect("open");
        }
        expect![[r#"
            binary \x01
            binary \x01some input
            binary \x03{\"metadata\":{},\"status\":\"Success\"}
            close Some(1000)
        "#]]
        .assert_eq(&messages(socket).await);

        let (mut socket, _) = web_socket(path, "v4.base64.channel.k8s.io").await;
        socket.send(Message::text("0c29tZSBpbnB1dA==")).await.expect("open");
        // The greeting, then what came back; the end never comes.
        let first = socket.next().await.expect("open").expect("a message");
        let second = socket.next().await.expect("open").expect("a message");
        assert_eq!((first, second), (Message::text("1"), Message::text("1c29tZSBpbnB1dA==")));
        let third = env::timeout(Duration::from_secs(60), socket.next()).await;
        assert!(third.is_err(), "{third:?}");

        let (mut socket, _) = web_socket(path, "v4.base64.channel.k8s.io").await;
        socket.send(Message::text("0***")).await.expect("open");
        let _greeting = socket.next().await;
        assert!(!matches!(socket.next().await, Some(Ok(_))), "what is not base64 ends the connection");
    });
}

#[test]
fn a_command_that_does_not_read_stops_a_web_sockets_client() {
    simulate(async {
        let (mut socket, _) = web_socket("/x/exec?stdin=true&command=sleep", "v5.channel.k8s.io").await;
        let mut sent = 0;
        let sending = async {
            for _ in 0..1000 {
                socket.send(Message::binary(vec![0; 16 * 1024])).await.expect("open");
                sent += 16 * 1024;
            }
        };
        env::timeout(Duration::from_secs(60), sending).await.expect_err("nobody reads it");
        assert!(sent < 500_000, "{sent} bytes were taken for nobody");
    });
}

#[test]
fn a_client_that_opens_no_streams_is_let_go() {
    simulate(async {
        let mut stream = Way::Direct.dial().await.expect("in memory");
        let request = "POST /x/exec?stdout=1 HTTP/1.1\r\nhost: node\r\nconnection: upgrade\r\n\
            upgrade: SPDY/3.1\r\nx-stream-protocol-version: v4.channel.k8s.io\r\n\r\n";
        stream.write_all(request.as_bytes()).await.expect("open");
        let began = env::monotonic();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("it ends");
        assert!(answer.starts_with(b"HTTP/1.1 101 "), "{}", answer.escape_ascii());
        assert_eq!(began.elapsed(), STREAM_CREATION_TIMEOUT);
    });
}

#[test]
fn a_web_socket_forwards_the_ports_of_its_query() {
    simulate(async {
        let (mut socket, _) = web_socket("/x/portforward?ports=80&ports=81", "v4.channel.k8s.io").await;
        let mut channels = vec![Vec::new(); 4];
        socket.send(Message::binary(&b"\x00hello"[..])).await.expect("open");
        while channels[0].len() < 7 || channels[3].len() < 3 {
            let message = socket.next().await.expect("open").expect("a message").into_data();
            channels[usize::from(message[0])].extend_from_slice(&message[1..]);
        }
        let shown: Vec<_> = channels.iter().map(|bytes| bytes.escape_ascii().to_string()).collect();
        expect![[r#"
            P\x00hello
            P\x00
            Q\x00
            Q\x00error forwarding port 81 to pod web_default, uid 1-2-3: connection refused
        "#]]
        .assert_eq(&(shown.join("\n") + "\n"));
    });
}

#[test]
fn logs_come_as_messages_and_end() {
    simulate(async {
        let mut shown = String::new();
        for protocol in ["", "binary.k8s.io", "base64.binary.k8s.io"] {
            let (socket, headers) = web_socket("/x/log", protocol).await;
            shown += &format!("{protocol:?} -> {:?}\n", headers.get("sec-websocket-protocol"));
            shown += &messages(socket).await;
        }
        expect![[r#"
            "" -> None
            binary 
            binary first\nsecond\n
            close Some(1000)
            "binary.k8s.io" -> Some("binary.k8s.io")
            binary 
            binary first\nsecond\n
            close Some(1000)
            "base64.binary.k8s.io" -> Some("base64.binary.k8s.io")
            text 
            text Zmlyc3QKc2Vjb25kCg==
            close Some(1000)
        "#]]
        .assert_eq(&shown);
    });
}
