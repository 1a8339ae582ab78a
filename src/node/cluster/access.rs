//! The kubeconfig in a master's data directory: as long as one master lives, all are found from there.

use std::convert::Infallible;
use std::time::Duration;

use base::env;

use super::Cluster;
use crate::data_dir::DataDir;
use crate::kubeconfig::{self, Context};
use crate::pki::{ADMIN_GROUP, ADMIN_USER};
use base::files;

/// How often a master looks whether the members are still those that its kubeconfig names.
const ACCESS_INTERVAL: Duration = Duration::from_secs(1);

impl Cluster {
    /// Keeps the kubeconfig of this data directory up to date: a context for each member, this master's the
    /// current one. What cannot be written now is tried again.
    pub async fn keep_kubeconfig(&self, data: &DataDir) -> Infallible {
        let mut written = Vec::new();
        loop {
            let contexts = self.contexts();
            if contexts != written {
                match self.write_kubeconfig(data, &contexts).await {
                    Ok(()) => written = contexts,
                    Err(error) => tracing::warn!("the kubeconfig is not up to date: {error:#}"),
                }
            }
            env::sleep(ACCESS_INTERVAL).await;
        }
    }

    /// This master first, then the others by id.
    fn contexts(&self) -> Vec<Context> {
        let membership = self.replica.raft().membership();
        let mut members: Vec<_> = membership.members.iter().collect();
        members.sort_by_key(|(node, _)| **node != self.node);
        let context = |name: &str, server: &str| Context { name: name.to_owned(), server: server.to_owned() };
        members.into_iter().map(|(_, member)| context(&member.name, &member.api)).collect()
    }

    async fn write_kubeconfig(&self, data: &DataDir, contexts: &[Context]) -> anyhow::Result<()> {
        let admin = self.authority.client(ADMIN_USER, ADMIN_GROUP)?;
        let text = kubeconfig::render(contexts, self.authority.certificate_pem(), &admin);
        let path = data.kubeconfig();
        Ok(env::blocking(move || files::write(&path, text.as_bytes())).await?)
    }
}
