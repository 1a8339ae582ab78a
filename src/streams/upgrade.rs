//! The HTTP/1.1 exchange before a connection stops being HTTP.

use bytes::Bytes;
use http::header::{CONNECTION, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::{Response, StatusCode};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// What SPDY is called when it is asked for.
pub(crate) const SPDY: &str = "SPDY/3.1";
/// What WebSocket is called when it is asked for.
pub(crate) const WEB_SOCKET: &str = "websocket";
/// Which protocols may be spoken over SPDY, and which one is.
pub(crate) const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("x-stream-protocol-version");
/// Which protocols the server would have spoken.
const ACCEPTED_VERSIONS: HeaderName = HeaderName::from_static("x-accepted-stream-protocol-versions");

/// Why a request is not upgraded, and what to answer instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The answer's status.
    pub status: StatusCode,
    /// The reason, as Kubernetes words it.
    pub message: String,
    /// What would have been accepted.
    accepted: &'static [&'static str],
}

impl Refusal {
    /// Any other.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), accepted: &[] }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// The answer as plain text.
    pub fn into_response(self) -> Response<Bytes> {
        let mut response = Response::new(Bytes::from(self.message + "\n"));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        for version in self.accepted {
            headers.append(ACCEPTED_VERSIONS, HeaderValue::from_static(version));
        }
        response
    }
}

/// What a client wants to go over to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Spdy,
    WebSocket,
}

/// Whether a request asks for an upgrade, to whatever.
pub(crate) fn asked(headers: &HeaderMap) -> Result<(), Refusal> {
    let is_upgrade = list(headers, &CONNECTION).iter().any(|word| word.eq_ignore_ascii_case("upgrade"));
    let is_asked = is_upgrade && !list(headers, &UPGRADE).is_empty();
    is_asked.then_some(()).ok_or_else(|| Refusal::bad_request("Upgrade request required"))
}

pub(crate) fn wanted(headers: &HeaderMap) -> Result<Wanted, Refusal> {
    let upgrade = list(headers, &UPGRADE);
    let is_upgrade = list(headers, &CONNECTION).iter().any(|word| word.eq_ignore_ascii_case("upgrade"));
    if is_upgrade && upgrade.iter().any(|name| name.eq_ignore_ascii_case(WEB_SOCKET)) {
        Ok(Wanted::WebSocket)
    } else if is_upgrade && upgrade.iter().any(|name| name.eq_ignore_ascii_case(SPDY)) {
        Ok(Wanted::Spdy)
    } else {
        Err(Refusal::bad_request("Upgrade request required"))
    }
}

/// Agrees on the first protocol of the client's that is among `supported`. A client that names none gets
/// the one called "", where that is supported.
pub(crate) fn web_socket(
    headers: &HeaderMap,
    supported: &[&'static str],
) -> Result<(&'static str, Response<Bytes>), Refusal> {
    let Some(key) = headers.get("sec-websocket-key") else {
        return Err(Refusal::bad_request("missing or bad WebSocket key"));
    };
    if headers.get("sec-websocket-version").is_none_or(|version| version != "13") {
        return Err(Refusal::bad_request("missing or bad WebSocket version"));
    }
    let mut offered = list(headers, &SEC_WEBSOCKET_PROTOCOL);
    if offered.is_empty() {
        offered.push("");
    }
    let Some(chosen) = first_common(&offered, supported) else {
        let (offered, supported) = (go_list(&offered), go_list(supported));
        let why = format!("requested protocol(s) are not supported: {offered}; supports {supported}");
        return Err(Refusal::new(StatusCode::FORBIDDEN, why));
    };
    let mut response = switching(WEB_SOCKET);
    let accept = HeaderValue::try_from(derive_accept_key(key.as_bytes()));
    let accept = accept.map_err(|_| Refusal::bad_request("missing or bad WebSocket key"))?;
    response.headers_mut().insert("sec-websocket-accept", accept);
    if !chosen.is_empty() {
        response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(chosen));
    }
    Ok((chosen, response))
}

/// Agrees on what is spoken over SPDY: the first protocol of the client's that is among `supported`.
pub(crate) fn spdy(
    headers: &HeaderMap,
    supported: &'static [&'static str],
) -> Result<(&'static str, Response<Bytes>), Refusal> {
    if !headers.contains_key(PROTOCOL_VERSION) {
        let (name, count) = ("X-Stream-Protocol-Version", headers.keys_len());
        let why = format!("unable to upgrade: header {name} does not exist in request with {count} headers");
        return Err(Refusal::bad_request(why));
    }
    let offered = list(headers, &PROTOCOL_VERSION);
    let Some(chosen) = first_common(&offered, supported) else {
        let (offered, accepts) = (go_list(&offered), go_list(supported));
        let message = format!(
            "unable to upgrade: unable to negotiate protocol: client supports {offered}, server accepts {accepts}"
        );
        return Err(Refusal { status: StatusCode::FORBIDDEN, message, accepted: supported });
    };
    let mut response = switching(SPDY);
    response.headers_mut().insert(PROTOCOL_VERSION, HeaderValue::from_static(chosen));
    Ok((chosen, response))
}

