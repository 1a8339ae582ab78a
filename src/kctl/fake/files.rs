//! `tar` and `test` as a fake node has them.

use std::cell::{Cell, RefCell};

use streams::{PipeReader, PipeWriter};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

thread_local! {
    /// What `tar c` sends.
    pub static ARCHIVE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    /// What `tar x` was sent.
    pub static RECEIVED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    /// How it was called.
    pub static COMMAND: Cell<String> = const { Cell::new(String::new()) };
}

/// Packs or unpacks.
pub async fn tar(
    command: &[String],
    stdin: Option<PipeReader>,
    stdout: Option<PipeWriter>,
    stderr: Option<PipeWriter>,
) -> Result<i32, String> {
    let said = |error: std::io::Error| error.to_string();
    if let Some(mut stdin) = stdin {
        let mut received = Vec::new();
        stdin.read_to_end(&mut received).await.map_err(said)?;
        RECEIVED.set(received);
        COMMAND.set(command.join(" "));
        return Ok(0);
    }
    if command.last().is_some_and(|file| file == "missing") {
        let line = b"tar: missing: No such file or directory\n";
        stderr.ok_or("no output")?.write_all(line).await.map_err(said)?;
        return Ok(2);
    }
    let archive = ARCHIVE.take();
    stdout.ok_or("no output")?.write_all(&archive).await.map_err(said)?;
    Ok(0)
}
