//! `HOST:PORT` as it is given on command lines and kept in the membership.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A host name or address, and a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostPort {
    /// A DNS name, an IPv4 address, or an IPv6 address without brackets.
    pub host: String,
    /// From 1.
    pub port: u16,
}

/// Text that is no `HOST:PORT`.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not HOST:PORT, like 10.0.0.1:6443")]
pub struct InvalidHostPort(String);

impl HostPort {
    /// `https://HOST:PORT`.
    pub fn url(&self) -> String {
        format!("https://{self}")
    }

    /// From `https://HOST:PORT`, with or without a slash at the end.
    pub fn from_url(url: &str) -> Result<Self, InvalidHostPort> {
        url.strip_prefix("https://").unwrap_or(url).trim_end_matches('/').parse()
    }
}

impl FromStr for HostPort {
    type Err = InvalidHostPort;

    fn from_str(text: &str) -> Result<Self, InvalidHostPort> {
        let invalid = || InvalidHostPort(text.to_owned());
        let (host, port) = text.rsplit_once(':').ok_or_else(invalid)?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = match bare {
            Some(address) => address.parse::<std::net::Ipv6Addr>().map_err(|_| invalid())?.to_string(),
            None => host.to_owned(),
        };
        let named = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte));
        let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(invalid)?;
        if host.is_empty() || (bare.is_none() && !named) {
            return Err(invalid());
        }
        Ok(Self { host, port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl TryFrom<String> for HostPort {
    type Error = InvalidHostPort;

    fn try_from(text: String) -> Result<Self, InvalidHostPort> {
        text.parse()
    }
}

impl From<HostPort> for String {
    fn from(address: HostPort) -> Self {
        address.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_being_printed() {
        for text in ["10.0.0.1:6443", "master-1.example:1", "[fd00::1]:65535"] {
            let address: HostPort = text.parse().expect(text);
            assert_eq!(address.to_string(), text);
            assert_eq!(HostPort::from_url(&format!("https://{text}/")), Ok(address));
        }
    }

    #[test]
    fn what_is_no_address() {
        for text in
            ["", "a", ":1", "a:", "a:0", "a:65536", "a b:1", "fd00::1:1x", "[x]:1", "a/b:1", "http://a:1"]
        {
            assert!(text.parse::<HostPort>().is_err(), "{text:?}");
        }
    }
}
