//! The part of a kubeconfig that a client needs: addresses and embedded certificates.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use base64::Engine;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde::Deserialize;

/// Where to connect and as whom.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// `HOST:PORT`.
    pub address: String,
    /// What the server's certificate must name.
    pub server_name: ServerName<'static>,
    /// The cluster's authority and our client certificate.
    pub tls: Arc<rustls::ClientConfig>,
}

/// A parsed kubeconfig.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Kubeconfig {
    current_context: String,
    clusters: Vec<Named<NamedCluster>>,
    users: Vec<Named<NamedUser>>,
    contexts: Vec<Named<NamedContext>>,
}

#[derive(Clone, Debug, Deserialize)]
struct Named<T> {
    name: String,
    #[serde(flatten)]
    value: T,
}

#[derive(Clone, Debug, Deserialize)]
struct NamedCluster {
    cluster: Cluster,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Cluster {
    server: String,
    certificate_authority_data: String,
    tls_server_name: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct NamedUser {
    user: User,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct User {
    client_certificate_data: String,
    client_key_data: String,
}

#[derive(Clone, Debug, Deserialize)]
struct NamedContext {
    context: Context_,
}

#[derive(Clone, Debug, Deserialize)]
struct Context_ {
    cluster: String,
    user: String,
}

impl Kubeconfig {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// When it is missing or is no kubeconfig with embedded certificates.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        serde_yaml_ng::from_str(&text).with_context(|| format!("parse {}", path.display()))
    }

    /// The names of all contexts.
    pub fn contexts(&self) -> impl Iterator<Item = &str> {
        self.contexts.iter().map(|context| context.name.as_str())
    }

    /// Where the current context points: one address that any live master answers.
    ///
    /// # Errors
    /// As [`Kubeconfig::endpoint`].
    pub fn current(&self) -> Result<Endpoint> {
        self.endpoint(&self.current_context)
    }

    /// The same for somebody else: whoever this certificate and key, both PEM, prove, or nobody.
    ///
    /// # Errors
    /// As [`Kubeconfig::endpoint`].
    pub fn current_as(&self, identity: Option<(&str, &str)>) -> Result<Endpoint> {
        let bytes = identity.map(|(chain, key)| (chain.as_bytes(), key.as_bytes()));
        self.reach(&find(&self.contexts, "context", &self.current_context)?.context, bytes)
    }

    /// Where context `name` points.
    ///
    /// # Errors
    /// When it does not exist or its certificates do not parse.
    pub fn endpoint(&self, name: &str) -> Result<Endpoint> {
        let context = &find(&self.contexts, "context", name)?.context;
        let user = &find(&self.users, "user", &context.user)?.user;
        let (chain, key) = (decode(&user.client_certificate_data)?, decode(&user.client_key_data)?);
        self.reach(context, Some((&chain, &key)))
    }

    /// Another server that has a certificate of the cluster's, at `HOST:PORT`, as [`Kubeconfig::current_as`].
    ///
    /// # Errors
    /// As [`Kubeconfig::endpoint`].
    pub fn at(&self, address: &str, identity: Option<(&str, &str)>) -> Result<Endpoint> {
        let mut endpoint = self.current_as(identity)?;
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host).to_owned();
        endpoint.server_name = ServerName::try_from(host).context("neither a host name nor an address")?;
        endpoint.address = address.to_owned();
        Ok(endpoint)
    }

    fn reach(&self, context: &Context_, identity: Option<(&[u8], &[u8])>) -> Result<Endpoint> {
        let cluster = &find(&self.clusters, "cluster", &context.cluster)?.cluster;
        let address = cluster.server.trim_start_matches("https://").trim_end_matches('/').to_owned();
        let host = address.rsplit_once(':').map_or(address.as_str(), |(host, _)| host).to_owned();
        let server_name = ServerName::try_from(cluster.tls_server_name.clone().unwrap_or(host))
            .context("the server's name is neither a host name nor an address")?;
        Ok(Endpoint { address, server_name, tls: Arc::new(tls(cluster, identity)?) })
    }
}

fn find<'a, T>(list: &'a [Named<T>], what: &str, name: &str) -> Result<&'a T> {
    let found = list.iter().find(|item| item.name == name);
    found.map(|item| &item.value).with_context(|| format!("the kubeconfig has no {what} {name}"))
}

fn tls(cluster: &Cluster, identity: Option<(&[u8], &[u8])>) -> Result<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&decode(&cluster.certificate_authority_data)?) {
        roots.add(certificate?).context("the cluster's authority")?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let mut config = match identity {
        Some((chain, key)) => {
            let chain = CertificateDer::pem_slice_iter(chain).collect::<Result<_, _>>()?;
            builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key)?)?
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn decode(data: &str) -> Result<Vec<u8>> {
    base64::engine::general_purpose::STANDARD.decode(data).context("embedded data is no base64")
}
