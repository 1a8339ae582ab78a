//! What the pod network does to a host.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use ipnet::Ipv4Net;

use crate::error::NetworkError;
use crate::routes::{RouteChange, Routes};

/// The cable of one pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cable {
    /// The pod's uid; written on the cable, so that it is found again when everything else is lost.
    pub uid: String,
    /// The pod's address, with the length of its node's pod CIDR.
    pub address: Ipv4Net,
    /// The bridge's address.
    pub gateway: Ipv4Addr,
    /// Bytes of a packet; the kernel's default if none is said.
    pub mtu: Option<u32>,
}

impl Cable {
    /// The name of the host's end: an interface's name has at most 15 bytes, and the address is the pod's alone.
    pub fn name(&self) -> String {
        cable_name(self.address.addr())
    }
}

/// The name of the host's end of the cable of the pod with this address.
pub fn cable_name(address: Ipv4Addr) -> String {
    format!("pod{:08x}", u32::from(address))
}

/// The host: interfaces, routes and rules of the network namespace in which the agent runs.
#[async_trait]
pub trait Links: Send + Sync {
    /// The bridge is there, up, with this address; the host forwards packets. Idempotent.
    async fn bridge(&self, address: Ipv4Net, mtu: Option<u32>) -> Result<(), NetworkError>;

    /// Pods by uid whose cables are in the bridge, and their addresses.
    async fn cables(&self) -> Result<BTreeMap<String, Ipv4Addr>, NetworkError>;

    /// The pod whose process is `pid` has this cable. Leaves a cable that is right alone, replaces any other.
    async fn attach(&self, cable: &Cable, pid: u32) -> Result<(), NetworkError>;

    /// The pod with this address has no cable.
    async fn detach(&self, address: Ipv4Addr) -> Result<(), NetworkError>;

    /// Our routes.
    async fn routes(&self) -> Result<Routes, NetworkError>;

    /// Changes one of our routes.
    async fn route(&self, change: RouteChange) -> Result<(), NetworkError>;

    /// Runs a transaction in nft's words, and lets the host's own rules forward what is the bridge's.
    async fn rules(&self, text: &str) -> Result<(), NetworkError>;

    /// Bridge, cables, routes and rules are gone.
    async fn remove(&self) -> Result<(), NetworkError>;
}

/// A host that is only written down.
#[derive(Debug, Default)]
pub struct FakeLinks(Mutex<FakeHost>);

/// What stands there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FakeHost {
    /// The bridge's address.
    pub bridge: Option<Ipv4Net>,
    /// Cables by uid, each with its process.
    pub cables: BTreeMap<String, (Cable, u32)>,
    /// Our routes.
    pub routes: Routes,
    /// The transaction that was run last.
    pub rules: String,
    /// Processes without a network namespace: to attach them fails.
    pub dead: BTreeSet<u32>,
}

impl FakeLinks {
    /// Looks at the host, or changes it behind everybody's back.
    pub fn with<T>(&self, look: impl FnOnce(&mut FakeHost) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl Links for FakeLinks {
    async fn bridge(&self, address: Ipv4Net, _mtu: Option<u32>) -> Result<(), NetworkError> {
        self.with(|host| host.bridge = Some(address));
        Ok(())
    }

    async fn cables(&self) -> Result<BTreeMap<String, Ipv4Addr>, NetworkError> {
        let cables = |host: &mut FakeHost| {
            host.cables.iter().map(|(uid, (cable, _))| (uid.clone(), cable.address.addr())).collect()
        };
        Ok(self.with(cables))
    }

    async fn attach(&self, cable: &Cable, pid: u32) -> Result<(), NetworkError> {
        self.with(|host| {
            if host.dead.contains(&pid) {
                return Err(NetworkError::kernel("attach", &"no such process"));
            }
            host.cables.insert(cable.uid.clone(), (cable.clone(), pid));
            Ok(())
        })
    }

    async fn detach(&self, address: Ipv4Addr) -> Result<(), NetworkError> {
        self.with(|host| host.cables.retain(|_, (cable, _)| cable.address.addr() != address));
        Ok(())
    }

    async fn routes(&self) -> Result<Routes, NetworkError> {
        Ok(self.with(|host| host.routes.clone()))
    }

    async fn route(&self, change: RouteChange) -> Result<(), NetworkError> {
        self.with(|host| match change {
            RouteChange::Remove(cidr) => host.routes.remove(&cidr),
            RouteChange::Set(cidr, via) => host.routes.insert(cidr, via),
        });
        Ok(())
    }

    async fn rules(&self, text: &str) -> Result<(), NetworkError> {
        self.with(|host| text.clone_into(&mut host.rules));
        Ok(())
    }

    async fn remove(&self) -> Result<(), NetworkError> {
        self.with(|host| *host = FakeHost::default());
        Ok(())
    }
}
