//! Where output goes.

use std::io::{IsTerminal, Write};

use crate::failure::Failure;

/// The standard output.
#[derive(Clone, Copy, Debug)]
pub struct Screen {
    /// Whether a person looks at it who did not ask for plain text.
    pub colored: bool,
}

impl Screen {
    /// Colour is for terminals, unless `NO_COLOR` is set to something.
    pub fn new() -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { colored: !unwanted && std::io::stdout().is_terminal() }
    }

    /// Prints.
    ///
    /// # Errors
    /// When whoever read has seen enough, so that there is nothing left to do; nobody minds.
    pub fn print(self, text: &str) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|_| Failure::Exit(0))
    }

    /// Prints one line.
    ///
    /// # Errors
    /// As [`Screen::print`].
    pub fn line(self, text: &str) -> Result<(), Failure> {
        self.print(&format!("{text}\n"))
    }
}

/// Says something beside the output.
pub fn warn(text: &str) {
    eprintln!("{text}");
}
