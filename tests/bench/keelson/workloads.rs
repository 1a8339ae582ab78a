//! Pods and Deployments as people write them, and clients that write them in each way.

use anyhow::Result;
use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use super::http::{Connection, Media};
use crate::load::Target;
use crate::scale;

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `v1 Pod`.
    Pod,
    /// `apps/v1 Deployment`.
    Deployment,
}

impl Kind {
    /// Where objects of a namespace are.
    pub fn collection(self, namespace: &str) -> String {
        match self {
            Self::Pod => format!("/api/v1/namespaces/{namespace}/pods"),
            Self::Deployment => format!("/apis/apps/v1/namespaces/{namespace}/deployments"),
        }
    }

    /// An object of [`scale::VALUE_BYTES`] of JSON, whose annotation `at` tells one write from another.
    pub fn body(self, name: &str, at: u64) -> Bytes {
        let object = |pad: &str| {
            let annotations = json!({"example.com/at": at.to_string(), "example.com/pad": pad});
            match self {
                Self::Pod => json!({
                    "apiVersion": "v1", "kind": "Pod",
                    "metadata": {"name": name, "labels": labels(), "annotations": annotations},
                    "spec": pod_spec(),
                }),
                Self::Deployment => json!({
                    "apiVersion": "apps/v1", "kind": "Deployment",
                    "metadata": {"name": name, "labels": labels(), "annotations": annotations},
                    "spec": {
                        "replicas": 3,
                        "selector": {"matchLabels": labels()},
                        "template": {"metadata": {"labels": labels()}, "spec": pod_spec()},
                    },
                }),
            }
            .to_string()
        };
        let bare = object("").len();
        object(&"x".repeat(scale::VALUE_BYTES.saturating_sub(bare))).into()
    }
}

fn labels() -> Value {
    json!({"app": "web", "tier": "front", "pod-template-hash": "5d8f7c9b4"})
}

/// Two containers with what most have.
fn pod_spec() -> Value {
    let container = |name: &str, port: u16| {
        json!({
            "name": name, "image": format!("registry.example.com/{name}:1.2.3"),
            "args": ["--listen", format!(":{port}")],
            "env": [
                {"name": "MODE", "value": "production"},
                {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "web", "key": "password"}}},
            ],
            "ports": [{"name": name, "containerPort": port}],
            "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
            "readinessProbe": {"httpGet": {"path": "/ready", "port": port}, "periodSeconds": 5},
            "volumeMounts": [{"name": "config", "mountPath": "/etc/web", "readOnly": true}],
            "securityContext": {"allowPrivilegeEscalation": false, "runAsNonRoot": true},
        })
    };
    json!({
        "serviceAccountName": "web",
        "containers": [container("server", 8080), container("proxy", 9090)],
        "volumes": [{"name": "config", "configMap": {"name": "web"}}],
        "tolerations": [{"key": "dedicated", "operator": "Equal", "value": "web", "effect": "NoSchedule"}],
    })
}

/// How clients write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A new object each time.
    Create,
    /// GET of an object.
    Read,
    /// PUT of the whole object.
    Update,
    /// A strategic merge patch of one annotation.
    Patch,
    /// A server-side apply of the whole object.
    Apply,
}

/// Clients that write objects in one way, spread evenly over connections. Those that do not create have an object
/// each, made by [`Writers::prepare`].
pub struct Writers {
    connections: Vec<Connection>,
    collection: String,
    kind: Kind,
    way: Way,
    prefix: String,
}

impl Writers {
    /// They write objects of `kind` in `namespace`, whose names begin with `prefix`.
    pub fn new(connections: Vec<Connection>, namespace: &str, kind: Kind, way: Way, prefix: &str) -> Self {
        Self { connections, collection: kind.collection(namespace), kind, way, prefix: prefix.to_owned() }
    }

    /// Makes an object for each of `clients`.
    pub async fn prepare(&self, clients: usize) -> Result<()> {
        for client in 0..clients {
            let name = self.own(client);
            let body = self.kind.body(&name, 0);
            self.connections[0].accepted(Method::POST, &self.collection, body).await?;
        }
        Ok(())
    }

    fn own(&self, client: usize) -> String {
        format!("{}-{client:04}", self.prefix)
    }
}

impl Target for Writers {
    async fn call(&self, client: usize, sequence: u64) -> Result<()> {
        let connection = &self.connections[client % self.connections.len()];
        let own = self.own(client);
        let path = format!("{}/{own}", self.collection);
        let at = sequence + 1;
        let (media, method, path, body) = match self.way {
            Way::Create => {
                let body = self.kind.body(&format!("{own}-{sequence:08}"), at);
                (Media::JSON, Method::POST, self.collection.clone(), body)
            }
            Way::Read => {
                (Media::JSON, Method::GET, format!("{}/{}", self.collection, self.own(0)), Bytes::new())
            }
            Way::Update => (Media::JSON, Method::PUT, path, self.kind.body(&own, at)),
            Way::Patch => {
                let patch = json!({"metadata": {"annotations": {"example.com/at": at.to_string()}}});
                let media = Media { content: "application/strategic-merge-patch+json", ..Media::JSON };
                (media, Method::PATCH, path, patch.to_string().into())
            }
            Way::Apply => {
                let media = Media { content: "application/apply-patch+yaml", ..Media::JSON };
                let path = format!("{path}?fieldManager=bench&force=true");
                (media, Method::PATCH, path, self.kind.body(&own, at))
            }
        };
        connection.accepted_as(media, method, &path, body).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_have_their_size() {
        let size = |kind: Kind| kind.body("pods-0001-00000001", 12345).len();
        assert_eq!(size(Kind::Pod), scale::VALUE_BYTES);
        assert_eq!(size(Kind::Deployment), scale::VALUE_BYTES);
    }
}
