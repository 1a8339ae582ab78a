//! Where output goes.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::failure::Failure;

/// The standard output.
#[derive(Clone, Copy, Debug)]
pub struct Screen {
    /// Whether a person looks at it who did not ask for plain text.
    pub colored: bool,
    /// Whether a line can be rewritten in place.
    pub is_live: bool,
}

/// Whether a line stands there that will be rewritten. There is but one terminal.
static IS_LINE_SHOWN: AtomicBool = AtomicBool::new(false);

/// To the beginning of the line, and without what stood in it.
const ERASE: &str = "\r\x1b[K";

/// Where the terminal does not tell.
const WIDTH_DEFAULT: usize = 80;

impl Screen {
    /// Colour is for terminals, unless `NO_COLOR` is set to something.
    pub fn new() -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_some_and(|name| name == "dumb");
        let is_terminal = std::io::stdout().is_terminal();
        Self { colored: !unwanted && is_terminal, is_live: !is_dumb && is_terminal }
    }

    /// Prints.
    ///
    /// # Errors
    /// When whoever read has seen enough, so that there is nothing left to do; nobody minds.
    pub fn print(self, text: &str) -> Result<(), Failure> {
        self.write(text.as_bytes())
    }

    /// Prints what need not be text.
    ///
    /// # Errors
    /// As [`Screen::print`].
    pub fn write(self, bytes: &[u8]) -> Result<(), Failure> {
        #[cfg(test)]
        if recorded::add(&String::from_utf8_lossy(bytes)) {
            return Ok(());
        }
        erase();
        let mut out = std::io::stdout().lock();
        out.write_all(bytes).and_then(|()| out.flush()).map_err(|_| Failure::Exit(0))
    }

    /// Prints one line.
    ///
    /// # Errors
    /// As [`Screen::print`].
    pub fn line(self, text: &str) -> Result<(), Failure> {
        self.print(&format!("{text}\n"))
    }

    /// Puts a line in the place of the last one that was shown so. Whatever is printed erases it.
    pub fn show(self, text: &str) {
        erase();
        let mut out = std::io::stdout().lock();
        // Whoever cannot see it misses nothing: what matters is printed.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        IS_LINE_SHOWN.store(true, Ordering::Relaxed);
    }

    /// How many characters a line has.
    pub fn width(self) -> usize {
        let size = rustix::termios::tcgetwinsize(std::io::stdout());
        size.ok().map(|size| usize::from(size.ws_col)).filter(|&width| width > 0).unwrap_or(WIDTH_DEFAULT)
    }
}

/// Erases the line that was shown, if there is one.
pub fn erase() {
    if IS_LINE_SHOWN.swap(false, Ordering::Relaxed) {
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(ERASE.as_bytes()).and_then(|()| out.flush());
    }
}

/// Prints beside the output what need not be text.
pub fn complain(bytes: &[u8]) {
    #[cfg(test)]
    if recorded::add(&String::from_utf8_lossy(bytes)) {
        return;
    }
    erase();
    // There is nobody else to tell.
    let _ = std::io::stderr().write_all(bytes);
}

/// Says something beside the output.
pub fn warn(text: &str) {
    #[cfg(test)]
    if recorded::add(&format!("{text}\n")) {
        return;
    }
    erase();
    eprintln!("{text}");
}

/// What tests see of the screen.
#[cfg(test)]
pub mod recorded {
    use std::cell::RefCell;

    thread_local! {
        static SHOWN: RefCell<Option<String>> = const { RefCell::new(None) };
    }

    /// From now on this thread's output is kept.
    pub fn begin() {
        SHOWN.set(Some(String::new()));
    }

    /// All that was kept.
    pub fn end() -> String {
        SHOWN.take().unwrap_or_default()
    }

    /// Keeps it, if it is to be kept.
    pub fn add(text: &str) -> bool {
        SHOWN.with_borrow_mut(|shown| shown.as_mut().map(|shown| shown.push_str(text)).is_some())
    }
}
