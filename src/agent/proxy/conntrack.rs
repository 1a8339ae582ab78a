//! The kernel's table of connections, read and cut by netlink.
//!
//! Neither nft nor any maintained crate deletes entries of it, so the few messages are written here. Their
//! numbers are from `linux/netfilter/nfnetlink_conntrack.h`.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use netlink_sys::{Socket, SocketAddr as NetlinkAddress};

use crate::flows::{Expected, Flow, is_stale};
use crate::rules::Family;

const NETFILTER: isize = 12;
const GET: u16 = (1 << 8) | 1;
const DELETE: u16 = (1 << 8) | 2;

const REQUEST: u16 = 0x1;
const ACK: u16 = 0x4;
const DUMP: u16 = 0x300;

const MESSAGE_ERROR: u16 = 2;
const MESSAGE_DONE: u16 = 3;
const MESSAGE_HEADER_BYTES: usize = 16;
/// The header of netlink and the four bytes of netfilter behind it.
const HEADERS_BYTES: usize = MESSAGE_HEADER_BYTES + 4;

const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const ID: u16 = 12;
const ZONE: u16 = 18;

/// Inside a tuple.
const TUPLE_ADDRESSES: u16 = 1;
const TUPLE_PROTOCOL: u16 = 2;
/// Inside its addresses: sources, then destinations.
const SOURCES: [u16; 2] = [1, 3];
const DESTINATIONS: [u16; 2] = [2, 4];
/// Inside its protocol.
const PROTOCOL_NUMBER: u16 = 1;
const SOURCE_PORT: u16 = 2;
const DESTINATION_PORT: u16 = 3;

const UDP: u8 = 17;

/// The upper bits of an attribute's type are flags.
const ATTRIBUTE_TYPE_MASK: u16 = 0x3fff;

/// Forgets every flow of datagrams that `expected` does not allow; returns how many there were. Blocks.
pub(crate) fn forget(family: Family, expected: &Expected) -> io::Result<usize> {
    let mut socket = Socket::new(NETFILTER)?;
    socket.bind_auto()?;
    socket.connect(&NetlinkAddress::new(0, 0))?;
    let mut stale = Vec::new();
    exchange(&socket, &message(family, GET, REQUEST | DUMP, &[]), |body| {
        if flow(body).is_some_and(|flow| is_stale(expected, &flow)) {
            stale.push(deletion(body));
        }
    })?;
    let mut forgotten = 0;
    for attributes in stale {
        match exchange(&socket, &message(family, DELETE, REQUEST | ACK, &attributes), |_| ()) {
            Ok(()) => forgotten += 1,
            // It ended by itself meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(forgotten)
}

fn message(family: Family, kind: u16, flags: u16, attributes: &[u8]) -> Vec<u8> {
    let length = (HEADERS_BYTES + attributes.len()) as u32;
    let mut bytes = Vec::with_capacity(length as usize);
    bytes.extend(length.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    // A sequence number and a port: one request at a time needs neither.
    bytes.extend([0; 8]);
    let address_family: u8 = match family {
        Family::V4 => 2,
        Family::V6 => 10,
    };
    bytes.extend([address_family, 0, 0, 0]);
    bytes.extend(attributes);
    bytes
}

/// Sends a request and hands the attributes of every answer to `each`, until the last.
fn exchange(socket: &Socket, request: &[u8], mut each: impl FnMut(&[u8])) -> io::Result<()> {
    socket.send(request, 0)?;
    loop {
        let (datagram, _from) = socket.recv_from_full()?;
        let mut rest = &datagram[..];
        while rest.len() >= MESSAGE_HEADER_BYTES {
            let length = number::<4>(rest).map_or(0, u32::from_ne_bytes) as usize;
            let kind = number::<2>(&rest[4..]).map_or(0, u16::from_ne_bytes);
            if length < MESSAGE_HEADER_BYTES || length > rest.len() {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "a netlink message of a wrong length",
                ));
            }
            match kind {
                MESSAGE_DONE => return Ok(()),
                MESSAGE_ERROR => return acknowledged(&rest[MESSAGE_HEADER_BYTES..length]),
                _ => each(rest.get(HEADERS_BYTES..length).unwrap_or_default()),
            }
            rest = rest.get(aligned(length)..).unwrap_or_default();
        }
    }
}

/// An error of zero is an acknowledgement.
fn acknowledged(body: &[u8]) -> io::Result<()> {
    match number::<4>(body).map_or(0, i32::from_ne_bytes) {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(-code)),
    }
}

/// The attributes by which the kernel finds the entry again, as it gave them.
fn deletion(entry: &[u8]) -> Vec<u8> {
    let kept = attributes(entry).filter(|(kind, ..)| matches!(*kind, TUPLE_ORIGINAL | ID | ZONE));
    kept.flat_map(|(_, _, whole)| {
        let padding = aligned(whole.len()) - whole.len();
        whole.iter().copied().chain(std::iter::repeat_n(0, padding))
    })
    .collect()
}

/// `None` for what is no flow of datagrams.
fn flow(entry: &[u8]) -> Option<Flow> {
    let (original, reply) = (find(entry, TUPLE_ORIGINAL)?, find(entry, TUPLE_REPLY)?);
    if find(find(original, TUPLE_PROTOCOL)?, PROTOCOL_NUMBER)?.first() != Some(&UDP) {
        return None;
    }
    Some(Flow {
        destination: end(original, DESTINATIONS, DESTINATION_PORT)?,
        answers: end(reply, SOURCES, SOURCE_PORT)?,
    })
}

fn end(tuple: &[u8], addresses: [u16; 2], port: u16) -> Option<SocketAddr> {
    let body = find(tuple, TUPLE_ADDRESSES)?;
    let address = match (find(body, addresses[0]), find(body, addresses[1])) {
        (Some(v4), _) => IpAddr::V4(Ipv4Addr::from(number::<4>(v4)?)),
        (None, Some(v6)) => IpAddr::V6(Ipv6Addr::from(number::<16>(v6)?)),
        (None, None) => return None,
    };
    let port = number::<2>(find(find(tuple, TUPLE_PROTOCOL)?, port)?)?;
    Some(SocketAddr::new(address, u16::from_be_bytes(port)))
}

fn find(body: &[u8], wanted: u16) -> Option<&[u8]> {
    attributes(body).find(|(kind, ..)| *kind == wanted).map(|(_, value, _)| value)
}

/// Type, value, and the whole with its header.
fn attributes(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8], &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(number::<2>(rest)?));
        let kind = u16::from_ne_bytes(number::<2>(rest.get(2..)?)?) & ATTRIBUTE_TYPE_MASK;
        let whole = rest.get(..length)?;
        let value = whole.get(4..)?;
        rest = rest.get(aligned(length)..).unwrap_or_default();
        Some((kind, value, whole))
    })
}

fn number<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.get(..N)?.try_into().ok()
}

fn aligned(length: usize) -> usize {
    length.next_multiple_of(4)
}