fn switching(to: &'static str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static(to));
    response
}

/// The words of a header that lists them, over all its lines.
fn list<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Vec<&'a str> {
    let lines = headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|word| !word.is_empty()).collect()
}

fn first_common(offered: &[&str], supported: &[&'static str]) -> Option<&'static str> {
    offered.iter().find_map(|wanted| supported.iter().find(|known| *known == wanted).copied())
}

/// A list as Kubernetes prints it.
fn go_list(words: &[&str]) -> String {
    format!("[{}]", words.join(" "))
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    const KEY: (&str, &str) = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    const VERSION: (&str, &str) = ("sec-websocket-version", "13");
    const PROTOCOL: &str = "sec-websocket-protocol";

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let lines = lines
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, value);
        }
        headers
    }

    #[track_caller]
    fn check(agreed: Result<(&'static str, Response<Bytes>), Refusal>, expected: Expect) {
        let response = agreed.map_or_else(Refusal::into_response, |(_, response)| response);
        let mut shown = format!("{}\n", response.status());
        for (name, value) in response.headers() {
            shown += &format!("{name}: {}\n", value.to_str().expect("text"));
        }
        shown += &String::from_utf8_lossy(response.body());
        expected.assert_eq(&shown);
    }

    #[test]
    fn a_request_says_what_it_wants_to_go_over_to() {
        let check = |connection, upgrade, expected: Result<Wanted, &str>| {
            let found = wanted(&headers(&[("connection", connection), ("upgrade", upgrade)]));
            assert_eq!(
                found.map_err(|refusal| refusal.message).as_ref(),
                expected.map_err(str::to_owned).as_ref()
            );
        };
        check("Upgrade", "SPDY/3.1", Ok(Wanted::Spdy));
        check("keep-alive, upgrade", "WebSocket", Ok(Wanted::WebSocket));
        check("Upgrade", "h2c", Err("Upgrade request required"));
        check("keep-alive", "SPDY/3.1", Err("Upgrade request required"));
    }

    #[test]
    fn web_sockets_agree_on_the_clients_first_choice() {
        let supported = &["", "v4.channel.k8s.io", "v5.channel.k8s.io"];
        let check = |lines: &[_], expected| check(web_socket(&headers(lines), supported), expected);
        check(
            &[KEY, VERSION, (PROTOCOL, "other, v5.channel.k8s.io"), (PROTOCOL, "v4.channel.k8s.io")],
            expect![[r#"
                101 Switching Protocols
                connection: Upgrade
                upgrade: websocket
                sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=
                sec-websocket-protocol: v5.channel.k8s.io
            "#]],
        );
        check(
            &[KEY, VERSION],
            expect![[r#"
                101 Switching Protocols
                connection: Upgrade
                upgrade: websocket
                sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=
            "#]],
        );
        check(
            &[KEY, VERSION, (PROTOCOL, "v6.channel.k8s.io")],
            expect![[r#"
                403 Forbidden
                content-type: text/plain; charset=utf-8
                requested protocol(s) are not supported: [v6.channel.k8s.io]; supports [ v4.channel.k8s.io v5.channel.k8s.io]
            "#]],
        );
        check(
            &[KEY, ("sec-websocket-version", "8")],
            expect![[r#"
                400 Bad Request
                content-type: text/plain; charset=utf-8
                missing or bad WebSocket version
            "#]],
        );
    }

    #[test]
    fn spdy_needs_a_protocol() {
        let name = "x-stream-protocol-version";
        let check = |lines: &[_], expected| {
            check(spdy(&headers(lines), &["v4.channel.k8s.io", "channel.k8s.io"]), expected);
        };
        check(
            &[(name, "v9.channel.k8s.io"), (name, "channel.k8s.io"), (name, "v4.channel.k8s.io")],
            expect![[r#"
                101 Switching Protocols
                connection: Upgrade
                upgrade: SPDY/3.1
                x-stream-protocol-version: channel.k8s.io
            "#]],
        );
        check(
            &[(name, "v9.channel.k8s.io")],
            expect![[r#"
                403 Forbidden
                content-type: text/plain; charset=utf-8
                x-accepted-stream-protocol-versions: v4.channel.k8s.io
                x-accepted-stream-protocol-versions: channel.k8s.io
                unable to upgrade: unable to negotiate protocol: client supports [v9.channel.k8s.io], server accepts [v4.channel.k8s.io channel.k8s.io]
            "#]],
        );
        check(
            &[("host", "node")],
            expect![[r#"
                400 Bad Request
                content-type: text/plain; charset=utf-8
                unable to upgrade: header X-Stream-Protocol-Version does not exist in request with 1 headers
            "#]],
        );
    }
}
