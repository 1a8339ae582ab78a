//! Where a master serves its API.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use http::Uri;

/// Where a master serves its API: `https://HOST:PORT`. Without TLS (`http://`) only fakes are reached.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Server {
    /// As it is written, without a slash at the end.
    text: Arc<str>,
    host_at: usize,
    port_at: usize,
}

/// A text that is no [`Server`].
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no address of a master: write https://HOST:PORT")]
pub struct ServerError(String);

/// Where HTTPS is served when no port is named.
const HTTPS_PORT: u16 = 443;

impl Server {
    /// The host, as a connection takes it: a name or an address, without the brackets of IPv6.
    pub fn host(&self) -> &str {
        self.text[self.host_at..self.port_at - 1].trim_matches(['[', ']'])
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.text[self.port_at..].parse().unwrap_or(HTTPS_PORT)
    }

    /// Whether it speaks TLS.
    pub fn is_tls(&self) -> bool {
        self.text.starts_with("https:")
    }

    /// Its address with a path and a query.
    pub(crate) fn uri(&self, path_and_query: &str) -> Result<Uri, http::uri::InvalidUri> {
        format!("{}{path_and_query}", self.text).parse()
    }
}

impl FromStr for Server {
    type Err = ServerError;

    fn from_str(text: &str) -> Result<Self, ServerError> {
        let refused = || ServerError(text.to_owned());
        let uri: Uri = text.parse().map_err(|_| refused())?;
        let scheme = uri.scheme_str().filter(|scheme| ["http", "https"].contains(scheme));
        let (scheme, host) = scheme.zip(uri.host()).ok_or_else(refused)?;
        if !["", "/"].contains(&uri.path()) || uri.query().is_some() {
            return Err(refused());
        }
        let host_at = scheme.len() + "://".len();
        let port_at = host_at + host.len() + 1;
        let port = uri.port_u16().unwrap_or(HTTPS_PORT);
        Ok(Self { text: format!("{scheme}://{host}:{port}").into(), host_at, port_at })
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        let read = |text: &str| {
            let server: Server = text.parse().ok()?;
            Some((server.to_string(), server.host().to_owned(), server.port(), server.is_tls()))
        };
        let some =
            |text: &str, host: &str, port, is_tls| Some((text.to_owned(), host.to_owned(), port, is_tls));
        let cases = [
            ("https://10.0.0.1:6443", some("https://10.0.0.1:6443", "10.0.0.1", 6443, true)),
            ("https://master-1/", some("https://master-1:443", "master-1", 443, true)),
            ("https://[fd00::1]:6443", some("https://[fd00::1]:6443", "fd00::1", 6443, true)),
            ("http://127.0.0.1:80", some("http://127.0.0.1:80", "127.0.0.1", 80, false)),
            ("10.0.0.1:6443", None),
            ("ftp://10.0.0.1:21", None),
            ("https://10.0.0.1:6443/api", None),
        ];
        for (text, expect) in cases {
            assert_eq!(read(text), expect, "{text}");
        }
    }
}
