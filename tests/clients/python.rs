//! A program in Python, where that and its client library are installed or can be.

use std::path::PathBuf;
use std::process::Command;

/// What the script exits with when there is no Python, or no library to be had.
const MISSING: i32 = 3;

fn folder() -> PathBuf {
    let top = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo tells its tests");
    PathBuf::from(top).join("tests/clients/python")
}

/// The program.
pub fn program() -> PathBuf {
    folder().join("follow.py")
}

/// A Python that has the client library, in an environment of its own; why there is none.
///
/// # Panics
/// When making it fails.
pub fn interpreter() -> Result<PathBuf, &'static str> {
    let made = Command::new(folder().join("environment")).output().expect("a shell");
    if made.status.code() == Some(MISSING) {
        return Err("Python, its venv, or its package `kubernetes` cannot be had");
    }
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    Ok(String::from_utf8(made.stdout).expect("a path").trim().into())
}
