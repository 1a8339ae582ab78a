//! The mounted file system against the real one, and its durability rules through plain `std::fs`.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::{LossyMount, Mercy};

/// A directory and the mount on it, which a caller's bindings drop first; `None`, with a message, where FUSE
/// cannot be used.
fn mount() -> Option<(tempfile::TempDir, LossyMount)> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    match LossyMount::new(directory.path()) {
        Ok(mount) => Some((directory, mount)),
        Err(refused) => {
            crate::report_skipped(&format!("FUSE cannot be used here: {refused}"));
            None
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Create,
    Append,
    Overwrite,
    Truncate,
    Rename,
    Link,
    Unlink,
    MakeDirectory,
    RemoveDirectory,
    Sync,
}

const STEPS: [Step; 10] = [
    Step::Create,
    Step::Append,
    Step::Overwrite,
    Step::Truncate,
    Step::Rename,
    Step::Link,
    Step::Unlink,
    Step::MakeDirectory,
    Step::RemoveDirectory,
    Step::Sync,
];

/// A step with everything it needs, so that it does the same on both file systems.
#[derive(Debug)]
struct Move {
    step: Step,
    path: PathBuf,
    other: PathBuf,
    offset: u64,
    data: Vec<u8>,
}

fn draw(random: &mut SmallRng) -> Move {
    let mut path = || {
        let name = format!("n{}", random.random_range(0..5));
        if random.random_bool(0.4) {
            Path::new(&format!("d{}", random.random_range(0..2))).join(name)
        } else {
            name.into()
        }
    };
    let (path, other) = (path(), path());
    let size = random.random_range(0..9000);
    Move {
        step: STEPS[random.random_range(0..STEPS.len())],
        path,
        other,
        offset: random.random_range(0..10_000),
        data: vec![random.random(); size],
    }
}

/// Makes the move below `root`; what it answers must be the same on both.
fn play(root: &Path, made: &Move) -> io::Result<()> {
    let (path, other) = (root.join(&made.path), root.join(&made.other));
    let writable = || OpenOptions::new().write(true).open(&path);
    match made.step {
        Step::Create => fs::write(&path, &made.data),
        Step::Append => OpenOptions::new()
            .append(true)
            .open(&path)
            .and_then(|mut file| io::Write::write_all(&mut file, &made.data)),
        Step::Overwrite => writable()?.write_all_at(&made.data, made.offset),
        Step::Truncate => writable()?.set_len(made.offset),
        Step::Rename => fs::rename(&path, &other),
        Step::Link => fs::hard_link(&path, &other),
        Step::Unlink => fs::remove_file(&path),
        Step::MakeDirectory => fs::create_dir(path.parent().unwrap_or(root).join("n0")),
        Step::RemoveDirectory => fs::remove_dir(&path),
        Step::Sync => File::open(&path)?.sync_all(),
    }
}

/// Every path below `root` with its link count and bytes.
fn walk(root: &Path, below: &Path, found: &mut Vec<(PathBuf, u64, Vec<u8>)>) {
    use std::os::unix::fs::MetadataExt;
    let mut names: Vec<_> =
        fs::read_dir(root.join(below)).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    for name in names {
        let path = below.join(name);
        let metadata = fs::metadata(root.join(&path)).unwrap();
        if metadata.is_dir() {
            found.push((path.clone(), 0, Vec::new()));
            walk(root, &path, found);
        } else {
            found.push((path.clone(), metadata.nlink(), fs::read(root.join(&path)).unwrap()));
        }
    }
}

#[test]
fn any_sequence_of_operations_does_what_the_real_file_system_does() {
    for seed in 0..6 {
        let Some((_directory, mount)) = mount() else { return };
        let real = tempfile::tempdir().unwrap();
        let mut random = SmallRng::seed_from_u64(seed);
        for root in [mount.path(), real.path()] {
            (0..2).for_each(|n| fs::create_dir(root.join(format!("d{n}"))).unwrap());
        }
        for at in 0..400 {
            let made = draw(&mut random);
            let answers =
                [mount.path(), real.path()].map(|root| play(root, &made).map_err(|e| e.raw_os_error()));
            assert_eq!(answers[0], answers[1], "seed {seed} move {at}: {:?} {:?}", made.step, made.path);
            let trees = [mount.path(), real.path()].map(|root| {
                let mut found = Vec::new();
                walk(root, Path::new(""), &mut found);
                found
            });
            assert!(
                trees[0] == trees[1],
                "seed {seed} move {at}: {:?} {:?} -> {:?}",
                made.step,
                made.path,
                made.other
            );
        }
    }
}

/// What is left of `prepare`'s work after power cuts with many seeds: each outcome once.
fn outcomes(prepare: impl Fn(&Path), look: impl Fn(&Path) -> String) -> std::collections::BTreeSet<String> {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..60 {
        let Some((_directory, mount)) = mount() else { return seen };
        prepare(mount.path());
        mount.power_cut(Mercy::Random, seed);
        seen.insert(look(mount.path()));
    }
    seen
}

fn sync(path: &Path) {
    File::open(path).unwrap().sync_all().unwrap();
}

fn listing(root: &Path) -> String {
    let mut found = Vec::new();
    walk(root, Path::new(""), &mut found);
    let lines =
        found.iter().map(|(path, _, bytes)| format!("{}={}", path.display(), String::from_utf8_lossy(bytes)));
    lines.collect::<Vec<_>>().join(" ")
}

/// Checks that exactly `expect` can be left after a power cut.
fn check(prepare: impl Fn(&Path), expect: &[&str]) {
    let seen = outcomes(prepare, listing);
    let expect: std::collections::BTreeSet<String> = expect.iter().map(|text| (*text).to_owned()).collect();
    assert!(seen.is_empty() || seen == expect, "left {seen:?}, expected {expect:?}");
}

#[test]
fn a_file_needs_its_own_sync_and_its_directorys() {
    check(|root| fs::write(root.join("a"), "x").unwrap(), &["", "a=", "a=\0", "a=x"]);
    check(
        |root| {
            fs::write(root.join("a"), "x").unwrap();
            sync(&root.join("a"));
        },
        &["", "a=x"],
    );
    check(
        |root| {
            fs::write(root.join("a"), "x").unwrap();
            sync(root);
        },
        &["a=", "a=\0", "a=x"],
    );
    check(
        |root| {
            fs::write(root.join("a"), "x").unwrap();
            sync(&root.join("a"));
            sync(root);
        },
        &["a=x"],
    );
}

#[test]
fn a_rename_is_all_or_nothing_and_keeps_the_order_of_operations() {
    let durable = |root: &Path| {
        fs::write(root.join("a"), "old").unwrap();
        sync(&root.join("a"));
        fs::write(root.join("b"), "new").unwrap();
        sync(&root.join("b"));
        sync(root);
    };
    check(
        |root| {
            durable(root);
            fs::rename(root.join("b"), root.join("a")).unwrap();
            fs::remove_file(root.join("a")).unwrap();
        },
        &["a=old b=new", "a=new", ""],
    );
}

#[test]
fn a_hard_link_shares_bytes_and_an_unlinked_name_may_come_back() {
    check(
        |root| {
            fs::write(root.join("a"), "x").unwrap();
            sync(&root.join("a"));
            sync(root);
            fs::hard_link(root.join("a"), root.join("b")).unwrap();
            fs::remove_file(root.join("a")).unwrap();
        },
        &["a=x", "a=x b=x", "b=x"],
    );
}

#[test]
fn what_is_below_a_directory_whose_name_was_lost_is_lost() {
    check(
        |root| {
            fs::create_dir(root.join("d")).unwrap();
            fs::write(root.join("d/a"), "x").unwrap();
            sync(&root.join("d/a"));
            sync(&root.join("d"));
        },
        &["", "d= d/a=x"],
    );
}

#[test]
fn a_file_that_is_open_outlives_its_name() {
    let Some((_directory, mount)) = mount() else { return };
    let path = mount.path().join("a");
    fs::write(&path, "x").unwrap();
    let open = File::open(&path).unwrap();
    fs::remove_file(&path).unwrap();
    sync(mount.path());
    let mut byte = [0];
    open.read_exact_at(&mut byte, 0).unwrap();
    assert_eq!(byte, *b"x");
}

#[test]
fn a_disk_that_hangs_holds_syncs_and_nothing_else() {
    let Some((directory, mount)) = mount() else { return };
    let path = directory.path().join("file");
    fs::write(&path, "written").expect("write");
    mount.hold_syncs();
    let file = File::open(&path).expect("open");
    let syncing = base::env::thread("sync", move || file.sync_all()).expect("a thread");
    while mount.held_syncs() == 0 {
        std::thread::yield_now();
    }
    assert_eq!(fs::read(&path).expect("read"), b"written", "reads go on");
    fs::write(directory.path().join("other"), "too").expect("writes go on");
    assert_eq!(mount.dirty_files(), 2, "nothing is durable");
    mount.release_syncs();
    syncing.join().expect("joined").expect("synced");
    assert_eq!(mount.dirty_files(), 1, "what was held took effect");
}
