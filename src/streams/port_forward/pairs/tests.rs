use tokio::io::{AsyncReadExt, DuplexStream};

use super::*;
use crate::spdy::Opener;

/// Every port says its number and echoes.
struct Echo;

impl Connect for Echo {
    type Connection = DuplexStream;

    async fn connect(&self, port: u16) -> Result<DuplexStream, String> {
        let (near, mut far) = tokio::io::duplex(100);
        env::spawn(async move {
            far.write_u16(port).await?;
            let (mut reader, mut writer) = tokio::io::split(far);
            tokio::io::copy(&mut reader, &mut writer).await
        });
        Ok(near)
    }
}

fn connected() -> Opener {
    let (near, far) = tokio::io::duplex(1000);
    env::spawn(async move {
        let pod = Pod { full_name: "web_default".into(), uid: "1".into() };
        serve(far, &pod, &Echo).await
    });
    let (driver, opener) = spdy::client(near);
    env::spawn(driver);
    opener
}

fn stream(kind: &str, port: &str) -> Headers {
    Headers::new().with(STREAM_TYPE, kind).with(PORT, port)
}

async fn text(mut pipe: Pipe) -> String {
    let mut text = String::new();
    pipe.read_to_string(&mut text).await.expect("it ends in order");
    text
}

#[test]
fn pairs_find_each_other_in_whatever_order_and_without_a_name() {
    env::simulate(1, async {
        let opener = connected();
        let mut pairs = Vec::new();
        // Two that name their pair, crossed, and one of an old client.
        for (kind, request) in [(DATA, "a"), (ERROR, "b"), (DATA, "b"), (ERROR, "a")] {
            let headers = stream(kind, if request == "a" { "80" } else { "81" }).with(REQUEST_ID, request);
            pairs.push((kind, opener.open(headers).await.expect("taken")));
        }
        for kind in [ERROR, DATA] {
            pairs.push((kind, opener.open(stream(kind, "82")).await.expect("taken")));
        }
        let (mut data, errors): (Vec<_>, Vec<_>) = pairs.into_iter().partition(|(kind, _)| *kind == DATA);
        for ((_, pipe), port) in data.iter_mut().zip([80, 81, 82]) {
            assert_eq!(pipe.read_u16().await.expect("it is connected"), port);
            pipe.write_all(b"hello").await.expect("open");
            let mut echoed = [0; 5];
            pipe.read_exact(&mut echoed).await.expect("it comes back");
            assert_eq!(&echoed, b"hello");
        }
        drop(data);
        for (_, error) in errors {
            assert_eq!(text(error).await, "");
        }
    });
}

#[test]
fn a_stream_whose_other_does_not_come_is_told() {
    env::simulate(1, async {
        let opener = connected();
        let error = opener.open(stream(ERROR, "80").with(REQUEST_ID, "7")).await.expect("taken");
        let data = opener.open(stream(DATA, "80").with(REQUEST_ID, "8")).await.expect("taken");
        let began = env::monotonic();
        assert_eq!(text(error).await, "(request=7) timed out waiting for streams");
        assert_eq!(text(data).await, "");
        assert_eq!(began.elapsed(), STREAM_CREATION_TIMEOUT);
    });
}

#[test]
fn streams_that_say_too_little_are_refused() {
    #[track_caller]
    fn check(headers: &Headers, expected: &str) {
        assert_eq!(admit(headers).expect_err("refused"), expected);
    }
    check(&Headers::new().with(STREAM_TYPE, DATA), "\"port\" header is required");
    check(&Headers::new().with(PORT, "80"), "\"streamType\" header is required");
    check(&stream("stdin", "80"), "invalid stream type \"stdin\"");
    check(&stream(DATA, "0"), "port \"0\" must be > 0");
}
