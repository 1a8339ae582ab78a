//! Mounts of containers, and parts of volumes that try to lead out of them.

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{Node, UID, may_mount, pod};
use expect_test::{Expect, expect};
use k8s_openapi::api::core::v1::Pod;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde_json::{Value, json};
use tempfile::TempDir;

fn with_mounts(mounts: Value, security: Value) -> Pod {
    let volumes = json!([{"name": "files", "configMap": {"name": "config"}}, {"name": "v", "emptyDir": {}}]);
    pod(volumes, mounts, security)
}

/// A pod with an emptyDir of which one part is mounted.
fn part(sub_path: &str) -> Pod {
    with_mounts(json!([{"name": "v", "mountPath": "/v", "subPath": sub_path}]), json!({}))
}

async fn check(mounts: Value, expect: Expect) {
    let node = Node::new();
    let shown = match node.mounts(&with_mounts(mounts, json!({}))).await {
        Ok(mounts) => {
            let show = |mount: &inputs::ContainerMount| {
                let mode = if mount.is_read_only { "ro" } else { "rw" };
                let from =
                    mount.host_path.strip_prefix(node.path("")).expect("in the pod's folder").display();
                format!("{} {from} {mode} {:?}", mount.container_path, mount.propagation)
            };
            mounts.iter().map(show).collect::<Vec<_>>().join("\n")
        }
        Err(error) => error.to_string(),
    };
    expect.assert_eq(&shown);
}

