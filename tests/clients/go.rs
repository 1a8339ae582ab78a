//! Programs in Go, where it is installed.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What the build exits with when Go or a module is not there.
const MISSING: i32 = 3;

/// The path of one of the programs in tests/clients, built if need be; why there is none.
///
/// # Panics
/// When it does not compile.
pub fn program(name: &str) -> Result<PathBuf, &'static str> {
    let top = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo tells its tests");
    let build = Path::new(&top).join("tests/clients/build");
    // What is not in the module cache is not fetched.
    let built = Command::new(build).arg(name).env("GOPROXY", "off").output().expect("a shell");
    if built.status.code() == Some(MISSING) {
        return Err("Go or a module that it needs is not installed");
    }
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    Ok(String::from_utf8(built.stdout).expect("a path").trim().into())
}
