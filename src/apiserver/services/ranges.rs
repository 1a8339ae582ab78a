//! Ranges of addresses and ports, and in which order they are given out.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use api::Key;
use base::env;
use serde::{Deserialize, Serialize};
use serde_json::json;
use state::{Meta, State, Write};

/// A block of addresses: `10.96.0.0/16`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Cidr {
    first: IpAddr,
    prefix: u8,
}

impl Cidr {
    fn bits(self) -> u8 {
        if self.first.is_ipv4() { 32 } else { 128 }
    }

    /// `IPv4` or `IPv6`.
    pub(crate) fn family(self) -> &'static str {
        family(self.first)
    }

    /// How many addresses it has.
    fn size(self) -> u128 {
        1_u128.checked_shl(u32::from(self.bits() - self.prefix)).unwrap_or(u128::MAX)
    }

    /// Whether an address is in it, and is not one of those that are nobody's: the network's own and, of IPv4, the last.
    pub(super) fn has(self, address: IpAddr) -> bool {
        let (first, at) = (number(self.first), number(address));
        let ends = if self.first.is_ipv4() { 1 } else { 0 };
        first.1 == at.1 && at.0 > first.0 && at.0 - first.0 < self.size().saturating_sub(ends)
    }

    /// A free address: first from the upper part, where nobody asks for an address by name, then from the lower.
    pub(super) fn choose(self, is_taken: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
        let last = self.size().saturating_sub(if self.first.is_ipv4() { 2 } else { 1 });
        let offset = choose(1, last, self.size(), 16, 256, |offset| is_taken(self.at(offset)))?;
        Some(self.at(offset))
    }

    fn at(self, offset: u128) -> IpAddr {
        let (first, is_v4) = number(self.first);
        let number = first + offset;
        if is_v4 { Ipv4Addr::from(number as u32).into() } else { Ipv6Addr::from(number).into() }
    }
}

fn number(address: IpAddr) -> (u128, bool) {
    match address {
        IpAddr::V4(v4) => (u32::from(v4).into(), true),
        IpAddr::V6(v6) => (v6.into(), false),
    }
}

pub(super) fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}

