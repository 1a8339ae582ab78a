//! Certificates of an agent: the client's, by which the masters know it, and the server's, by which they know whom they
//! reach. Both are asked for with requests that the masters approve by themselves.
//!
//! # Flow
//! Without a client certificate a bootstrap token asks for one; later ones are asked for with the one before, when
//! [`RENEW_AT_PERCENT`] of its life are over. A certificate and its key stand in one file, replaced by a rename.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use base::env;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use client::{Client, Identity};
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use serde_json::json;

use base::files;

const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";

/// Of which part of its life a certificate is used before another is asked for, in percent.
const RENEW_AT_PERCENT: u64 = 70;

/// How long one request may take to be signed.
const SIGNED_TIMEOUT: Duration = Duration::from_secs(60);

/// How often that is looked at.
const GLANCE: Duration = Duration::from_millis(50);

/// The longest pause between two looks at whether a certificate is due.
const LOOK_MAX: Duration = Duration::from_secs(3600);

/// Which certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Shown to the masters.
    Client,
    /// Shown by the agent's own server.
    Serving,
}

impl Purpose {
    fn file(self) -> &'static str {
        match self {
            Self::Client => "client.pem",
            Self::Serving => "serving.pem",
        }
    }

    fn signer(self) -> &'static str {
        match self {
            Self::Client => "kubernetes.io/kube-apiserver-client-kubelet",
            Self::Serving => "kubernetes.io/kubelet-serving",
        }
    }

    fn usages(self) -> [&'static str; 2] {
        ["digital signature", if self == Self::Client { "client auth" } else { "server auth" }]
    }
}

/// The certificates of one node, in a folder.
#[derive(Clone, Debug)]
pub struct Credentials {
    folder: PathBuf,
    node: String,
    /// What the server's certificate names: host names and addresses.
    names: Vec<String>,
}

impl Credentials {
    /// Those below an agent's directory.
    pub fn new(directory: &Path, node: &str, names: Vec<String>) -> Self {
        Self { folder: directory.join("pki"), node: node.to_owned(), names }
    }

    /// The certificate that is there, if it can still be used.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn load(&self, purpose: Purpose) -> anyhow::Result<Option<Identity>> {
        let path = self.folder.join(purpose.file());
        let Some(text) = files::read(&path)? else { return Ok(None) };
        let is_valid = validity(&text).is_some_and(|(_, until_ms)| until_ms > env::wall_ms());
        Ok(is_valid.then(|| Identity { certificate: text.clone(), key: text }))
    }

    /// Asks for a certificate, waits for it and keeps it.
    ///
    /// # Errors
    /// When the masters refuse it or do not sign it in time.
    pub async fn obtain(&self, client: &Client, purpose: Purpose) -> anyhow::Result<Identity> {
        let key = KeyPair::generate().context("making a key")?;
        let request = self.request(purpose, &key)?;
        let created =
            client.create(REQUESTS, request.to_string()).await.context("asking for a certificate")?;
        let created: CertificateSigningRequest =
            serde_json::from_slice(&created).context("reading the answer to a certificate request")?;
        let name = created.metadata.name.context("a request without a name")?;
        let chain = signed(client, &name).await?;
        let text = format!("{chain}{}", key.serialize_pem());
        files::make_directory(&self.folder)?;
        files::write(&self.folder.join(purpose.file()), text.as_bytes())?;
        tracing::info!(?purpose, "got a certificate");
        Ok(Identity { certificate: text.clone(), key: text })
    }

    fn request(&self, purpose: Purpose, key: &KeyPair) -> anyhow::Result<serde_json::Value> {
        let names = if purpose == Purpose::Serving { self.names.clone() } else { Vec::new() };
        let mut params = CertificateParams::new(names).context("naming this node in a certificate")?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "system:nodes");
        params.distinguished_name.push(DnType::CommonName, format!("system:node:{}", self.node));
        let pem = params.serialize_request(key)?.pem()?;
        Ok(json!({
            "apiVersion": "certificates.k8s.io/v1",
            "kind": "CertificateSigningRequest",
            "metadata": {"generateName": "csr-"},
            "spec": {
                "request": STANDARD.encode(pem),
                "signerName": purpose.signer(),
                "usages": purpose.usages(),
            },
        }))
    }

    /// Renews a certificate for as long as the program runs; `replaced` is told of each new one.
    pub async fn keep(&self, client: &Client, purpose: Purpose, replaced: impl Fn(&Identity)) {
        loop {
            let due = match self.load(purpose) {
                Ok(Some(identity)) => due_in(&identity, env::wall_ms()),
                Ok(None) | Err(_) => Duration::ZERO,
            };
            if due > Duration::ZERO {
                env::sleep(due.min(LOOK_MAX)).await;
                continue;
            }
            match self.obtain(client, purpose).await {
                Ok(identity) => replaced(&identity),
                Err(error) => {
                    tracing::warn!(
                        error = format!("{error:#}"),
                        ?purpose,
                        "a certificate was not renewed; tried again"
                    );
                    env::sleep(SIGNED_TIMEOUT).await;
                }
            }
        }
    }
}

/// How long until a certificate is to be renewed.
fn due_in(identity: &Identity, now_ms: u64) -> Duration {
    let Some((from_ms, until_ms)) = validity(&identity.certificate) else { return Duration::ZERO };
    let due_ms = from_ms + until_ms.saturating_sub(from_ms) / 100 * RENEW_AT_PERCENT;
    Duration::from_millis(due_ms.saturating_sub(now_ms))
}

