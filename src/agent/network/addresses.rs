//! Which pod has which address.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use base::files;
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::error::NetworkError;
use crate::rules::HostPort;

/// What is known of one pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lease {
    pub(crate) address: Ipv4Addr,
    #[serde(default)]
    pub(crate) host_ports: Vec<HostPort>,
}

/// Everything that must outlive the process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Leases {
    /// By the pod's uid.
    pub(crate) pods: BTreeMap<String, Lease>,
    /// The address given last: the next search begins behind it, so that an address rests before its next pod.
    pub(crate) last: Option<Ipv4Addr>,
}

impl Leases {
    /// The pod's address, a new one if it has none yet; `None` if every address is taken.
    pub(crate) fn lease(&mut self, cidr: Ipv4Net, uid: &str) -> Option<Ipv4Addr> {
        if let Some(lease) = self.pods.get(uid) {
            return Some(lease.address);
        }
        let taken: BTreeSet<Ipv4Addr> = self.pods.values().map(|lease| lease.address).collect();
        let address = next_free(cidr, self.last, &taken)?;
        self.last = Some(address);
        self.pods.insert(uid.to_owned(), Lease { address, host_ports: Vec::new() });
        Some(address)
    }
}

/// The bridge's own: the first address that a host can have.
pub fn gateway(cidr: Ipv4Net) -> Option<Ipv4Addr> {
    cidr.hosts().next()
}

/// The first free address behind `last`, around the end.
fn next_free(cidr: Ipv4Net, last: Option<Ipv4Addr>, taken: &BTreeSet<Ipv4Addr>) -> Option<Ipv4Addr> {
    let pods = || cidr.hosts().skip(1).filter(|address| !taken.contains(address));
    pods().find(|address| last.is_none_or(|last| *address > last)).or_else(|| pods().next())
}

/// The file in which leases outlive the process.
#[derive(Debug)]
pub(crate) struct LeaseFile(PathBuf);

impl LeaseFile {
    pub(crate) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Nothing, if there is no file yet.
    pub(crate) fn read(&self) -> Result<Leases, NetworkError> {
        let Some(text) = files::read(&self.0)? else { return Ok(Leases::default()) };
        serde_json::from_str(&text).map_err(|source| NetworkError::Addresses { path: self.0.clone(), source })
    }

    /// Replaces the file, so that a crash leaves the old one or the new one.
    pub(crate) fn write(&self, leases: &Leases) -> Result<(), NetworkError> {
        let text =
            serde_json::to_vec_pretty(leases).expect("names, addresses and ports can be written as JSON");
        Ok(files::write(&self.0, &text)?)
    }

    pub(crate) fn remove(&self) -> Result<(), NetworkError> {
        Ok(files::remove(&self.0)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_rests_before_it_is_given_again_and_the_ends_are_nobodys() {
        let cidr: Ipv4Net = "10.1.1.0/29".parse().expect("a network");
        assert_eq!(gateway(cidr), Some(Ipv4Addr::new(10, 1, 1, 1)));
        let mut leases = Leases::default();
        let lease = |leases: &mut Leases, uid: &str| leases.lease(cidr, uid).map(|of| of.octets()[3]);
        assert_eq!(["a", "b", "a"].map(|uid| lease(&mut leases, uid)), [Some(2), Some(3), Some(2)]);
        leases.pods.remove("a");
        assert_eq!(["c", "d", "e"].map(|uid| lease(&mut leases, uid)), [Some(4), Some(5), Some(6)]);
        assert_eq!(["f", "g"].map(|uid| lease(&mut leases, uid)), [Some(2), None]);
    }

    #[test]
    fn leases_outlive_the_process_and_a_broken_file_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = LeaseFile::new(&folder.path().join("addresses.json"));
        let mut leases = file.read().expect("no file is no lease");
        leases.lease("10.1.1.0/24".parse().expect("a network"), "a");
        file.write(&leases).expect("written");
        assert_eq!(file.read().expect("read"), leases);
        std::fs::write(folder.path().join("addresses.json"), "{").expect("written");
        let told = file.read().expect_err("is broken").to_string();
        assert!(told.contains("addresses.json"), "{told}");
    }
}
