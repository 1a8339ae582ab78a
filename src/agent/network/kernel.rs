//! The host itself, by rtnetlink, nft and sysctl.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::process::Stdio;

use async_trait::async_trait;
use base::env;
use futures::TryStreamExt;
use ipnet::Ipv4Net;
use rtnetlink::packet_route::link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkMessage};
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteProtocol};
use rtnetlink::{
    Handle, LinkBridge, LinkBridgePort, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder,
};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::io::AsyncWriteExt;
use tokio::sync::oneshot;

use crate::BRIDGE;
use crate::error::NetworkError;
use crate::links::{Cable, Links, cable_name};
use crate::routes::{RouteChange, Routes};
use crate::rules::TABLE;

/// Marks routes as ours. Any number that nobody else uses; 82 is free in iproute2's list.
const ROUTE_PROTOCOL: RouteProtocol = RouteProtocol::Other(82);

/// Written on a cable before the pod's uid.
const ALIAS: &str = "keelson pod ";

/// The pod's end of its cable.
const POD_INTERFACE: &str = "eth0";

const EXISTS: i32 = -libc_numbers::EEXIST;

/// Numbers of errors, from `asm-generic/errno-base.h`.
mod libc_numbers {
    pub(super) const EEXIST: i32 = 17;
}

/// The host in whose network namespace this was made.
pub struct Kernel {
    handle: Handle,
}

impl Kernel {
    /// Opens a connection to the kernel, in the network namespace of the calling thread.
    ///
    /// # Errors
    /// When there is no netlink.
    pub fn new() -> Result<Self, NetworkError> {
        Ok(Self { handle: connect()? })
    }

    async fn index(&self, name: &str) -> Result<Option<u32>, NetworkError> {
        index_of(&self.handle, name).await
    }

    async fn remove_link(&self, name: &str) -> Result<(), NetworkError> {
        match self.index(name).await? {
            Some(index) => failed("remove an interface", self.handle.link().del(index).execute().await),
            None => Ok(()),
        }
    }

    /// The host's end in the bridge, and the other in the pod's namespace.
    async fn lay(&self, cable: &Cable, pid: u32) -> Result<(), NetworkError> {
        let bridge = self.index(BRIDGE).await?;
        let bridge = bridge.ok_or_else(|| NetworkError::kernel("attach a pod", &"the bridge is gone"))?;
        let (name, links) = (cable.name(), self.handle.link());
        let mut peer = LinkMessageBuilder::<LinkUnspec>::new().name(POD_INTERFACE).setns_by_pid(pid);
        let mut own = LinkMessageBuilder::<LinkVeth>::new_with_info_kind(InfoKind::Veth).name(name.clone());
        if let Some(mtu) = cable.mtu {
            (peer, own) = (peer.mtu(mtu), own.mtu(mtu));
        }
        let own = own.set_info_data(InfoData::Veth(InfoVeth::Peer(peer.build()))).build();
        failed(
            &format!("lay a cable into the pod's namespace (process {pid})"),
            links.add(own).execute().await,
        )?;
        let index = self.index(&name).await?;
        let index = index.ok_or_else(|| NetworkError::kernel("attach a pod", &"its cable is gone"))?;
        let alias = format!("{ALIAS}{}", cable.uid);
        let plug = LinkUnspec::new_with_index(index).controller(bridge).alias(alias).up().build();
        failed("plug a cable into the bridge", links.set(plug).execute().await)?;
        // A pod may reach itself through a Service: the packet leaves by the port by which it came.
        let port = LinkBridgePort::new(index).hairpin(true).build();
        failed("let a pod reach itself", links.set_port(port).execute().await)
    }
}

