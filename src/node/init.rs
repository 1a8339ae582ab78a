//! The first master of a new cluster.
//!
//! # Guarantees
//! The identity is written last: a crash before it leaves a directory that still counts as new, one
//! after it a directory that goes on from where it was.

use anyhow::Context;
use apiserver::bootstrap::Settings;
use base::env;
use base::ids::ClusterId;

use crate::cluster::records::{FIRST_NODE, MemberRecord};
use crate::cluster::{Cluster, ClusterError};
use crate::data_dir::DataDir;
use crate::identity::{IDENTITY_FORMAT, Identity, NewMaster, Stage};
use crate::kubeconfig::{self, Context as KubeContext};
use crate::pki::{ADMIN_GROUP, ADMIN_USER, Authority};
use crate::token::Token;
use crate::up::cluster_file::MASTERS_MAX;
use base::files;

/// The attempt that the first member's record names: nobody asked for its id.
const FIRST_ATTEMPT: &str = "init";
/// How many masters the first token lets in: all that a cluster on one machine may begin with.
const FIRST_TOKEN_USES: u32 = MASTERS_MAX as u32 - 1;

/// Makes the authority, the first token, a kubeconfig and the identity.
pub fn prepare(
    data: &DataDir,
    master: NewMaster,
    cluster: Option<ClusterId>,
    settings: Settings,
) -> anyhow::Result<Identity> {
    let cluster = cluster.unwrap_or_else(ClusterId::random);
    let authority = Authority::generate(cluster)?;
    let admin = authority.client(ADMIN_USER, ADMIN_GROUP)?;
    let contexts = [KubeContext { name: master.name.clone(), server: master.api.url() }];
    let kubeconfig = kubeconfig::render(&contexts, authority.certificate_pem(), &admin);
    let identity = Identity {
        format: IDENTITY_FORMAT,
        cluster: cluster.to_string(),
        node: FIRST_NODE,
        name: master.name,
        api: master.api,
        peer: master.peer,
        names: master.names,
        stage: Stage::Init,
        settings,
        started: false,
    };
    data.save_authority(&authority)?;
    files::write(&data.token(), format!("{}\n", Token::random(authority.hash())).as_bytes())?;
    files::write(&data.kubeconfig(), kubeconfig.as_bytes())?;
    data.save_identity(&identity)?;
    tracing::info!(%cluster, "made a cluster");
    Ok(identity)
}

/// Writes the first records into a log that may hold them already: this member, and the token that
/// lets others join. To be done before anybody can ask to join.
pub async fn record(cluster: &Cluster, data: &DataDir, identity: &Identity) -> anyhow::Result<()> {
    let member = MemberRecord {
        node: Some(identity.node),
        attempt: FIRST_ATTEMPT.to_owned(),
        api: identity.api.clone(),
        peer: identity.peer.clone(),
        token: None,
    };
    let text = files::read(&data.token())?.context("the token file is gone")?;
    let token: Token = text.parse()?;
    let recorded = async {
        cluster.record_first(&identity.name, &member).await?;
        cluster.record_token(&token, &token.record(env::wall_ms(), FIRST_TOKEN_USES)).await
    };
    recorded
        .await
        .map_err(|error: ClusterError| anyhow::Error::new(error).context("writing the first records"))
}
