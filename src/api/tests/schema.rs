//! The schema is what its generator makes of Kubernetes' sources.

use std::path::Path;
use std::process::Command;

/// What the generator exits with then.
const SOURCES_MISSING: i32 = 3;

/// Runs where Go and the sources are installed: nothing is fetched for a test.
#[test]
fn the_schema_is_what_the_generator_writes() {
    let folder =
        Path::new(&std::env::var("CARGO_MANIFEST_DIR").expect("cargo tells its tests")).join("schema");
    let written = tempfile::tempdir().expect("a folder for what is generated");
    let run = Command::new(folder.join("generate/run")).arg(written.path()).env("GOPROXY", "off").output();
    let run = run.expect("the generator starts");
    if run.status.code() == Some(SOURCES_MISSING) {
        println!("SKIPPED: comparing the schema with its sources needs Go and the modules of Kubernetes");
        return;
    }
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    for file in ["columns.json", "internal.json", "resources.json", "types.json"] {
        let text = |folder: &Path| std::fs::read_to_string(folder.join(file)).expect("a file of the schema");
        assert!(text(written.path()) == text(&folder), "{file} differs");
    }
}
