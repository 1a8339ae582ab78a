//! Volumes on a real disk: made, found again, changed, removed.

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;

use common::{Node, UID, may_mount, pod};
use expect_test::expect;
use k8s_openapi::api::core::v1::Pod;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use serde_json::{Value, json};
use tempfile::TempDir;

fn config_pod() -> Pod {
    let volumes = json!([{"name": "files", "configMap": {"name": "config"}}]);
    pod(volumes, json!([{"name": "files", "mountPath": "/etc/app"}]), json!({}))
}

/// A pod with one volume that is mounted at `/v`.
fn pod_with(volume: Value, security: Value) -> Pod {
    let mut volume = volume;
    volume["name"] = json!("v");
    pod(json!([volume]), json!([{"name": "v", "mountPath": "/v"}]), security)
}

#[tokio::test]
async fn files_follow_their_object_and_survive_a_restart_and_its_loss() {
    let mut node = Node::new();
    let pod = config_pod();
    let folder = node.path("volumes/kubernetes.io~configmap/files");
    let mounts = node.set_up(&pod).await.unwrap();
    assert_eq!(mounts.volumes["files"].path, folder);
    assert!(mounts.volumes["files"].is_read_only);
    assert_eq!(mounts.renew_at_ms, None);
    assert_eq!(fs::read_to_string(folder.join("a")).unwrap(), "one");

    let written = fs::metadata(folder.join("a")).unwrap().ino();
    node.restart();
    node.set_up(&pod).await.unwrap();
    node.update(&pod).await.unwrap();
    assert_eq!(fs::metadata(folder.join("a")).unwrap().ino(), written);

    node.set_config_map(json!({"a": "two", "c": "two"}));
    node.update(&pod).await.unwrap();
    assert_eq!(fs::read_to_string(folder.join("..data/a")).unwrap(), "two");
    assert_eq!(fs::read_to_string(folder.join("c")).unwrap(), "two");
    assert!(fs::symlink_metadata(folder.join("b")).is_err());

    node.objects.config_maps.clear();
    let errors = node.update(&pod).await.unwrap_err();
    expect![[r#"MountVolume.SetUp failed for volume "files" : configmap "config" not found"#]]
        .assert_eq(&errors[0].to_string());
    assert_eq!(fs::read_to_string(folder.join("a")).unwrap(), "two");

    assert_eq!(node.volumes.uids().await.unwrap(), [UID]);
    fs::write(node.path("etc-hosts"), "").unwrap();
    node.volumes.tear_down(UID).await.unwrap();
    assert_eq!(node.volumes.uids().await.unwrap(), [""; 0]);
    node.volumes.tear_down(UID).await.unwrap();
}

#[tokio::test]
async fn one_volume_that_fails_does_not_keep_the_others() {
    let node = Node::new();
    let volumes = json!([
        {"name": "gone", "secret": {"secretName": "gone"}},
        {"name": "files", "configMap": {"name": "config"}},
        {"name": "claim", "persistentVolumeClaim": {"claimName": "c"}},
    ]);
    let mounts =
        json!(["gone", "files", "claim"].map(|name| json!({"name": name, "mountPath": format!("/{name}")})));
    let errors = node.set_up(&pod(volumes, mounts, json!({}))).await.unwrap_err();
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    expect![[r#"
        MountVolume.SetUp failed for volume "gone" : secret "gone" not found
        MountVolume.SetUp failed for volume "claim" : volumes of type persistentVolumeClaim are not supported by this node"#]]
    .assert_eq(&texts.join("\n"));
    assert!(node.path("volumes/kubernetes.io~configmap/files/a").exists());
}

#[tokio::test]
async fn a_folder_belongs_to_the_containers_once_it_is_complete() {
    let mut node = Node::new();
    let folder = node.path("volumes/kubernetes.io~empty-dir/v");
    let group = fs::metadata(node.folder.path()).unwrap().gid();
    let mode = || fs::metadata(&folder).unwrap().permissions().mode() & 0o7777;

    // As an agent leaves it that dies right after the first step.
    fs::create_dir_all(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o750)).unwrap();
    node.set_up(&pod_with(json!({"emptyDir": {}}), json!({}))).await.unwrap();
    assert_eq!(mode(), 0o777);
    node.volumes.tear_down(UID).await.unwrap();

    let pod = pod_with(json!({"emptyDir": {}}), json!({"fsGroup": group}));
    node.set_up(&pod).await.unwrap();
    assert_eq!(mode(), 0o2777);
    fs::write(folder.join("data"), "mine").unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    node.restart();
    node.set_up(&pod).await.unwrap();
    node.update(&pod).await.unwrap();
    assert_eq!((fs::read_to_string(folder.join("data")).unwrap().as_str(), mode()), ("mine", 0o700));
}

#[tokio::test]
async fn places_for_other_mounts_are_there_before_anything_is_mounted() {
    let node = Node::new();
    let volumes = json!([{"name": "files", "configMap": {"name": "config"}}, {"name": "v", "emptyDir": {}}]);
    let mounts =
        json!([{"name": "files", "mountPath": "/etc/app"}, {"name": "v", "mountPath": "/etc/app/cache/x"}]);
    node.set_up(&pod(volumes, mounts, json!({}))).await.unwrap();
    let folder = node.path("volumes/kubernetes.io~configmap/files");
    assert!(folder.join("cache/x").is_dir() && folder.join("a").exists());
}

#[tokio::test]
async fn what_stands_on_the_node_is_what_the_pod_says() {
    let (node, folder) = (Node::new(), TempDir::new().unwrap());
    fs::write(folder.path().join("file"), "").unwrap();
    let _socket = UnixListener::bind(folder.path().join("socket")).unwrap();
    let cases = [
        ("file", "", "ok"),
        ("file", "File", "ok"),
        ("file", "FileOrCreate", "ok"),
        ("new-file", "FileOrCreate", "ok"),
        ("new/folder", "DirectoryOrCreate", "ok"),
        ("new", "Directory", "ok"),
        ("anything", "", "ok"),
        ("anything", "DirectoryOrCreate", "ok"),
        ("socket", "Socket", "ok"),
        ("/dev/null", "CharDevice", "ok"),
        ("file", "Directory", "hostPath type check failed: DIR/file is not a directory, it's a File"),
        ("file", "DirectoryOrCreate", "hostPath type check failed: DIR/file is not a directory, it's a File"),
        ("new", "FileOrCreate", "hostPath type check failed: DIR/new is not a file, it's a Directory"),
        ("new", "Socket", "hostPath type check failed: DIR/new is not a socket file, it's a Directory"),
        (
            "socket",
            "CharDevice",
            "hostPath type check failed: DIR/socket is not a character device, it's a Socket",
        ),
        (
            "/dev/null",
            "BlockDevice",
            "hostPath type check failed: /dev/null is not a block device, it's a CharDevice",
        ),
        (
            "gone",
            "Directory",
            "hostPath type check failed, DIR/gone is not a directory, unable to determine its type: path \"DIR/gone\" does not exist",
        ),
        ("file", "Odd", "Odd is an invalid volume type"),
    ];
    for (name, kind, expect) in cases {
        let path = folder.path().join(name);
        let pod = pod_with(json!({"hostPath": {"path": path, "type": kind}}), json!({}));
        let shown = match node.set_up(&pod).await {
            Ok(mounts) => {
                assert_eq!((&mounts.volumes["v"].path, mounts.volumes["v"].is_read_only), (&path, false));
                assert!(path.exists());
                "ok".to_owned()
            }
            Err(errors) => errors[0].error.to_string().replace(&folder.path().display().to_string(), "DIR"),
        };
        assert_eq!(shown, expect, "{name} {kind}");
    }
    assert!(folder.path().join("new-file").is_file() && folder.path().join("anything").is_dir());
    node.volumes.tear_down(UID).await.unwrap();
    assert!(folder.path().join("file").exists());
}

#[tokio::test]
async fn memory_is_mounted_once_and_again_after_a_reboot() {
    if !may_mount() {
        return;
    }
    let mut node = Node::new();
    let pod = pod_with(json!({"emptyDir": {"medium": "Memory", "sizeLimit": "64Ki"}}), json!({}));
    let folder = node.path("volumes/kubernetes.io~empty-dir/v");
    node.set_up(&pod).await.unwrap();
    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o777);
    fs::write(folder.join("small"), vec![0; 4096]).unwrap();
    assert!(fs::write(folder.join("large"), vec![0; 1 << 20]).is_err());
    node.restart();
    node.set_up(&pod).await.unwrap();
    assert!(folder.join("small").exists());
    assert_eq!(node.mounted().len(), 1);

    unmount(&folder, UnmountFlags::empty()).unwrap();
    node.set_up(&pod).await.unwrap();
    assert_eq!((node.mounted().len(), folder.join("small").exists()), (1, false));
    node.volumes.tear_down(UID).await.unwrap();
    assert_eq!(node.mounted(), [""; 0]);
}

#[tokio::test]
async fn a_secret_is_the_groups_to_read_and_nobody_elses() {
    if !may_mount() {
        return;
    }
    let node = Node::new();
    let volume = json!({"secret": {"secretName": "secret", "defaultMode": 0o440}});
    node.set_up(&pod_with(volume, json!({"fsGroup": 1001}))).await.unwrap();
    let folder = node.path("volumes/kubernetes.io~secret/v");
    let meta = fs::metadata(folder.join("password")).unwrap();
    assert_eq!((meta.gid(), meta.uid(), meta.permissions().mode() & 0o7777), (1001, 0, 0o440));
    let meta = fs::metadata(&folder).unwrap();
    assert_eq!((meta.gid(), meta.permissions().mode() & 0o2000), (1001, 0o2000));
    assert_eq!(node.mounted(), [folder.display().to_string()]);
    node.volumes.tear_down(UID).await.unwrap();
}

#[tokio::test]
async fn a_token_is_renewed_in_its_file() {
    if !may_mount() {
        return;
    }
    let mut node = Node::new();
    let volume = json!({"projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}});
    let pod = pod_with(volume, json!({"runAsUser": 1000}));
    let file = node.path("volumes/kubernetes.io~projected/v/token");
    let mounts = node.set_up(&pod).await.unwrap();
    assert!(mounts.renew_at_ms.is_some_and(|at_ms| at_ms > base::env::wall_ms()));
    let meta = fs::metadata(&file).unwrap();
    assert_eq!((meta.uid(), meta.permissions().mode() & 0o7777), (1000, 0o600));
    node.update(&pod).await.unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), "token 1");

    // A token that is over at once: each look brings the next.
    node.restart();
    *node.masters.lifetime_seconds.lock() = 0;
    node.set_up(&pod).await.unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), "token 2");
    node.update(&pod).await.unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), "token 3");
    node.volumes.tear_down(UID).await.unwrap();
}