#[async_trait]
impl Links for Kernel {
    async fn bridge(&self, address: Ipv4Net, mtu: Option<u32>) -> Result<(), NetworkError> {
        let links = self.handle.link();
        let index = if let Some(index) = self.index(BRIDGE).await? {
            index
        } else {
            // A bridge without an address of its own takes its ports', and changes it when they come and go.
            let mut link = LinkBridge::new(BRIDGE).address(hardware_address(address.addr()));
            if let Some(mtu) = mtu {
                link = link.mtu(mtu);
            }
            failed("make the bridge", links.add(link.build()).execute().await)?;
            self.index(BRIDGE).await?.ok_or_else(|| NetworkError::kernel("make the bridge", &"it is gone"))?
        };
        let up = LinkUnspec::new_with_index(index).up().build();
        failed("raise the bridge", links.set(up).execute().await)?;
        let added =
            self.handle.address().add(index, address.addr().into(), address.prefix_len()).execute().await;
        unless_exists("give the bridge its address", added)?;
        sysctl("net/ipv4/ip_forward")?;
        // Ports of the host at its loopback address lead to pods too.
        sysctl(&format!("net/ipv4/conf/{BRIDGE}/route_localnet"))
    }

    async fn cables(&self) -> Result<BTreeMap<String, Ipv4Addr>, NetworkError> {
        let links = self.handle.link().get().execute().try_collect::<Vec<LinkMessage>>().await;
        let links = links.map_err(|error| NetworkError::kernel("list interfaces", &error))?;
        Ok(links.iter().filter_map(known_cable).collect())
    }

    async fn attach(&self, cable: &Cable, pid: u32) -> Result<(), NetworkError> {
        let wanted = cable.address;
        let has = within(pid, move |handle| async move { has_address(&handle, wanted.addr()).await }).await?;
        if has && self.cables().await?.get(&cable.uid) == Some(&cable.address.addr()) {
            return Ok(());
        }
        self.remove_link(&cable.name()).await?;
        self.lay(cable, pid).await?;
        let gateway = cable.gateway;
        within(pid, move |handle| async move { furnish(&handle, wanted, gateway).await }).await
    }

    async fn detach(&self, address: Ipv4Addr) -> Result<(), NetworkError> {
        self.remove_link(&cable_name(address)).await
    }

    async fn routes(&self) -> Result<Routes, NetworkError> {
        let all = RouteMessageBuilder::<Ipv4Addr>::new().build();
        let routes = self.handle.route().get(all).execute().try_collect::<Vec<RouteMessage>>().await;
        let routes = routes.map_err(|error| NetworkError::kernel("list routes", &error))?;
        Ok(routes.iter().filter_map(known_route).collect())
    }

    async fn route(&self, change: RouteChange) -> Result<(), NetworkError> {
        let to = |cidr: Ipv4Net| {
            let route = RouteMessageBuilder::<Ipv4Addr>::new().protocol(ROUTE_PROTOCOL);
            route.destination_prefix(cidr.network(), cidr.prefix_len())
        };
        match change {
            RouteChange::Remove(cidr) => failed(
                &format!("remove the route to {cidr}"),
                self.handle.route().del(to(cidr).build()).execute().await,
            ),
            RouteChange::Set(cidr, via) => {
                let route = to(cidr).gateway(via).build();
                let set = self.handle.route().add(route).replace().execute().await;
                failed(&format!("set the route to {cidr} via {via}"), set)
            }
        }
    }

    async fn rules(&self, text: &str) -> Result<(), NetworkError> {
        nft(&["-f", "-"], text).await?;
        open_forward().await
    }

    async fn remove(&self) -> Result<(), NetworkError> {
        for address in self.cables().await?.into_values() {
            self.remove_link(&cable_name(address)).await?;
        }
        self.remove_link(BRIDGE).await?;
        for cidr in self.routes().await?.into_keys() {
            self.route(RouteChange::Remove(cidr)).await?;
        }
        nft(&["-f", "-"], &format!("add table ip {TABLE}\ndelete table ip {TABLE}\n")).await?;
        for handle in forward_handles().await.unwrap_or_default() {
            nft(&["delete", "rule", "ip", "filter", "FORWARD", "handle", &handle], "").await?;
        }
        Ok(())
    }
}

