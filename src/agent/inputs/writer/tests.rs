use std::cell::Cell;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use expect_test::expect;
use tempfile::TempDir;

use super::*;
use crate::disk::NodeDisk;
use crate::payload::File;

fn payload(files: &[(&str, &str)]) -> Payload {
    let file = |data: &str| File { data: data.into(), mode: 0o644, owner: None };
    files.iter().map(|(path, data)| ((*path).to_owned(), file(data))).collect()
}

fn old() -> Payload {
    payload(&[
        ("both", "old"),
        ("gone", "old"),
        ("dir/both", "old"),
        ("dir/gone", "old"),
        ("old-dir/x", "old"),
    ])
}

fn new() -> Payload {
    payload(&[("both", "new"), ("added", "new"), ("dir/both", "new"), ("new-dir/deep/x", "new")])
}

/// What a reader finds below a folder, links followed: paths and contents.
fn seen(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let Ok(entries) = fs::read_dir(folder) else { return found };
    for entry in entries {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.starts_with("..") {
            continue;
        }
        let path = folder.join(&name);
        if path.is_dir() {
            found.extend(seen(&path).into_iter().map(|(below, data)| (format!("{name}/{below}"), data)));
        } else if let Ok(data) = fs::read_to_string(&path) {
            found.insert(name, data);
        }
    }
    found
}

fn as_seen(payload: &Payload) -> BTreeMap<String, String> {
    let text = |file: &File| String::from_utf8(file.data.clone()).unwrap();
    payload.iter().map(|(path, file)| (path.clone(), text(file))).collect()
}

/// The names in a folder; those that tell the time are all the same.
fn entries(folder: &Path) -> Vec<String> {
    let mut names = names(folder).unwrap();
    names.sort();
    names
}

/// A disk on which the agent dies at one change: of a file that it wrote half is there.
struct Dying {
    left: Cell<usize>,
}

impl Dying {
    fn step<T>(&self, last: impl FnOnce(), change: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let Some(left) = self.left.get().checked_sub(1) else {
            last();
            return Err(io::Error::other("the agent died"));
        };
        self.left.set(left);
        change()
    }
}

impl Disk for Dying {
    fn create_folder(&self, path: &Path, mode: u32) -> io::Result<()> {
        self.step(|| (), || NodeDisk.create_folder(path, mode))
    }

    fn create_file(&self, path: &Path, file: &File) -> io::Result<()> {
        let half = File { data: file.data[..file.data.len() / 2].to_vec(), ..file.clone() };
        self.step(|| NodeDisk.create_file(path, &half).unwrap(), || NodeDisk.create_file(path, file))
    }