#[tokio::test]
async fn everything_is_unmounted_before_anything_is_removed() {
    if !may_mount() {
        return;
    }
    let (node, outside) = (Node::new(), TempDir::new().unwrap());
    fs::write(outside.path().join("precious"), "").unwrap();
    let pod = pod_with(json!({"emptyDir": {"medium": "Memory"}}), json!({}));
    let mounts =
        json!([{"name": "v", "mountPath": "/v"}, {"name": "v", "mountPath": "/part", "subPath": "part"}]);
    let mut pod = pod;
    pod.spec.as_mut().unwrap().containers[0].volume_mounts = serde_json::from_value(mounts).unwrap();
    node.mounts(&pod).await.unwrap();
    let folder = node.path("volumes/kubernetes.io~empty-dir/v");
    // What a container with mounts of its own may leave, one in the other, with a blank in the name.
    let inner = folder.join("in ner");
    fs::create_dir_all(inner.join("deep")).unwrap();
    rustix::mount::mount_bind(outside.path(), &inner).unwrap();
    fs::create_dir(inner.join("deep")).unwrap();
    mount("tmpfs", inner.join("deep"), "tmpfs", MountFlags::empty(), None).unwrap();
    symlink(outside.path(), folder.join("link")).unwrap();
    assert_eq!(node.mounted().len(), 4);

    // Somebody still uses it: nothing is removed, and it can be done again.
    let busy = fs::File::create(folder.join("busy")).unwrap();
    let error = node.volumes.tear_down(UID).await.unwrap_err().to_string();
    let expect = format!("unmount {}: Device or resource busy (os error 16)", folder.display());
    assert_eq!(error, expect);
    assert!(folder.join("busy").exists() && outside.path().join("precious").exists());
    drop(busy);
    node.volumes.tear_down(UID).await.unwrap();
    assert_eq!(node.mounted(), [""; 0]);
    assert!(!node.path("").exists());
    assert!(outside.path().join("precious").exists() && outside.path().join("deep").is_dir());
}

#[tokio::test]
async fn a_uid_that_is_a_path_is_refused() {
    let node = Node::new();
    for uid in ["", ".", "..", "../x", "a/b"] {
        let error = node.volumes.tear_down(uid).await.unwrap_err().to_string();
        assert_eq!(error, format!("{uid:?} is no file name"));
    }
    assert!(node.folder.path().join("pods").exists());
}