fn connect() -> Result<Handle, NetworkError> {
    let made = rtnetlink::new_connection();
    let (connection, handle, _messages) =
        made.map_err(|error| NetworkError::kernel("open netlink", &error))?;
    // Ends when the last handle is gone.
    env::spawn(connection);
    Ok(handle)
}

/// Runs `work` in the network namespace of the process `pid`, on a thread that ends with it: a thread of the
/// runtime must never be elsewhere.
async fn within<T, F>(pid: u32, work: impl FnOnce(Handle) -> F + Send + 'static) -> Result<T, NetworkError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, NetworkError>>,
{
    let (tell, told) = oneshot::channel();
    let body = move || {
        let worked = enter(pid).and_then(|runtime| {
            runtime.block_on(async move {
                let handle = connect()?;
                work(handle).await
            })
        });
        // Nobody waits any more if the caller was cancelled.
        let _ = tell.send(worked);
    };
    env::thread("pod-network", body).map_err(|error| NetworkError::kernel("start a thread", &error))?;
    told.await
        .unwrap_or_else(|_gone| Err(NetworkError::kernel("enter a pod's namespace", &"the thread died")))
}

fn enter(pid: u32) -> Result<tokio::runtime::Runtime, NetworkError> {
    let operation = format!("enter the network namespace of process {pid}");
    let file = std::fs::File::open(format!("/proc/{pid}/ns/net"));
    let file = file.map_err(|error| NetworkError::kernel(&*operation, &error))?;
    let moved = move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network));
    moved.map_err(|error| NetworkError::kernel(&*operation, &error))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| NetworkError::kernel(operation, &error))
}

/// Inside a pod: whether its interface has this address already.
async fn has_address(handle: &Handle, address: Ipv4Addr) -> Result<bool, NetworkError> {
    let Some(index) = index_of(handle, POD_INTERFACE).await? else { return Ok(false) };
    let request = handle.address().get().set_link_index_filter(index).set_address_filter(address.into());
    let found = request.execute().try_next().await;
    Ok(found.map_err(|error| NetworkError::kernel("list a pod's addresses", &error))?.is_some())
}

/// Inside a pod: raises its interfaces and gives it address and way out.
async fn furnish(handle: &Handle, address: Ipv4Net, gateway: Ipv4Addr) -> Result<(), NetworkError> {
    for name in ["lo", POD_INTERFACE] {
        let up = LinkUnspec::new_with_name(name).up().build();
        failed("raise a pod's interface", handle.link().set(up).execute().await)?;
    }
    let index = index_of(handle, POD_INTERFACE).await?;
    let index = index.ok_or_else(|| NetworkError::kernel("furnish a pod", &"its interface is gone"))?;
    let added = handle.address().add(index, address.addr().into(), address.prefix_len()).execute().await;
    unless_exists("give a pod its address", added)?;
    let route = RouteMessageBuilder::<Ipv4Addr>::new().gateway(gateway).build();
    unless_exists("give a pod its way out", handle.route().add(route).execute().await)
}

async fn index_of(handle: &Handle, name: &str) -> Result<Option<u32>, NetworkError> {
    let links = handle.link().get().execute().try_collect::<Vec<LinkMessage>>().await;
    let links = links.map_err(|error| NetworkError::kernel("list interfaces", &error))?;
    let named = |link: &&LinkMessage| {
        link.attributes.iter().any(|of| matches!(of, LinkAttribute::IfName(known) if known == name))
    };
    Ok(links.iter().find(named).map(|link| link.header.index))
}

