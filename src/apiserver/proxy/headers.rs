//! Headers of what passes a proxy.

use std::net::IpAddr;

use http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, COOKIE, EXPECT, HOST, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use crate::dialer::Place;

/// About one connection, not about what it carries.
const OF_CONNECTION: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What lets pages of elsewhere read an answer: not for a pod to say, which answers in the name of the API.
const CROSS_ORIGIN: &[&str] = &[
    "access-control-allow-credentials",
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-allow-origin",
];

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");

/// Whether the client wants to go over to another protocol.
pub(super) fn is_upgrade(headers: &HeaderMap) -> bool {
    headers.contains_key(UPGRADE)
        && words(headers, &CONNECTION).any(|word| word.eq_ignore_ascii_case("upgrade"))
}

fn words<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|word| !word.is_empty())
}

/// What the client calls this server.
pub(super) fn host(headers: &HeaderMap, uri: &Uri) -> String {
    let authority = uri.authority().map(|authority| authority.as_str());
    let host = authority.or_else(|| headers.get(HOST)?.to_str().ok());
    host.unwrap_or_default().to_owned()
}

/// Takes out what is about one connection.
pub(super) fn strip(headers: &mut HeaderMap) {
    let named: Vec<String> = words(headers, &CONNECTION).map(str::to_owned).collect();
    for name in named.iter().map(String::as_str).chain(OF_CONNECTION.iter().copied()) {
        headers.remove(name);
    }
}

/// Takes out what an answer must not say.
pub(super) fn strip_answer(headers: &mut HeaderMap) {
    strip(headers);
    for name in CROSS_ORIGIN {
        headers.remove(*name);
    }
}

/// Makes a client's headers those of a request to the other end: without what proves who the client is, and with what it
/// cannot know.
pub(super) fn forward(headers: &mut HeaderMap, place: Place, host: &str, path: &str, client: Option<IpAddr>) {
    headers.remove(AUTHORIZATION);
    let of_others = |name: &&HeaderName| name.as_str().starts_with("impersonate-");
    let of_others: Vec<HeaderName> = headers.keys().filter(of_others).cloned().collect();
    for name in of_others {
        headers.remove(name);
    }
    // The body is not announced: it comes with the head. And a page must be read to be rewritten.
    headers.remove(EXPECT);
    headers.remove(ACCEPT_ENCODING);
    join(headers, &COOKIE, "; ");
    let before = join(headers, &FORWARDED_FOR, ", ");
    let seen = before.into_iter().chain(client.map(|client| client.to_string()));
    let host = if matches!(place, Place::Agent(_)) { "agent" } else { host };
    for (name, value) in [
        (FORWARDED_FOR, seen.collect::<Vec<_>>().join(", ")),
        (FORWARDED_URI, path.to_owned()),
        (HOST, host.to_owned()),
    ] {
        match HeaderValue::from_str(&value) {
            Ok(value) if !value.is_empty() => headers.insert(name, value),
            _ => headers.remove(name),
        };
    }
}

/// Makes one line of several; returns it. HTTP/2 clients send each cookie by itself.
fn join(headers: &mut HeaderMap, name: &HeaderName, between: &str) -> Option<String> {
    let lines: Vec<&str> = headers.get_all(name).iter().filter_map(|line| line.to_str().ok()).collect();
    let line = (!lines.is_empty()).then(|| lines.join(between))?;
    let value = HeaderValue::from_str(&line).ok()?;
    headers.insert(name, value);
    Some(line)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn shown(headers: &HeaderMap) -> Vec<String> {
        let mut lines: Vec<String> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().expect("text")))
            .collect();
        lines.sort();
        lines
    }

    #[test]
    fn what_proves_who_the_client_is_stays_here() {
        let mut given = headers(&[
            ("authorization", "Bearer secret"),
            ("impersonate-user", "jane"),
            ("impersonate-extra-x", "y"),
            ("connection", "keep-alive, x-hop"),
            ("x-hop", "1"),
            ("te", "trailers"),
            ("accept-encoding", "gzip"),
            ("cookie", "a=1"),
            ("cookie", "b=2"),
            ("x-forwarded-for", "192.0.2.1"),
            ("x-mine", "kept"),
        ]);
        strip(&mut given);
        let agent = crate::dialer::Agent::at(SocketAddr::from(([10, 0, 0, 1], 10_250)));
        let to = Place::Behind(agent, SocketAddr::from(([10, 42, 0, 2], 80)), false);
        forward(&mut given, to, "api:6443", "/p/x", Some(IpAddr::from([192, 0, 2, 7])));
        assert_eq!(
            shown(&given),
            [
                "cookie: a=1; b=2",
                "host: api:6443",
                "x-forwarded-for: 192.0.2.1, 192.0.2.7",
                "x-forwarded-uri: /p/x",
                "x-mine: kept",
            ]
        );
    }

    #[test]
    fn a_pod_lets_no_page_of_elsewhere_read_its_answer() {
        let mut answer = headers(&[("access-control-allow-origin", "*"), ("keep-alive", "x"), ("etag", "y")]);
        strip_answer(&mut answer);
        assert_eq!(shown(&answer), ["etag: y"]);
    }

    #[test]
    fn what_is_an_upgrade() {
        assert!(is_upgrade(&headers(&[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")])));
        assert!(!is_upgrade(&headers(&[("connection", "Upgrade")])));
        assert!(!is_upgrade(&headers(&[("upgrade", "websocket")])));
    }
}