    fn create_link(&self, target: &Path, path: &Path) -> io::Result<()> {
        self.step(|| (), || NodeDisk.create_link(target, path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step(|| (), || NodeDisk.rename(from, to))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.step(|| (), || NodeDisk.remove_file(path))
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        let some = || {
            drop(
                fs::read_dir(path)
                    .map(|mut entries| entries.next().map(|one| fs::remove_file(one.unwrap().path()))),
            )
        };
        self.step(some, || NodeDisk.remove_folder(path))
    }

    fn give_to_group(&self, path: &Path, group: u32, mode: Option<u32>) -> io::Result<()> {
        self.step(|| (), || NodeDisk.give_to_group(path, group, mode))
    }
}

#[test]
fn files_are_seen_through_links() {
    let volume = TempDir::new().unwrap();
    assert_eq!(write(&NodeDisk, volume.path(), &new(), None, "1").unwrap(), Written::Replaced);
    assert_eq!(seen(volume.path()), as_seen(&new()));
    expect![[r#"["..1", "..data", "added", "both", "dir", "new-dir"]"#]]
        .assert_eq(&format!("{:?}", entries(volume.path())));
    assert_eq!(fs::read_link(volume.path().join("new-dir")).unwrap(), Path::new("..data/new-dir"));
    assert_eq!(fs::read_link(volume.path().join("..data")).unwrap(), Path::new("..1"));
}

#[test]
fn a_change_is_seen_at_once_and_what_went_is_gone() {
    let volume = TempDir::new().unwrap();
    write(&NodeDisk, volume.path(), &old(), None, "1").unwrap();
    write(&NodeDisk, volume.path(), &new(), None, "2").unwrap();
    assert_eq!(seen(volume.path()), as_seen(&new()));
    expect![[r#"["..2", "..data", "added", "both", "dir", "new-dir"]"#]]
        .assert_eq(&format!("{:?}", entries(volume.path())));
    // An object that may be missing went: nothing is left to see.
    write(&NodeDisk, volume.path(), &Payload::new(), None, "3").unwrap();
    assert_eq!(entries(volume.path()), ["..3", "..data"]);
}

#[test]
fn what_is_right_is_not_written_again() {
    let volume = TempDir::new().unwrap();
    write(&NodeDisk, volume.path(), &old(), None, "1").unwrap();
    let before = fs::metadata(volume.path().join("..1/both")).unwrap().ino();
    // As by an agent that started anew: it knows nothing but what stands there.
    let dead = Dying { left: Cell::new(0) };
    assert_eq!(write(&dead, volume.path(), &old(), None, "2").unwrap(), Written::Unchanged);
    assert_eq!(fs::metadata(volume.path().join("both")).unwrap().ino(), before);
    // One link that is missing comes back.
    fs::remove_file(volume.path().join("both")).unwrap();
    assert_eq!(write(&NodeDisk, volume.path(), &old(), None, "3").unwrap(), Written::Unchanged);
    assert_eq!(seen(volume.path()), as_seen(&old()));
}

#[test]
fn damage_is_repaired() {
    for damage in ["..data", "..1/both", "..1"] {
        let volume = TempDir::new().unwrap();
        write(&NodeDisk, volume.path(), &old(), None, "1").unwrap();
        let path = volume.path().join(damage);
        if damage == "..1" { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
        assert_eq!(
            write(&NodeDisk, volume.path(), &old(), None, "2").unwrap(),
            Written::Replaced,
            "{damage}"
        );
        assert_eq!(seen(volume.path()), as_seen(&old()), "{damage}");
    }
    // Nobody else's folder is taken for the writer's, nor removed as if it were.
    let (volume, outside) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    fs::write(outside.path().join("precious"), "").unwrap();
    std::os::unix::fs::symlink(outside.path(), volume.path().join("..data")).unwrap();
    std::os::unix::fs::symlink(outside.path(), volume.path().join("..2000")).unwrap();
    write(&NodeDisk, volume.path(), &old(), None, "1").unwrap();
    assert_eq!(seen(volume.path()), as_seen(&old()));
    assert!(outside.path().join("precious").exists());
}

#[test]
fn whenever_the_agent_dies_one_payload_or_the_other_is_seen() {
    let group = own_group();
    let (mut died, mut before, mut after) = (0, 0, 0);
    for steps in 0.. {
        let volume = TempDir::new().unwrap();
        write(&NodeDisk, volume.path(), &old(), Some(group), "1").unwrap();
        let dying = Dying { left: Cell::new(steps) };
        let done = write(&dying, volume.path(), &new(), Some(group), "2").is_ok();

        let data = seen(&volume.path().join("..data"));
        let is_new = data == as_seen(&new());
        assert!(is_new || data == as_seen(&old()), "after {steps} changes: {data:?}");
        // Names come and go one by one, but none shows the other payload.
        for (path, shown) in seen(volume.path()) {
            assert_eq!(shown, if is_new { "new" } else { "old" }, "{path} after {steps} changes");
        }
        if done {
            break;
        }
        (died, before, after) = (died + 1, before + usize::from(!is_new), after + usize::from(is_new));

        // The next agent brings what is wanted by then, and leaves no trace of the one that died.
        let wanted = if steps % 2 == 0 { new() } else { old() };
        write(&NodeDisk, volume.path(), &wanted, Some(group), "3").unwrap();
        assert_eq!(seen(volume.path()), as_seen(&wanted), "after {steps} changes");
        let hidden = entries(volume.path()).into_iter().filter(|name| name.starts_with("..")).count();
        assert_eq!(hidden, 2, "after {steps} changes: {:?}", entries(volume.path()));
    }
    assert!(before > 10 && after > 4, "{died} deaths: {before} before the change, {after} after it");
}

/// A group that the test may give files to.
fn own_group() -> u32 {
    fs::metadata(TempDir::new().unwrap().path()).unwrap().gid()
}

#[test]
fn the_group_can_read_what_is_written() {
    let volume = TempDir::new().unwrap();
    let mut files = payload(&[("a/b", "x")]);
    files.get_mut("a/b").unwrap().mode = 0o600;
    fs::set_permissions(volume.path(), fs::Permissions::from_mode(0o700)).unwrap();
    write(&NodeDisk, volume.path(), &files, Some(own_group()), "1").unwrap();
    let mode = |path: &str| fs::metadata(volume.path().join(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("a/b"), mode("..1/a"), mode(".")), (0o640, 0o2755, 0o2750));
}