/// The pod and its address, if the interface is a cable of ours.
fn known_cable(link: &LinkMessage) -> Option<(String, Ipv4Addr)> {
    let uid = link.attributes.iter().find_map(|of| match of {
        LinkAttribute::IfAlias(alias) => alias.strip_prefix(ALIAS),
        _ => None,
    })?;
    let address = link.attributes.iter().find_map(|of| match of {
        LinkAttribute::IfName(name) => u32::from_str_radix(name.strip_prefix("pod")?, 16).ok(),
        _ => None,
    })?;
    Some((uid.to_owned(), address.into()))
}

fn known_route(route: &RouteMessage) -> Option<(Ipv4Net, Ipv4Addr)> {
    if route.header.protocol != ROUTE_PROTOCOL {
        return None;
    }
    let destination = route.attributes.iter().find_map(|of| match of {
        RouteAttribute::Destination(RouteAddress::Inet(address)) => Some(*address),
        _ => None,
    })?;
    let gateway = route.attributes.iter().find_map(|of| match of {
        RouteAttribute::Gateway(RouteAddress::Inet(address)) => Some(*address),
        _ => None,
    })?;
    Some((Ipv4Net::new(destination, route.header.destination_prefix_length).ok()?, gateway))
}

/// Locally administered, and as unique as the address.
fn hardware_address(address: Ipv4Addr) -> Vec<u8> {
    [&[0x0a, 0x58], &address.octets()[..]].concat()
}

fn failed(operation: &str, result: Result<(), rtnetlink::Error>) -> Result<(), NetworkError> {
    result.map_err(|error| NetworkError::kernel(operation, &error))
}

fn unless_exists(operation: &str, result: Result<(), rtnetlink::Error>) -> Result<(), NetworkError> {
    match result {
        Err(rtnetlink::Error::NetlinkError(error)) if error.raw_code() == EXISTS => Ok(()),
        other => failed(operation, other),
    }
}

/// Switches a setting of the kernel on, unless it is on: a container may see settings without writing them.
fn sysctl(name: &str) -> Result<(), NetworkError> {
    let path = format!("/proc/sys/{name}");
    if std::fs::read_to_string(&path).is_ok_and(|value| value.trim() == "1") {
        return Ok(());
    }
    std::fs::write(&path, "1").map_err(|error| NetworkError::kernel(format!("set {path} to 1"), &error))
}

async fn nft(arguments: &[&str], input: &str) -> Result<String, NetworkError> {
    let operation = "run nft (is the package nftables installed, and are we root?)";
    let run = async {
        let mut child = tokio::process::Command::new("nft")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes()).await?;
        }
        child.wait_with_output().await
    };
    let output = run.await.map_err(|error| NetworkError::kernel(operation, &error))?;
    if !output.status.success() {
        return Err(NetworkError::kernel(operation, &String::from_utf8_lossy(&output.stderr)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// An acceptance in our own table cannot undo another table's drop. Where the host has iptables' chain, which
/// Docker lets drop what it does not know, packets of pods are accepted in there.
async fn open_forward() -> Result<(), NetworkError> {
    match forward_handles().await {
        // There is no such chain, and so nothing that drops.
        None => Ok(()),
        Some(known) if !known.is_empty() => Ok(()),
        Some(_none) => {
            let insert = |direction: &str| {
                format!(
                    "insert rule ip filter FORWARD {direction} {BRIDGE} counter accept comment \"{TABLE}\"\n"
                )
            };
            nft(&["-f", "-"], &(insert("iifname") + &insert("oifname"))).await.map(drop)
        }
    }
}

/// Our rules in the host's chain, by handle; `None` if it has no such chain.
async fn forward_handles() -> Option<Vec<String>> {
    let listed = nft(&["-a", "list", "chain", "ip", "filter", "FORWARD"], "").await.ok()?;
    let ours = listed.lines().filter(|line| line.contains(&format!("comment \"{TABLE}\"")));
    Some(ours.filter_map(|line| Some(line.rsplit_once("# handle ")?.1.trim().to_owned())).collect())
}
