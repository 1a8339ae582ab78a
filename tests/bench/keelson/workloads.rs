//! Pods and Deployments as people write them, and clients that write them in each way.

use std::sync::LazyLock;

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

    /// An object of [`scale::VALUE_BYTES`] of JSON, whose annotation `at` tells one write from another. Put together
    /// from pieces, so that the load leaves the CPU to the masters.
    pub fn body(self, name: &str, at: u64) -> Bytes {
        static POD: LazyLock<[String; 4]> = LazyLock::new(|| pieces(&pod()));
        static DEPLOYMENT: LazyLock<[String; 4]> = LazyLock::new(|| pieces(&deployment()));
        let [head, to_at, to_pad, tail] = match self {
            Self::Pod => &*POD,
            Self::Deployment => &*DEPLOYMENT,
        };
        let at = at.to_string();
        let mut body = String::with_capacity(scale::VALUE_BYTES);
        for piece in [head, name, to_at, &at, to_pad] {
            body.push_str(piece);
        }
        let padding = scale::VALUE_BYTES.saturating_sub(body.len() + tail.len());
        body.extend(std::iter::repeat_n('x', padding));
        body.push_str(tail);
        body.into()
    }
}

/// Stands in an object for what differs between two bodies.
const GAP: &str = "#";

/// The JSON of an object before, between and behind its three gaps.
fn pieces(object: &Value) -> [String; 4] {
    let text = object.to_string();
    let pieces: Vec<_> = text.split(GAP).map(str::to_owned).collect();
    pieces.try_into().expect("name, `at` and padding are the gaps of every object")
}

fn metadata() -> Value {
    let annotations = json!({"example.com/at": GAP, "example.com/pad": GAP});
    json!({"name": GAP, "labels": labels(), "annotations": annotations})
}

fn pod() -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata(), "spec": pod_spec()})
}

fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata(),
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": labels()},
            "template": {"metadata": {"labels": labels()}, "spec": pod_spec()},
        },
    })
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
    fn bodies_have_their_size_and_say_what_they_shall() {
        for kind in [Kind::Pod, Kind::Deployment] {
            let body = kind.body("pods-0001-00000001", 12345);
            assert_eq!(body.len(), scale::VALUE_BYTES);
            let object: Value = serde_json::from_slice(&body).expect("JSON");
            assert_eq!(object["metadata"]["name"], "pods-0001-00000001");
            assert_eq!(object["metadata"]["annotations"]["example.com/at"], "12345");
        }
    }
}
