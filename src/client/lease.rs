//! A lease that says: whoever holds it lives.

use base::env;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use crate::error::Error;
use crate::{Client, Patch, Repeat};

/// A lease of `coordination.k8s.io/v1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Its namespace; those of nodes are in `kube-node-lease`.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Who holds it.
    pub holder: String,
    /// After so long without renewal it means nothing any more.
    pub duration_seconds: i32,
    /// `apiVersion`, `kind`, `name`, `uid` of what it goes with.
    pub owner: Option<[String; 4]>,
}

impl Lease {
    fn spec(&self) -> Value {
        let now = Timestamp::from_millisecond(env::wall_ms() as i64).unwrap_or_default();
        json!({
            "holderIdentity": self.holder,
            "leaseDurationSeconds": self.duration_seconds,
            "renewTime": format!("{now:.6}"),
        })
    }

    fn object(&self) -> Value {
        let mut metadata = json!({"name": self.name, "namespace": self.namespace});
        if let Some([version, kind, name, uid]) = &self.owner {
            metadata["ownerReferences"] =
                json!([{"apiVersion": version, "kind": kind, "name": name, "uid": uid}]);
        }
        json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": self.spec(),
        })
    }
}

impl Client {
    /// Renews a lease, or creates it. May be done twice.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn renew(&self, lease: &Lease) -> Result<(), Error> {
        let collection = format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", lease.namespace);
        let path = format!("{collection}/{}", lease.name);
        let patch = json!({"spec": lease.spec()}).to_string();
        match self.patch(&path, Patch::Merge, patch.clone(), Repeat::Unknown).await {
            Err(error) if error.is_not_found() => {}
            renewed => return renewed.map(drop),
        }
        match self.create(&collection, lease.object().to_string()).await {
            // Made meanwhile, perhaps by the first half of this very request.
            Err(error) if error.is_conflict() => {
                self.patch(&path, Patch::Merge, patch, Repeat::Unknown).await.map(drop)
            }
            created => created.map(drop),
        }
    }
}