/// From when to when the first certificate of a PEM text is valid, in milliseconds since the epoch.
fn validity(pem: &str) -> Option<(u64, u64)> {
    let (_, block) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).ok()?;
    let certificate = block.parse_x509().ok()?;
    let validity = certificate.validity();
    let millis = |time: x509_parser::time::ASN1Time| u64::try_from(time.timestamp()).ok().map(|s| s * 1000);
    Some((millis(validity.not_before)?, millis(validity.not_after)?))
}

/// Waits until a request is signed; gives the chain, PEM.
async fn signed(client: &Client, name: &str) -> anyhow::Result<String> {
    let deadline = env::monotonic() + SIGNED_TIMEOUT;
    let path = format!("{REQUESTS}/{name}");
    loop {
        let read = client.get(&path).await.context("looking at a certificate request")?;
        let found: CertificateSigningRequest =
            serde_json::from_slice(&read).context("reading a certificate request")?;
        let status = found.status.unwrap_or_default();
        if let Some(certificate) = status.certificate {
            return String::from_utf8(certificate.0).context("reading a certificate");
        }
        let refused = status.conditions.iter().flatten().find(|one| one.type_ != "Approved");
        if let Some(refused) = refused {
            let why = refused.message.as_deref().unwrap_or("no reason was given");
            bail!("the certificate request {name} was refused ({}): {why}", refused.type_);
        }
        if env::monotonic() >= deadline {
            bail!("nobody signed the certificate request {name} within {} s", SIGNED_TIMEOUT.as_secs());
        }
        env::sleep(GLANCE).await;
    }
}

#[cfg(test)]
mod tests {
    use client::fake::{Act, Fake};
    use parking_lot::Mutex;
    use rcgen::{CertificateSigningRequestParams, CertifiedIssuer};

    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn days(from: env::Instant) -> (u64, u64) {
        let seconds = from.elapsed().as_secs();
        (seconds / DAY.as_secs(), seconds % DAY.as_secs())
    }

    /// Signs every request, for ten days.
    async fn sign(fake: Fake) {
        let key = KeyPair::generate().expect("a key");
        let authority =
            CertifiedIssuer::self_signed(CertificateParams::default(), key).expect("an authority");
        let waiting = |fake: &Fake| fake.all(REQUESTS).into_iter().find(|one| one["status"].is_null());
        loop {
            fake.until(|fake| waiting(fake).is_some()).await;
            let mut object = waiting(&fake).expect("just seen");
            let pem = STANDARD.decode(object["spec"]["request"].as_str().expect("a text")).expect("base 64");
            let pem = String::from_utf8(pem).expect("PEM");
            let mut request = CertificateSigningRequestParams::from_pem(&pem).expect("a request");
            request.params.not_before =
                rcgen::date_time_ymd(1970, 1, 1) + Duration::from_millis(env::wall_ms());
            request.params.not_after = request.params.not_before + 10 * DAY;
            let signed = request.signed_by(&authority).expect("a certificate").pem();
            object["status"] = json!({"certificate": STANDARD.encode(signed)});
            let name = object["metadata"]["name"].as_str().expect("a name").to_owned();
            fake.put(&format!("{REQUESTS}/{name}"), object);
        }
    }

    /// A node with its first certificate, at masters that sign.
    async fn joined(fake: &Fake, directory: &Path) -> (Client, Credentials, Identity) {
        env::spawn(sign(fake.clone()));
        let client = fake.client().expect("a client");
        let credentials = Credentials::new(directory, "n", Vec::new());
        let first = credentials.obtain(&client, Purpose::Client).await.expect("it is signed");
        (client, credentials, first)
    }

    #[test]
    fn a_certificate_is_replaced_before_it_ends() {
        let directory = tempfile::tempdir().expect("a directory");
        env::simulate(1, async {
            let began = env::monotonic();
            let fake = Fake::new(1);
            let (client, credentials, first) = joined(&fake, directory.path()).await;
            let kept: Mutex<Vec<(Identity, (u64, u64))>> = Mutex::default();
            let keep = credentials.keep(&client, Purpose::Client, |identity| {
                kept.lock().push((identity.clone(), days(began)));
                // The next time somebody refuses at first.
                let mut refused = false;
                fake.script(move |ask| {
                    match ask.method == "POST" && !std::mem::replace(&mut refused, true) {
                        true => Act::Answer(403),
                        false => Act::Serve,
                    }
                });
            });
            let _ended = env::timeout(15 * DAY, keep).await;
            let kept = kept.into_inner();
            let times: Vec<_> = kept.iter().map(|(_, at)| *at).collect();
            assert_eq!(times, [(7, 0), (14, SIGNED_TIMEOUT.as_secs())]);
            assert!(
                kept[0].0.certificate != first.certificate && kept[1].0.certificate != kept[0].0.certificate
            );
            let stored = credentials.load(Purpose::Client).expect("readable").expect("it is there");
            assert_eq!(stored.certificate, kept[1].0.certificate);
            assert!(credentials.load(Purpose::Serving).expect("readable").is_none(), "that is another");
        });
    }

    #[test]
    fn what_has_ended_is_not_shown_to_anybody() {
        let directory = tempfile::tempdir().expect("a directory");
        env::simulate(1, async {
            let (_, credentials, identity) = joined(&Fake::new(1), directory.path()).await;
            // Certificates know whole seconds.
            let due = due_in(&identity, env::wall_ms());
            assert!(due <= 7 * DAY && due >= 7 * DAY - Duration::from_secs(1), "{due:?}");
            env::sleep(10 * DAY - DAY / 24).await;
            assert!(credentials.load(Purpose::Client).expect("readable").is_some());
            env::sleep(DAY / 24).await;
            assert!(credentials.load(Purpose::Client).expect("readable").is_none());
        });
    }
}
