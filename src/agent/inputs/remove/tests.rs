use std::fs;
use std::os::unix::fs::symlink;

use rustix::fs::{mkdirat, open};
use tempfile::TempDir;

use super::*;

#[test]
fn links_are_removed_and_not_followed() {
    let (folder, outside) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    fs::create_dir_all(outside.path().join("sub")).unwrap();
    fs::write(outside.path().join("sub/precious"), "").unwrap();
    let pod = folder.path().join("pod");
    fs::create_dir_all(pod.join("volumes/v/deep")).unwrap();
    for link in ["link", "volumes/link", "volumes/v/link", "volumes/v/deep/link"] {
        symlink(outside.path(), pod.join(link)).unwrap();
    }
    // Names that the removal uses itself are nothing special.
    fs::create_dir_all(pod.join("volumes/v/.removed-1/x")).unwrap();
    fs::create_dir_all(pod.join(".removed-1/x")).unwrap();
    symlink(outside.path(), pod.join(".removed-2")).unwrap();
    remove(folder.path(), "pod").unwrap();
    assert!(!pod.exists());
    assert!(outside.path().join("sub/precious").exists());
    // It can be done again, and a link in the place of the folder is just a link.
    remove(folder.path(), "pod").unwrap();
    symlink(outside.path(), &pod).unwrap();
    remove(folder.path(), "pod").unwrap();
    assert!(fs::symlink_metadata(&pod).is_err());
    assert!(outside.path().join("sub/precious").exists());
}

#[test]
fn a_tree_deeper_than_any_stack_or_path_goes() {
    const DEPTH: usize = 3_000;
    let folder = TempDir::new().unwrap();
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let mut at = open(folder.path(), flags, Mode::empty()).unwrap();
    for _ in 0..DEPTH {
        mkdirat(&at, "d", Mode::RWXU).unwrap();
        at = rustix::fs::openat(&at, "d", flags, Mode::empty()).unwrap();
    }
    drop(at);
    remove(folder.path(), "d").unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn more_names_than_are_taken_up_at_a_time() {
    let folder = TempDir::new().unwrap();
    for number in 0..NAMES_MAX * 2 + 1 {
        fs::create_dir_all(folder.path().join(format!("pod/wide/{number}/x"))).unwrap();
    }
    remove(folder.path(), "pod").unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
