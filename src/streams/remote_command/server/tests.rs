use tokio::io::{AsyncReadExt, DuplexStream};

use super::*;
use crate::spdy::Opener;

/// A client of a kubelet that runs `exit 3` for every command, after it printed "done".
fn connected(
    has_status: bool,
    has_resize: bool,
    options: Options,
) -> (Opener, env::JoinHandle<Result<(), Error>>) {
    let (near, far) = tokio::io::duplex(1000);
    let protocol = Protocol::Spdy { has_status, has_resize };
    let agreed = Agreed { protocol, verb: Verb::Exec, options };
    let serving = env::spawn(agreed.run(far, |command: RemoteCommand| async move {
        let mut stdout = command.stdout.ok_or("no output")?;
        stdout.write_all(b"done").await.map_err(|error| error.to_string())?;
        Ok(3)
    }));
    let (driver, opener) = spdy::client::<DuplexStream>(near);
    env::spawn(driver);
    (opener, serving)
}

fn options(tty: bool) -> Options {
    Options { stdout: true, tty, command: vec!["exit".into(), "3".into()], ..Options::default() }
}

fn stream(kind: &str) -> Headers {
    Headers::new().with(STREAM_TYPE, kind)
}

async fn text(mut pipe: Pipe) -> String {
    let mut text = String::new();
    pipe.read_to_string(&mut text).await.expect("it ends in order");
    text
}

#[test]
fn protocols_before_the_fourth_tell_failures_as_text() {
    env::simulate(1, async {
        let (opener, serving) = connected(false, false, options(true));
        let error = opener.open(stream("error")).await.expect("known");
        let stdout = opener.open(stream("stdout")).await.expect("known");
        assert_eq!(text(stdout).await, "done");
        let why = "command terminated with non-zero exit code: error executing command [exit 3], exit code 3";
        assert_eq!(text(error).await, why);
        drop(opener);
        serving.await.expect("ends").expect("in order");
    });
}

#[test]
fn a_command_begins_once_all_streams_are_there_that_were_asked_for() {
    env::simulate(1, async {
        let (opener, _serving) = connected(true, true, options(true));
        let error = opener.open(stream("error")).await.expect("known");
        let stdout = opener.open(stream("stdout")).await.expect("known");
        let unknown = opener.open(stream("other")).await.expect_err("there is no such stream");
        assert_eq!(unknown.to_string(), "the peer refused a stream");
        // One that was not asked for, and a second of a kind, end by themselves.
        assert_eq!(text(opener.open(stream("stdin")).await.expect("known")).await, "");
        assert_eq!(text(opener.open(stream("stdout")).await.expect("known")).await, "");
        let (mut reader, _writer) = stdout.into_split();
        let early = env::timeout(STREAM_CREATION_TIMEOUT / 2, reader.read_u8()).await;
        early.expect_err("the size of the terminal is missing");
        let _resize = opener.open(stream("resize")).await.expect("known");
        assert_eq!(reader.read_u8().await.expect("it begins"), b'd');
        let status = text(error).await;
        assert_eq!(outcome::read(status.as_bytes()), Ok(3), "{status}");
    });
}

#[test]
fn a_client_whose_streams_do_not_come_is_let_go() {
    env::simulate(1, async {
        let (opener, serving) = connected(true, true, options(false));
        let _error = opener.open(stream("error")).await.expect("known");
        let ended = serving.await.expect("ends").expect_err("a stream is missing");
        assert_eq!(ended.to_string(), "timed out waiting for client to create streams");
    });
}
