//! Holds the repository to its own rules: who may import whom, sizes, nothing left undone, and
//! documents that say only what is there.
//!
//! Rules that the compiler or clippy can check stand in Cargo.toml and clippy.toml instead.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use scanner::functions;

#[path = "tidy/scanner.rs"]
mod scanner;

/// Which crates a crate may depend on, by folder. Anything not listed is forbidden: a new edge is a
/// decision, so it changes this table and docs/ARCHITECTURE.md together.
const IMPORTS: &[(&str, &[&str])] = &[
    (".", &["base", "chaos", "kctl", "node"]),
    ("chaos", &["api", "base"]),
    ("raft", &["base", "storage"]),
    ("raft/histogram", &[]),
    ("src/agent", &["api", "base", "client", "dns", "inputs", "kubelet", "network", "proxy", "streams"]),
    ("src/agent/dns", &["api", "base", "client"]),
    ("src/agent/inputs", &["api", "base"]),
    ("src/agent/kubelet", &["api", "base", "client", "inputs"]),
    ("src/agent/network", &["base"]),
    ("src/agent/proxy", &["api", "base", "client"]),
    ("src/api", &[]),
    (
        // Controllers, the scheduler and storage in its tests alone: they run the whole table over its memory twin,
        // and over replicas.
        "src/apiserver",
        &[
            "api",
            "base",
            "controllers",
            "projection",
            "raft",
            "replica",
            "scheduler",
            "state",
            "storage",
            "streams",
        ],
    ),
    ("src/base", &[]),
    ("src/client", &["api", "base"]),
    // The scheduler in its tests alone: pods need nodes.
    ("src/controllers", &["api", "projection", "scheduler", "state"]),
    ("src/hollow", &["api", "base", "client"]),
    ("src/kctl", &["api", "base", "client", "streams"]),
    (
        "src/node",
        &[
            "agent",
            "api",
            "apiserver",
            "base",
            "client",
            "controllers",
            "hollow",
            "kctl",
            "projection",
            "raft",
            "replica",
            "scheduler",
            "state",
            "storage",
        ],
    ),
    ("src/projection", &["api", "base", "state"]),
    ("src/replica", &["api", "base", "raft", "state", "storage"]),
    ("src/scheduler", &["api", "projection", "state"]),
    ("src/state", &["api"]),
    ("src/streams", &["base"]),
    ("storage", &["base"]),
    ("tests/bench", &["api", "base", "chaos", "node", "raft", "replica", "state"]),
];

/// The longest file, in lines: tests and comments count, for they are read as well.
const FILE_LINES_MAX: usize = 500;

/// The longest function, in lines of code from `fn` to its closing brace. Blank lines and comments do
/// not count; tests do.
const FUNCTION_LINES_MAX: usize = 70;

/// Files (`path`) and functions (`path::name`) that may be longer, each with the reason.
const LONGER: &[(&str, &str)] = &[];

/// What holds nothing written by hand.
const GENERATED: &[&str] = &[".git", ".keelson", "artifacts", "bin", "corpus", "target"];

/// What a path in a document can begin with.
const TOP_FOLDERS: &[&str] = &[".ci/", "chaos/", "docs/", "raft/", "src/", "storage/", "tests/"];

/// What a path in a document can end with.
const EXTENSIONS: &[&str] = &[".json", ".lock", ".md", ".rs", ".toml"];

/// Work announced instead of done. In halves, so that this file passes.
const UNDONE: &[&str] =
    &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("to", "do!("), concat!("unimplem", "ented!(")];

/// Places of one machine, which mean nothing on another.
const ABSOLUTE: &[&str] = &[concat!("/wo", "rk/"), concat!("/ro", "ot/")];

/// The rooms in which files and sockets may be met; a simulation replaces them, or ends before them.
const WORLD: &[(&str, &[&str])] = &[
    // A build script runs before there is anything to simulate.
    (
        "std::fs",
        &[
            "chaos/",
            "src/agent/",
            "src/api/build.rs",
            "src/base/files.rs",
            "src/kctl/",
            "src/node/",
            "storage/",
            "tests/",
        ],
    ),
    (
        "tokio::net",
        &[
            "chaos/",
            "raft/transport/tls/",
            "src/agent/",
            "src/apiserver/",
            "src/client/",
            "src/kctl/",
            "src/node/",
            "src/streams/",
        ],
    ),
    ("std::net::Tcp", &["chaos/", "raft/transport/tls/", "src/agent/network/", "src/node/"]),
    ("std::net::Udp", &["src/agent/dns/", "tests/"]),
];