#[tokio::test]
async fn mounts_are_as_the_container_says() {
    check(
        json!([
            {"name": "files", "mountPath": "/etc/app", "readOnly": false},
            {"name": "v", "mountPath": "rel", "mountPropagation": "HostToContainer"},
            {"name": "v", "mountPath": "/ro", "readOnly": true, "mountPropagation": "None"},
            {"name": "v", "mountPath": "/both", "mountPropagation": "Bidirectional"},
        ]),
        expect![[r"
            /etc/app volumes/kubernetes.io~configmap/files ro Private
            /rel volumes/kubernetes.io~empty-dir/v rw HostToContainer
            /ro volumes/kubernetes.io~empty-dir/v ro Private
            /both volumes/kubernetes.io~empty-dir/v rw Bidirectional"]],
    )
    .await;
    let one = |fields: Value| {
        let mut mount = json!({"name": "v", "mountPath": "/v"});
        mount.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        json!([mount])
    };
    check(one(json!({"name": "x"})), expect![[r#"cannot find volume "x" to mount into container "main""#]])
        .await;
    check(one(json!({"subPath": "/a"})), expect!["error SubPath `/a` must not be an absolute path"]).await;
    check(
        one(json!({"subPath": "a/../.."})),
        expect!["unable to provision SubPath `a/../..`: must not contain '..'"],
    )
    .await;
    check(
        one(json!({"subPathExpr": "/$(NAME)"})),
        expect!["error SubPath `/web` must not be an absolute path"],
    )
    .await;
    check(
        one(json!({"subPathExpr": "../$(NAME)"})),
        expect!["unable to provision SubPath `../web`: must not contain '..'"],
    )
    .await;
    check(one(json!({"subPathExpr": "$(Z)/$(EMPTY)/$(A)"})), expect!["missing value for A, EMPTY, Z"]).await;
    check(one(json!({"mountPropagation": "Odd"})), expect![[r#"invalid MountPropagation mode: "Odd""#]])
        .await;
}

#[tokio::test]
async fn parts_are_mounted_and_made_where_they_are_missing() {
    if !may_mount() {
        return;
    }
    let mut node = Node::new();
    let pod = with_mounts(
        json!([
            {"name": "files", "mountPath": "/a", "subPath": "a"},
            {"name": "v", "mountPath": "/logs", "subPathExpr": "logs/./$(NAME)//deep"},
        ]),
        json!({"fsGroup": 1001}),
    );
    let mounts = node.mounts(&pod).await.unwrap();
    assert_eq!(mounts[0].host_path, node.path("volume-subpaths/files/main/0"));
    assert_eq!(mounts[1].host_path, node.path("volume-subpaths/v/main/1"));
    assert_eq!(fs::read_to_string(&mounts[0].host_path).unwrap(), "one");
    assert!(mounts[0].is_read_only && !mounts[1].is_read_only);
    for folder in ["logs", "logs/web", "logs/web/deep"] {
        let meta = fs::metadata(node.path("volumes/kubernetes.io~empty-dir/v").join(folder)).unwrap();
        assert_eq!((meta.gid(), meta.permissions().mode() & 0o7777), (1001, 0o2777), "{folder}");
    }
    fs::write(mounts[1].host_path.join("log"), "line").unwrap();
    assert!(node.path("volumes/kubernetes.io~empty-dir/v/logs/web/deep/log").exists());

    // The container starts again: what is the same stays mounted, a file that was replaced is mounted anew.
    node.restart();
    node.set_config_map(json!({"a": "two"}));
    node.update(&pod).await.unwrap();
    assert_eq!(fs::read_to_string(&mounts[0].host_path).unwrap(), "one");
    let again = node.mounts(&pod).await.unwrap();
    assert_eq!(again, mounts);
    assert_eq!(fs::read_to_string(&mounts[0].host_path).unwrap(), "two");
    assert_eq!(node.mounted().len(), 2);
    node.volumes.tear_down(UID).await.unwrap();
    assert_eq!(node.mounted(), [""; 0]);
}

#[tokio::test]
async fn no_link_leads_out_of_a_volume() {
    if !may_mount() {
        return;
    }
    let (node, outside) = (Node::new(), TempDir::new().unwrap());
    fs::create_dir(outside.path().join("sub")).unwrap();
    fs::write(outside.path().join("precious"), "").unwrap();
    node.set_up(&part("x")).await.unwrap();
    let volume = node.path("volumes/kubernetes.io~empty-dir/v");
    fs::create_dir(volume.join("real")).unwrap();
    fs::write(volume.join("file"), "").unwrap();
    let links = [
        ("absolute", outside.path().to_owned()),
        ("climbing", "../../../../../..".into()),
        ("chained", "absolute/sub".into()),
        ("proc", "/proc/self/root".into()),
        ("loop", "loop".into()),
        ("dangling", "nothing".into()),
        ("inside", "real".into()),
        ("up-inside", "real/../real".into()),
    ];
    for (name, target) in &links {
        symlink(target, volume.join(name)).unwrap();
    }
    let cases = [
        ("absolute", "prepare"),
        ("absolute/sub", "prepare"),
        ("absolute/new", "prepare"),
        ("climbing", "prepare"),
        ("climbing/new/deep", "prepare"),
        ("chained", "prepare"),
        ("proc/etc", "prepare"),
        ("loop", "prepare"),
        ("file/new", "prepare"),
        ("dangling", "create"),
        ("dangling/new", "create"),
        ("inside", "ok"),
        ("inside/new", "ok"),
        ("up-inside/other", "ok"),
        ("file", "ok"),
    ];
    for (sub_path, expect) in cases {
        let shown = match node.mounts(&part(sub_path)).await {
            Ok(mounts) => {
                assert!(mounts[0].host_path.starts_with(node.path("volume-subpaths")));
                "ok".to_owned()
            }
            Err(error) => error.to_string(),
        };
        let expect = match expect {
            "prepare" => r#"failed to prepare subPath for volumeMount "v" of container "main""#,
            "create" => r#"failed to create subPath directory for volumeMount "v" of container "main""#,
            expect => expect,
        };
        assert_eq!(shown, expect, "{sub_path}");
    }
    assert!(volume.join("real/new").is_dir() && volume.join("real/other").is_dir());
    let mut left: Vec<_> =
        fs::read_dir(outside.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["precious", "sub"]);
    node.volumes.tear_down(UID).await.unwrap();
    assert!(outside.path().join("precious").exists());
}

/// A container that swaps a folder for a link to the host, over and over, never gets the host.
#[tokio::test]
async fn a_race_with_a_link_is_never_won() {
    const ROUNDS: usize = 300;
    if !may_mount() {
        return;
    }
    let (node, outside) = (Node::new(), TempDir::new().unwrap());
    fs::create_dir(outside.path().join("part")).unwrap();
    fs::write(outside.path().join("part/host"), "").unwrap();
    node.set_up(&part("x")).await.unwrap();
    let volume = node.path("volumes/kubernetes.io~empty-dir/v");
    fs::create_dir_all(volume.join("folder/part")).unwrap();
    symlink(outside.path(), volume.join("other")).unwrap();

    let stop = Arc::new(AtomicBool::new(false));
    let (swapping, within) = (Arc::clone(&stop), volume.clone());
    let swapper = base::env::thread("swapper", move || {
        let (one, other) = (within.join("folder"), within.join("other"));
        while !swapping.load(Ordering::Relaxed) {
            renameat_with(CWD, &one, CWD, &other, RenameFlags::EXCHANGE).unwrap();
        }
    })
    .unwrap();
    let is_hosts = |path: &Path| path.join("host").exists();
    let mut won = Vec::new();
    for round in 0..ROUNDS {
        // A part that is there, and one that has to be made.
        for sub_path in ["folder/part".to_owned(), format!("folder/new-{round}/deep")] {
            if let Ok(mounts) = node.mounts(&part(&sub_path)).await {
                won.extend(is_hosts(&mounts[0].host_path).then_some(sub_path));
            }
        }
    }
    stop.store(true, Ordering::Relaxed);
    swapper.join().unwrap();
    assert_eq!(won, [""; 0]);
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1, "something was made outside");
    node.volumes.tear_down(UID).await.unwrap();
    assert!(outside.path().join("part/host").exists());
}