/// What is no range.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no range: {1}")]
pub struct RangeError(String, &'static str);

impl FromStr for Cidr {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, RangeError> {
        let wrong = |why| RangeError(text.to_owned(), why);
        let (address, prefix) = text.split_once('/').ok_or_else(|| wrong("write it as 10.96.0.0/16"))?;
        let first: IpAddr = address.parse().map_err(|_| wrong("the part before the slash is no address"))?;
        let prefix: u8 = prefix.parse().map_err(|_| wrong("the part behind the slash is no number"))?;
        let cidr = Self { first, prefix };
        if prefix > cidr.bits() {
            return Err(wrong("the part behind the slash is too large"));
        }
        let (address, _) = number(first);
        if !address.is_multiple_of(cidr.size()) {
            return Err(wrong("the address has bits behind its prefix"));
        }
        Ok(cidr)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

impl From<Cidr> for String {
    fn from(cidr: Cidr) -> Self {
        cidr.to_string()
    }
}

impl TryFrom<String> for Cidr {
    type Error = RangeError;

    fn try_from(text: String) -> Result<Self, RangeError> {
        text.parse()
    }
}

/// The range of a cluster that names none.
pub(crate) fn default_cidr() -> Cidr {
    Cidr { first: Ipv4Addr::new(10, 96, 0, 0).into(), prefix: 16 }
}

/// The ports of every node that Services may have: `30000-32767`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct NodePorts {
    /// The lowest.
    pub first: u16,
    /// The highest.
    pub last: u16,
}

impl Default for NodePorts {
    fn default() -> Self {
        Self { first: 30000, last: 32767 }
    }
}

impl NodePorts {
    /// Those of the cluster.
    pub(super) fn of(state: &State) -> Self {
        let found = state.get(Key::internal(SETTINGS, NODE_PORTS).as_str());
        let text = found.and_then(|found| serde_json::from_slice::<String>(&found.bytes.to_bytes()).ok());
        text.and_then(|text| text.parse().ok()).unwrap_or_default()
    }

    /// A free port, the upper part first.
    pub(super) fn choose(self, is_taken: impl Fn(u16) -> bool) -> Option<u16> {
        let size = u128::from(self.last - self.first) + 1;
        let port = |offset: u128| self.first + offset as u16;
        choose(0, size - 1, size, 16, 128, |offset| is_taken(port(offset))).map(port)
    }
}

impl FromStr for NodePorts {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, RangeError> {
        let wrong = |why| RangeError(text.to_owned(), why);
        let (first, last) = text.split_once('-').ok_or_else(|| wrong("write it as 30000-32767"))?;
        let port = |text: &str| text.parse::<u16>().map_err(|_| wrong("its ends are not ports"));
        let ports = Self { first: port(first)?, last: port(last)? };
        if ports.first == 0 || ports.first > ports.last {
            return Err(wrong("it has no ports"));
        }
        Ok(ports)
    }
}

impl fmt::Display for NodePorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

impl From<NodePorts> for String {
    fn from(ports: NodePorts) -> Self {
        ports.to_string()
    }
}

impl TryFrom<String> for NodePorts {
    type Error = RangeError;

    fn try_from(text: String) -> Result<Self, RangeError> {
        text.parse()
    }
}

const SETTINGS: &str = "settings";
const NODE_PORTS: &str = "service-node-ports";

/// Where a port stands when it is taken.
pub(super) fn node_port_key(port: u16) -> Key {
    Key::internal("nodeports", &port.to_string())
}

/// The record of a taken port.
pub(super) fn taken_port(port: u16, namespace: &str, name: &str) -> Write {
    record(node_port_key(port), json!({"namespace": namespace, "name": name}))
}

/// The record of the cluster's range.
pub(crate) fn node_port_record(ports: NodePorts) -> (Key, Write) {
    let key = Key::internal(SETTINGS, NODE_PORTS);
    (key.clone(), record(key, ports.to_string().into()))
}

fn record(key: Key, body: serde_json::Value) -> Write {
    Write::Put { key, body: body.to_string().into(), splice: None, meta: Meta::default() }
}

/// A free offset between two: from a random place upwards behind the lower band, around to its end, then in the band.
/// The band is a sixteenth of the whole or so, as Kubernetes has it: there live those that ask by name.
fn choose(
    first: u128,
    last: u128,
    size: u128,
    band_min: u128,
    band_max: u128,
    is_taken: impl Fn(u128) -> bool,
) -> Option<u128> {
    let share = if band_max == 128 { size / 32 } else { size / 16 };
    let band = if size < band_min { 0 } else { share.clamp(band_min, band_max) };
    let from = (first + band).min(last);
    let count = last.checked_sub(from)? + 1;
    let start = u128::from(env::random_u64()) % count;
    let upper = (0..count).map(|step| from + (start + step) % count);
    upper.chain(first..from).find(|offset| !is_taken(*offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_in_words() {
        let cidr: Cidr = "10.96.0.0/16".parse().expect("a range");
        assert_eq!((cidr, cidr.to_string()), (default_cidr(), "10.96.0.0/16".to_owned()));
        for text in ["10.96.0.0", "10.96.0.0/33", "10.96.0.1/16", "x/16", "fd00::1/64"] {
            assert!(text.parse::<Cidr>().is_err(), "{text}");
        }
        assert_eq!("30000-32767".parse(), Ok(NodePorts::default()));
        for text in ["30000", "5-4", "0-5", "a-b"] {
            assert!(text.parse::<NodePorts>().is_err(), "{text}");
        }
    }

    #[test]
    fn everything_in_a_range_is_given_out_once() {
        for (text, count) in
            [("10.0.0.0/24", 254), ("10.0.0.0/30", 2), ("fd00::/120", 255), ("10.0.0.0/28", 14)]
        {
            let cidr: Cidr = text.parse().expect("a range");
            let mut taken = Vec::new();
            while let Some(address) = cidr.choose(|address| taken.contains(&address)) {
                assert!(cidr.has(address), "{address} in {text}");
                taken.push(address);
            }
            assert_eq!(taken.len(), count, "{text}");
        }
        let ports = NodePorts { first: 30000, last: 30099 };
        let mut taken = Vec::new();
        while let Some(port) = ports.choose(|port| taken.contains(&port)) {
            assert_eq!(taken.len() < 84, port >= 30016, "the upper part comes first: {port}");
            taken.push(port);
        }
        assert_eq!(taken.len(), 100);
    }
}
