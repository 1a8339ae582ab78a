//! Connections from inside a pod's network namespace: to what listens on its loopback, too.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;
use std::time::Duration;

use base::env;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

/// How long a connection may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Connects to a port of the loopback address, as the process `pid` sees it.
///
/// # Errors
/// When there is no such process, or nothing listens there.
pub async fn connect_inside(pid: u32, port: u16) -> std::io::Result<TcpStream> {
    let (told, connected) = oneshot::channel();
    // A thread of its own: which namespace it is in must never be another task's business.
    env::thread("inside", move || {
        let _ = told.send(connect(pid, port));
    })?;
    let stream = connected.await.map_err(std::io::Error::other)??;
    stream.set_nonblocking(true)?;
    TcpStream::from_std(stream)
}

fn connect(pid: u32, port: u16) -> std::io::Result<std::net::TcpStream> {
    let namespace = File::open(format!("/proc/{pid}/ns/net"))?;
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
    std::net::TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), CONNECT_TIMEOUT)
}