#[test]
fn crates_import_only_what_the_table_allows() {
    let crates: Vec<String> = files_named("Cargo.toml").iter().map(|path| folder_of(path)).collect();
    let listed: BTreeSet<&str> = IMPORTS.iter().map(|(folder, _)| *folder).collect();
    let mut wrong = Vec::new();
    for folder in crates.iter().filter(|folder| !folder.ends_with("fuzz")) {
        if !listed.contains(folder.as_str()) {
            wrong.push(format!("{folder} is no row of IMPORTS"));
        }
    }
    let ours: BTreeSet<String> = listed.iter().map(|folder| name_of(folder)).collect();
    for (folder, allowed) in IMPORTS {
        let manifest = read(&Path::new(folder).join("Cargo.toml"));
        for import in dependencies(&manifest) {
            if ours.contains(&import) && !allowed.contains(&import.as_str()) {
                wrong.push(format!("{folder} must not import {import}"));
            }
        }
        if !manifest.contains("[lints]\nworkspace = true") {
            wrong.push(format!("{folder}/Cargo.toml does not take the workspace's lints"));
        }
    }
    assert_none(&wrong);
}

#[test]
fn the_architecture_page_shows_the_same_table() {
    let page = read(Path::new("docs/ARCHITECTURE.md"));
    let rows: BTreeSet<String> = table_rows(&page)
        .filter(|cells| cells.len() == 3)
        .map(|cells| format!("{} <- {}", cells[0].trim_matches('`'), cells[2]))
        .collect();
    let wrong: Vec<String> = IMPORTS
        .iter()
        .filter(|(folder, _)| *folder != ".")
        .map(|(folder, allowed)| {
            format!("{folder} <- {}", if allowed.is_empty() { "-".into() } else { allowed.join(", ") })
        })
        .filter(|row| !rows.contains(row))
        .map(|row| format!("docs/ARCHITECTURE.md has no row {row}"))
        .collect();
    assert_none(&wrong);
}

#[test]
fn files_and_functions_stay_short() {
    let mut wrong = Vec::new();
    let mut excused = BTreeSet::new();
    for path in files_with(&[".rs"]) {
        let text = read(&path);
        let lines = text.lines().count();
        let mut long = Vec::new();
        if lines > FILE_LINES_MAX {
            long.push((path.display().to_string(), lines, FILE_LINES_MAX));
        }
        for function in functions(&text) {
            if function.lines > FUNCTION_LINES_MAX {
                let name = format!("{}::{}", path.display(), function.name);
                long.push((name, function.lines, FUNCTION_LINES_MAX));
            }
        }
        for (name, lines, lines_max) in long {
            if LONGER.iter().any(|(excepted, _)| *excepted == name) {
                excused.insert(name);
            } else {
                wrong.push(format!("{name}: {lines} lines, at most {lines_max}"));
            }
        }
    }
    for (name, _) in LONGER.iter().filter(|(name, _)| !excused.contains(*name)) {
        wrong.push(format!("LONGER excepts {name}, which is short or gone"));
    }
    assert_none(&wrong);
}

#[test]
fn nothing_is_left_undone_and_no_machine_is_named() {
    let mut wrong = Vec::new();
    for path in files_with(&["", ".json", ".md", ".rs", ".sh", ".toml", ".yaml"]) {
        for (number, line) in (1..).zip(read(&path).lines()) {
            for word in UNDONE.iter().chain(ABSOLUTE).filter(|word| line.contains(**word)) {
                wrong.push(format!("{}:{number}: {word}", path.display()));
            }
        }
    }
    assert_none(&wrong);
}

/// Under pipefail the writer's SIGPIPE fails a script whose reader has seen enough, now and then.
#[test]
fn scripts_read_their_pipes_to_the_end() {
    let hangs_up = |reader: &str| {
        ["head", "grep -q", "grep -m"].iter().any(|early| reader.trim().starts_with(early))
            || reader.trim().starts_with("sed ") && reader.trim().ends_with('q')
    };
    let mut scripts = files_with(&[""]);
    scripts.retain(|path| read(path).lines().any(|line| line.split('|').skip(1).any(hangs_up)));
    assert!(scripts.is_empty(), "{scripts:?}");
}

#[test]
fn what_is_simulated_reaches_the_world_through_its_doors_only() {
    let mut wrong = Vec::new();
    for path in files_with(&[".rs"]) {
        let (name, text) = (path.display().to_string(), read(&path));
        let is_test = path.iter().any(|part| part == "tests" || part == "examples");
        for (door, rooms) in WORLD.iter().filter(|_| !is_test) {
            if text.contains(door) && !rooms.iter().any(|room| name.starts_with(room)) {
                wrong.push(format!("{name} uses {door}"));
            }
        }
        // An unbiased select draws its branch from a generator that no seed governs.
        let selects = text.matches(concat!("select!", " {")).count();
        let biased = text.matches("biased;").count();
        if selects > biased {
            wrong.push(format!("{name}: a select that is not biased"));
        }
    }
    assert_none(&wrong);
}

