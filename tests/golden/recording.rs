//! Golden answers: recorded from a real Kubernetes, compared with ours.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// Names the kubeconfig of a real Kubernetes, whose answers become the expected ones. See `tests/clients/record`.
const RECORD: &str = "KEELSON_RECORD";

/// When set, lists of known differences are brought up to date instead of compared.
const LIST: &str = "KEELSON_LIST_DIFFERENCES";

/// Where a real Kubernetes is, when its answers are to be recorded.
pub fn kubeconfig() -> Option<PathBuf> {
    std::env::var_os(RECORD).map(PathBuf::from)
}

/// The scripts of a folder below `tests`, in order.
///
/// # Errors
/// When they cannot be listed.
pub fn scripts(of: &str) -> Result<Vec<PathBuf>> {
    let entries = folder(of).read_dir().context("list the scripts")?;
    let mut paths: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    paths.sort();
    Ok(paths)
}

/// A folder below `tests`.
pub fn folder(of: &str) -> PathBuf {
    // Asked for at run time: checkouts share compiled tests.
    let top = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo tells its tests");
    Path::new(&top).join("tests").join(of)
}

/// Records.
///
/// # Panics
/// When that fails.
pub fn run(recorder: impl Future<Output = Result<()>>) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime needs only threads");
    if let Err(failure) = runtime.block_on(recorder) {
        panic!("{failure:#}");
    }
}

/// Compares what differs with the list of what is known to: a line for each, below a comment that says why. Only when
/// `all` was asked is a line that does not differ one too many.
///
/// # Errors
/// Names what differs and is not in the list, and what is in the list and does not differ.
pub fn check_differences(different: &BTreeSet<String>, list: &Path, all: bool) -> Result<()> {
    let text = std::fs::read_to_string(list).with_context(|| format!("read {}", list.display()))?;
    let is_entry = |line: &&str| !line.is_empty() && !line.starts_with('#');
    let known: BTreeSet<String> = text.lines().filter(is_entry).map(str::to_owned).collect();
    let missing: Vec<&String> = different.difference(&known).collect();
    let done: Vec<&String> = known.difference(different).collect();
    if std::env::var_os(LIST).is_some() {
        let kept = text.lines().filter(|line| !is_entry(line) || different.contains(*line));
        let lines: Vec<&str> = kept.chain(missing.iter().map(|line| line.as_str())).collect();
        return Ok(std::fs::write(list, lines.join("\n") + "\n")?);
    }
    let (new, old) = (missing.len(), done.len());
    ensure!(new == 0, "{new} answers are not those of Kubernetes:\n  {}", join(&missing));
    ensure!(old == 0 || !all, "{old} lines of {} differ no longer:\n  {}", list.display(), join(&done));
    Ok(())
}

fn join(lines: &[&String]) -> String {
    lines.iter().map(|line| line.as_str()).collect::<Vec<_>>().join("\n  ")
}
