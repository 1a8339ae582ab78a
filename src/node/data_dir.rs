//! What lies where in a master's data directory.
//!
//! ```text
//! identity.json   cluster, id, name, addresses, stage
//! join.json       the attempt to join that is under way
//! kubeconfig      the administrator's: this master first, then the others
//! lock            held while the master runs
//! pki/ca.crt      the cluster's authority
//! pki/ca.key      and its key
//! store/          the log and the versions
//! token           lets the first masters join
//! ```

use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::identity::{Identity, Stage};
use crate::pki::{Authority, PkiError};
use base::files::{self, FileError};

/// A master's data directory.
#[derive(Clone, Debug)]
pub struct DataDir(PathBuf);

impl DataDir {
    /// The directory at `path`, which need not exist.
    pub fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// `identity.json`
    pub fn identity(&self) -> PathBuf {
        self.0.join("identity.json")
    }

    /// `join.json`
    pub fn join(&self) -> PathBuf {
        self.0.join("join.json")
    }

    /// `kubeconfig`
    pub fn kubeconfig(&self) -> PathBuf {
        self.0.join("kubeconfig")
    }

    /// `lock`
    pub fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }

    /// `store`
    pub fn store(&self) -> PathBuf {
        self.0.join("store")
    }

    /// `token`
    pub fn token(&self) -> PathBuf {
        self.0.join("token")
    }

    fn ca_certificate(&self) -> PathBuf {
        self.0.join("pki/ca.crt")
    }

    fn ca_key(&self) -> PathBuf {
        self.0.join("pki/ca.key")
    }

    /// Whether a store was ever begun.
    pub fn has_store(&self) -> Result<bool, FileError> {
        match std::fs::read_dir(self.store()) {
            Ok(mut entries) => Ok(entries.next().is_some()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(FileError { operation: "listing", path: self.store(), source }),
        }
    }

    /// Whether a master has, or once had, an identity here.
    pub fn has_identity(&self) -> bool {
        self.identity().exists()
    }

    /// The authority's certificate, if there is one.
    pub fn authority_certificate(&self) -> anyhow::Result<Option<CertificateDer<'static>>> {
        let Some(pem) = files::read(&self.ca_certificate())? else { return Ok(None) };
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes());
        Ok(Some(certificate.map_err(|source| PkiError::Read { what: "authority's certificate", source })?))
    }

    /// The authority with its key, if there is one.
    pub fn authority(&self) -> anyhow::Result<Option<Authority>> {
        let certificate = files::read(&self.ca_certificate())?;
        let key = files::read(&self.ca_key())?;
        match (certificate, key) {
            (Some(certificate), Some(key)) => Ok(Some(Authority::from_pem(&certificate, &key)?)),
            _ => Ok(None),
        }
    }

    /// Stores the authority. The key first: who finds the certificate finds both.
    pub fn save_authority(&self, authority: &Authority) -> Result<(), FileError> {
        files::make_directory(&self.0.join("pki"))?;
        files::write(&self.ca_key(), authority.key_pem().as_bytes())?;
        files::write(&self.ca_certificate(), authority.certificate_pem().as_bytes())
    }

    /// Stores the identity.
    pub fn save_identity(&self, identity: &Identity) -> anyhow::Result<()> {
        let mut text = serde_json::to_string_pretty(identity)?;
        text.push('\n');
        Ok(files::write(&self.identity(), text.as_bytes())?)
    }

    /// Records that the master votes, and forgets how it got there.
    pub fn save_member(&self, identity: &mut Identity) -> anyhow::Result<()> {
        identity.stage = Stage::Member;
        self.save_identity(identity)?;
        Ok(files::remove(&self.join())?)
    }
}