#[test]
fn every_path_that_a_document_names_exists() {
    let mut wrong = Vec::new();
    for path in files_with(&[".md"]) {
        let text = read(&path);
        for name in paths_named(&text) {
            if !exists(&path, &name) {
                wrong.push(format!("{}: `{name}` does not exist", path.display()));
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn every_check_names_a_test_or_a_bench_line() {
    let page = read(Path::new("docs/checks.md"));
    let mut wrong = Vec::new();
    let mut rows = 0;
    for cells in table_rows(&page).filter(|cells| cells.len() == 3 && cells[1].starts_with('`')) {
        rows += 1;
        let (file, check) = (cells[1].trim_matches('`'), cells[2].trim_matches('`'));
        let text = std::fs::read_to_string(top().join(file)).unwrap_or_default();
        let attributes =
            text.split_once(&format!("fn {check}(")).map_or("", |(before, _)| attributes_of(before));
        let by_hand = cells[0].contains("by hand");
        let is_marked = attributes.contains("test]") || attributes.contains("test(");
        let is_test = is_marked && attributes.contains("#[ignore") == by_hand;
        let is_row = rows_of_tests(&text).any(|name| name == check);
        let is_line = file.starts_with("tests/bench/") && text.contains(&format!("\"{check}\""));
        if !is_test && !is_row && !is_line {
            wrong.push(format!("{file} has no test or line `{check}`"));
        }
    }
    assert!(rows > 0, "docs/checks.md holds no rows of the form | behaviour | `file` | `check` |");
    assert_none(&wrong);
}

#[test]
fn every_file_of_tests_is_part_of_a_program() {
    let (manifest, system) = (read(Path::new("Cargo.toml")), read(Path::new("tests/system.rs")));
    let files = files_with(&[".rs"]);
    let files = files.iter().filter(|path| path.parent() == Some(Path::new("tests")));
    let names = files.filter_map(|path| path.file_stem()?.to_str());
    let is_part = |name: &str| {
        manifest.contains(&format!("[[test]]\nname = \"{name}\"\n"))
            || system.contains(&format!("mod {name};\n"))
    };
    assert_none(&names.filter(|name| !is_part(name)).map(str::to_owned).collect::<Vec<_>>());
}

/// The tests that a file makes of rows, `name: what it tests;` in a macro's braces.
fn rows_of_tests(text: &str) -> impl Iterator<Item = &str> {
    let makes_tests = text.contains("macro_rules! kinds") && text.contains("#[test]\n        fn $name()");
    let rows =
        text.lines().filter(move |line| makes_tests && line.starts_with("    ") && line.ends_with("\";"));
    rows.filter_map(|line| line.trim().split_once(": ").map(|(name, _)| name))
}

/// What stands between the item before a function and the function.
fn attributes_of(before: &str) -> &str {
    &before[before.rfind("}\n").max(before.rfind(";\n")).map_or(0, |at| at + 1)..]
}

#[test]
fn dependencies_are_found_however_they_are_written() {
    let manifest = "[workspace.dependencies]\na = 1\n[dependencies]\nb.workspace = true\nc = { path = \"\" }\n\
                    d = { package = \"e\" }\n[dev-dependencies]\nf = \"1\"\n[dependencies.g]\npath = \"\"\n";
    assert_eq!(dependencies(manifest), ["b", "c", "e", "f", "g"]);
}

#[test]
fn decisions_are_numbered_without_a_gap() {
    let mut numbers: Vec<usize> = Vec::new();
    for path in files_with(&[".md"]).iter().filter(|path| path.starts_with("docs/decisions")) {
        let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let number =
            name.split('-').next().filter(|digits| digits.len() == 4).and_then(|digits| digits.parse().ok());
        numbers.push(number.unwrap_or_else(|| panic!("{name} is not NNNN-title.md")));
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=numbers.len()).collect::<Vec<_>>());
}

/// The names on the left of all `[...dependencies]` sections of a manifest.
fn dependencies(manifest: &str) -> Vec<String> {
    let mut inside = false;
    let mut names = Vec::new();
    for line in manifest.lines() {
        if let Some(header) = line.trim_end().strip_prefix('[') {
            let header = header.trim_end_matches(']');
            let is_ours = !header.starts_with("workspace");
            inside = is_ours && header.ends_with("dependencies");
            // A dependency with a section of its own.
            names.extend(
                header.rsplit_once("dependencies.").filter(|_| is_ours).map(|(_, name)| name.to_owned()),
            );
        } else if inside && line.starts_with(|first: char| first.is_ascii_alphabetic()) {
            // One that goes by another name here says which package it is.
            let package = line.split_once("package = \"").and_then(|(_, rest)| rest.split('"').next());
            let key = line.split(['.', ' ', '=']).next().unwrap_or_default();
            names.push(package.unwrap_or(key).to_owned());
        }
    }
    names
}

/// What a document says is in the repository: words in backticks that look like paths, in code blocks
/// those that begin with a top folder, and the targets of links within it.
fn paths_named(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut in_block = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        } else if in_block {
            names.extend(line.split_whitespace().filter(|word| begins_at_top(word)).map(trimmed));
        } else {
            let quoted = line.split('`').skip(1).step_by(2);
            names.extend(quoted.filter(|word| begins_at_top(word) || is_file_name(word)).map(trimmed));
            let links = line.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
            names.extend(links.map(|(target, _)| trimmed(target)).filter(|target| !target.contains("://")));
        }
    }
    names.remove("");
    names
}

fn begins_at_top(word: &str) -> bool {
    TOP_FOLDERS.iter().any(|folder| word.starts_with(folder))
}

fn is_file_name(word: &str) -> bool {
    EXTENSIONS.iter().any(|extension| word.len() > extension.len() && word.ends_with(extension))
        && !word.contains([' ', '*', '<', '$', '{'])
        && !word.starts_with(['~', '/'])
}

/// A path without what prose puts behind it: punctuation, `::item`, `:line`, `#heading`.
fn trimmed(word: &str) -> String {
    let path = word.split([':', '#', ' ']).next().unwrap_or_default();
    path.trim_end_matches([',', '.', ';', ')', '|']).to_owned()
}

/// Whether a path that `document` names is there: from the top, beside the document, or, for a bare
/// file name, anywhere.
fn exists(document: &Path, name: &str) -> bool {
    let beside = document.parent().unwrap_or(Path::new(""));
    let is_there = top().join(name).exists() || top().join(beside).join(name).exists();
    is_there || (!name.contains('/') && !files_named(name).is_empty())
}

/// The cells of every table row of a document.
fn table_rows(text: &str) -> impl Iterator<Item = Vec<String>> + '_ {
    text.lines()
        .filter_map(|line| line.trim().strip_prefix('|')?.strip_suffix('|'))
        .map(|row| row.split('|').map(|cell| cell.trim().to_owned()).collect())
}

