//! The sources of Kubernetes, where they are installed: nothing is fetched for a test.

use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

/// The folder of the module; `None`, and a word about it, where it is not there.
pub fn kubernetes() -> Option<PathBuf> {
    let package = std::env::var("CARGO_MANIFEST_DIR").expect("cargo tells its tests");
    let run = Command::new("go")
        .args(["list", "-m", "-json", "k8s.io/kubernetes"])
        .current_dir(std::path::Path::new(&package).join("oracle"))
        .env("GOPROXY", "off")
        .output();
    let told = run.ok().and_then(|run| serde_json::from_slice::<Value>(&run.stdout).ok());
    let folder = told.and_then(|told| told["Dir"].as_str().map(PathBuf::from));
    if folder.is_none() {
        let test = std::thread::current();
        let line = format!(
            "SKIPPED: {}: comparing with Kubernetes' documents needs Go and its sources\n",
            test.name().unwrap_or("a test")
        );
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
    folder
}

/// A document below the folder.
pub fn read(folder: &std::path::Path, path: &str) -> Value {
    let text = std::fs::read_to_string(folder.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}
