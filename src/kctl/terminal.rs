//! The terminal in which kctl runs, handed over to a command somewhere else.

use std::io::{IsTerminal, Read, stdin};

use base::env;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use streams::remote_command::TerminalSize;
use tokio::sync::mpsc;

/// How much of the input is read at a time, and how many such pieces wait to be sent.
const PIECE_BYTES: usize = 16 * 1024;
const PIECES_MAX: usize = 4;

/// Whether somebody types there.
pub fn is_typed() -> bool {
    !cfg!(test) && stdin().is_terminal()
}

/// The terminal passes on every key as it is, until this is dropped.
pub struct Raw(Termios);

impl Raw {
    /// # Errors
    /// When the input is no terminal.
    pub fn begin() -> std::io::Result<Self> {
        let before = tcgetattr(stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin(), OptionalActions::Now, &raw)?;
        Ok(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // There is nobody to tell.
        let _ = tcsetattr(stdin(), OptionalActions::Now, &self.0);
    }
}

/// How large the terminal is, if it tells.
pub fn size() -> Option<TerminalSize> {
    let size = tcgetwinsize(std::io::stdout()).or_else(|_| tcgetwinsize(stdin())).ok()?;
    Some(TerminalSize { width: size.ws_col, height: size.ws_row })
}

/// The standard input, piece by piece; its end is the channel's.
///
/// A thread of its own reads it: nothing can wake it from that, so nothing may wait for it.
pub fn input() -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel(PIECES_MAX);
    #[cfg(test)]
    if let Some(text) = tests::INPUT.take() {
        // The first piece always has room.
        let _ = sender.try_send(text.into_bytes());
        return receiver;
    }
    let read = move || {
        let mut piece = vec![0; PIECE_BYTES];
        while let Ok(count @ 1..) = stdin().read(&mut piece) {
            if sender.blocking_send(piece[..count].to_vec()).is_err() {
                return;
            }
        }
    };
    // Without a thread there is no input.
    drop(env::thread("stdin", read));
    receiver
}

#[cfg(test)]
pub mod tests {
    use std::cell::Cell;

    thread_local! {
        /// What is typed in a test.
        pub static INPUT: Cell<Option<String>> = const { Cell::new(None) };
    }
}