/// The name of the crate in `folder`, whose manifest must be there.
fn name_of(folder: &str) -> String {
    let manifest = read(&Path::new(folder).join("Cargo.toml"));
    let line = manifest.lines().find_map(|line| line.strip_prefix("name = \""));
    line.expect("every manifest of IMPORTS names its package").trim_end_matches('"').to_owned()
}

fn folder_of(manifest: &Path) -> String {
    let folder = manifest.parent().map_or_else(String::new, |folder| folder.display().to_string());
    if folder.is_empty() { ".".to_owned() } else { folder }
}

fn files_named(name: &str) -> Vec<PathBuf> {
    all_files().into_iter().filter(|path| path.file_name().is_some_and(|found| found == name)).collect()
}

/// Files with one of these extensions; the empty one stands for scripts and the like.
fn files_with(extensions: &[&str]) -> Vec<PathBuf> {
    let extension =
        |path: &Path| path.extension().map_or_else(String::new, |end| format!(".{}", end.display()));
    all_files().into_iter().filter(|path| extensions.contains(&extension(path).as_str())).collect()
}

/// Every file written by hand, relative to the top, in order.
fn all_files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![top()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of the checkout can be read") {
            let path = entry.expect("a folder of the checkout can be read").path();
            let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
            // Whatever it is: in a further worktree of the repository `.git` is a file.
            if GENERATED.contains(&name.as_str()) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if path.is_file() {
                files.push(path.strip_prefix(top()).expect("it was found below the top").to_owned());
            }
        }
    }
    files.sort();
    files
}

fn read(path: &Path) -> String {
    let bytes = std::fs::read(top().join(path));
    let bytes = bytes.unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Asked for at run time: checkouts share compiled tests.
fn top() -> PathBuf {
    PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo tells its tests"))
}

#[track_caller]
fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} found:\n  {}", wrong.len(), wrong.join("\n  "));
}
