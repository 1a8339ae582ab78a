//! A node whose pods have volumes in a folder of the test's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use base::env;
use inputs::{
    ContainerMount, Error, Mounts, NodeFacts, Objects, PodContext, Token, TokenRequest, TokenSource,
    VolumeError, Volumes, environment,
};
use k8s_openapi::api::core::v1::Pod;
use parking_lot::Mutex;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The uid of every pod here: there is one for each node.
pub const UID: &str = "u-1";

/// Issues a token that says the how manieth it is, and is good for so long.
pub struct Masters {
    pub issued: Mutex<u64>,
    pub lifetime_seconds: Mutex<u64>,
}

#[async_trait]
impl TokenSource for Masters {
    async fn request(&self, _: &TokenRequest) -> Result<Token, String> {
        let mut issued = self.issued.lock();
        *issued += 1;
        let lifetime_seconds = *self.lifetime_seconds.lock();
        let expires_ms = env::wall_ms() + lifetime_seconds * 1000;
        Ok(Token { token: format!("token {issued}"), expires_ms, lifetime_seconds })
    }
}

pub struct Node {
    pub folder: TempDir,
    pub volumes: Volumes,
    pub masters: Arc<Masters>,
    pub objects: Objects,
}

pub fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("an object as the API has it")
}

impl Node {
    pub fn new() -> Self {
        let folder = TempDir::new().expect("a folder of the test's own");
        let masters = Arc::new(Masters { issued: Mutex::new(0), lifetime_seconds: Mutex::new(3600) });
        let volumes = Volumes::open(folder.path(), masters.clone()).expect("an empty folder");
        let mut node = Self { folder, volumes, masters, objects: Objects::default() };
        node.set_config_map(json!({"a": "one", "b": "one"}));
        let secret = json!({"data": {"password": "cGFzcw=="}});
        node.objects.secrets = [("secret".to_owned(), read(secret))].into();
        node
    }

    /// The agent starts anew, and knows nothing but what stands on the disk.
    pub fn restart(&mut self) {
        self.volumes = Volumes::open(self.folder.path(), self.masters.clone()).expect("what stands there");
    }

    pub fn set_config_map(&mut self, data: Value) {
        self.objects.config_maps = [("config".to_owned(), read(json!({"data": data})))].into();
    }

    pub async fn set_up(&self, pod: &Pod) -> Result<Mounts, Vec<VolumeError>> {
        self.volumes.set_up(&self.context(pod, &NodeFacts::default())).await
    }

    pub async fn update(&self, pod: &Pod) -> Result<Mounts, Vec<VolumeError>> {
        self.volumes.update(&self.context(pod, &NodeFacts::default())).await
    }

    /// The mounts of the first container, after the volumes are set up.
    pub async fn mounts(&self, pod: &Pod) -> Result<Vec<ContainerMount>, Error> {
        let mounts = self.set_up(pod).await.expect("volumes that can be set up");
        let container = &pod.spec.as_ref().expect("a spec").containers[0];
        let environment = environment(&self.context(pod, &NodeFacts::default()), container)?;
        mounts.of_container(container, &environment).await
    }

    fn context<'a>(&'a self, pod: &'a Pod, node: &'a NodeFacts) -> PodContext<'a> {
        PodContext { pod, pod_ips: &[], objects: &self.objects, node, services: &[] }
    }

    /// A path in the pod's folder.
    pub fn path(&self, path: &str) -> PathBuf {
        self.folder.path().canonicalize().expect("a folder").join("pods").join(UID).join(path)
    }

    /// What is mounted in the node's folder.
    pub fn mounted(&self) -> Vec<String> {
        let folder = self.folder.path().canonicalize().expect("a folder");
        let list = fs::read_to_string("/proc/self/mountinfo").expect("the kernel's list");
        let points = list.lines().filter_map(|line| line.split(' ').nth(4));
        points.filter(|point| Path::new(point).starts_with(&folder)).map(str::to_owned).collect()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // What a test that failed left mounted.
        for point in self.mounted().into_iter().rev() {
            let _ = unmount(point, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW);
        }
    }
}

/// A pod with one container that has these volumes and mounts.
pub fn pod(volumes: Value, mounts: Value, security: Value) -> Pod {
    read(json!({
        "metadata": {"name": "p", "namespace": "ns", "uid": UID},
        "spec": {
            "serviceAccountName": "robot",
            "securityContext": security,
            "containers": [{
                "name": "main",
                "env": [{"name": "NAME", "value": "web"}, {"name": "EMPTY"}],
                "volumeMounts": mounts,
            }],
            "volumes": volumes,
        },
    }))
}

/// Whether this process may mount; says so where it may not.
pub fn may_mount() -> bool {
    let folder = TempDir::new().expect("a folder of the test's own");
    let mounted = mount("tmpfs", folder.path(), "tmpfs", MountFlags::empty(), None);
    match mounted {
        Ok(()) => {
            unmount(folder.path(), UnmountFlags::empty()).expect("what was mounted");
            true
        }
        Err(why) => {
            eprintln!("skipped: this process may not mount: {why}");
            false
        }
    }
}
