//! Runs probes and hooks: in the container, or over the network.

use std::time::Duration;

use base::env;
use futures::StreamExt;
use k8s_openapi::api::core::v1::{ExecAction, GRPCAction, HTTPGetAction, LifecycleHandler, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::engine::{ContainerEngine, EngineError, Output, SessionOptions};
use crate::limits::{PROBE_OUTPUT_BYTES_MAX, REDIRECTS_MAX};
use crate::pod::{Member, PodKey};
use crate::reach::{Health, HttpCall, Reach, authority};

/// Whom a probe or a hook is about.
pub(crate) struct Target<'a> {
    pub(crate) engine: &'a dyn ContainerEngine,
    pub(crate) reach: &'a dyn Reach,
    pub(crate) pod: &'a PodKey,
    pub(crate) member: &'a Member,
    /// The engine's id.
    pub(crate) id: &'a str,
    pub(crate) pod_ip: &'a str,
}

/// What a probe said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ProbeResult {
    Success,
    /// Well, but for this.
    Warning(String),
    Failure(String),
    /// It could not be made.
    Errored(String),
}

/// What a failed exec says of its end.
enum ExecEnd {
    Code(i32, String),
    Broken(EngineError),
}

/// Makes one probe.
pub(crate) async fn probe(target: &Target<'_>, probe: &Probe) -> ProbeResult {
    let seconds = u64::try_from(probe.timeout_seconds.unwrap_or(1)).unwrap_or(1).max(1);
    let limit = Duration::from_secs(seconds);
    let called = match (&probe.exec, &probe.http_get, &probe.tcp_socket) {
        (Some(action), _, _) => env::timeout(limit, probe_exec(target, action)).await.map_err(|_| {
            let command = action.command.clone().unwrap_or_default().join(" ");
            format!("command timed out: {command:?} timed out after {seconds}s")
        }),
        (_, Some(action), _) => match http_call(target, action) {
            Ok(call) => {
                let url = call.url();
                env::timeout(limit, probe_http(target, call)).await.map_err(|_| {
                    format!(
                        "Get {url:?}: context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
                    )
                })
            }
            Err(error) => Ok(ProbeResult::Errored(error)),
        },
        (_, _, Some(action)) => match port(target.member, &action.port) {
            Ok(port) => {
                let host = action.host.as_deref().filter(|host| !host.is_empty()).unwrap_or(target.pod_ip);
                let dialled = env::timeout(limit, target.reach.connect(host, port)).await;
                dialled
                    .map(|opened| opened.map_or_else(ProbeResult::Failure, |()| ProbeResult::Success))
                    .map_err(|_| format!("dial tcp {}: i/o timeout", authority(host, port)))
            }
            Err(error) => Ok(ProbeResult::Errored(error)),
        },
        _ if probe.grpc.is_some() => Ok(probe_grpc(target, probe.grpc.as_ref(), limit).await),
        _ => {
            let (pod, name) = (target.pod, target.member.name());
            Ok(ProbeResult::Errored(format!("missing probe handler for {pod}:{name}")))
        }
    };
    called.unwrap_or_else(ProbeResult::Failure)
}

async fn probe_exec(target: &Target<'_>, action: &ExecAction) -> ProbeResult {
    match exec(target, action).await {
        ExecEnd::Code(0, _) => ProbeResult::Success,
        ExecEnd::Code(_, output) => ProbeResult::Failure(output),
        ExecEnd::Broken(error) => ProbeResult::Errored(error.to_string()),
    }
}

async fn probe_http(target: &Target<'_>, mut call: HttpCall) -> ProbeResult {
    for _ in 0..=REDIRECTS_MAX {
        let answer = match target.reach.get(&call).await {
            Ok(answer) => answer,
            Err(error) => return ProbeResult::Failure(error),
        };
        match (answer.code, answer.location.as_deref()) {
            (300..400, Some(location)) => match redirected(&call, location) {
                Some(next) => call = next,
                // Elsewhere is none of ours to judge.
                None => {
                    let text = format!("Probe terminated redirects, Response body: {}", answer.body);
                    return ProbeResult::Warning(text);
                }
            },
            (200..400, _) => return ProbeResult::Success,
            (code, _) => {
                return ProbeResult::Failure(format!("HTTP probe failed with statuscode: {code}"));
            }
        }
    }
    ProbeResult::Failure(format!("Get {:?}: stopped after {REDIRECTS_MAX} redirects", call.url()))
}

/// `HealthCheckResponse.ServingStatus` by number.
const SERVING_STATUSES: [&str; 4] = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];

/// The names of gRPC's codes, by number.
const GRPC_CODES: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

async fn probe_grpc(target: &Target<'_>, action: Option<&GRPCAction>, limit: Duration) -> ProbeResult {
    let Some(action) = action else { return ProbeResult::Success };
    let Some(port) = u16::try_from(action.port).ok().filter(|port| *port > 0) else {
        return ProbeResult::Errored(format!("invalid port number: {}", action.port));
    };
    let service = action.service.as_deref().unwrap_or_default();
    let seconds = limit.as_secs();
    ProbeResult::Failure(match target.reach.health(target.pod_ip, port, service, limit).await {
        Health::Answered(1) => return ProbeResult::Success,
        Health::Answered(status) => {
            let name = usize::try_from(status).ok().and_then(|index| SERVING_STATUSES.get(index));
            let name = name.map_or_else(|| status.to_string(), |name| (*name).to_owned());
            format!("service unhealthy (responded with {name:?})")
        }
        Health::NotConnected => format!(
            "timeout: failed to connect service {:?} within {seconds}s: context deadline exceeded",
            authority(target.pod_ip, port)
        ),
        Health::TimedOut => format!("timeout: health rpc did not complete within {seconds}s"),
        Health::Refused { code: 4, .. } => format!("timeout: health rpc did not complete within {seconds}s"),
        Health::Refused { code: 12, message } => format!(
            "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): {message}"
        ),
        Health::Refused { code, message } => {
            let name = usize::try_from(code).ok().and_then(|index| GRPC_CODES.get(index));
            let name = name.map_or_else(|| format!("Code({code})"), |name| (*name).to_owned());
            format!("error: health rpc probe failed: rpc error: code = {name} desc = {message}")
        }
    })
}

/// The call to where an answer leads, if that is the same host.
fn redirected(call: &HttpCall, location: &str) -> Option<HttpCall> {
    let same = |path: &str| Some(HttpCall { path: path.to_owned(), ..call.clone() });
    let (rest, is_tls) = match (location.strip_prefix("http://"), location.strip_prefix("https://")) {
        (Some(rest), _) => (rest, false),
        (_, Some(rest)) => (rest, true),
        _ if location.starts_with('/') => return same(location),
        _ => return None,
    };
    let (place, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let default = if is_tls { 443 } else { 80 };
    let bracketed = if call.host.contains(':') { format!("[{}]", call.host) } else { call.host.clone() };
    let port = match place.strip_prefix(&bracketed)? {
        "" => default,
        port => port.strip_prefix(':')?.parse().ok()?,
    };
    let path = if path.is_empty() { "/" } else { path };
    Some(HttpCall { port, is_tls, path: path.to_owned(), ..call.clone() })
}

/// Runs a hook to its end. The error is for the status of the container.
pub(crate) async fn hook(target: &Target<'_>, handler: &LifecycleHandler) -> Result<(), String> {
    let (pod, name) = (target.pod, target.member.name());
    if let Some(action) = &handler.exec {
        let (error, output) = match exec(target, action).await {
            ExecEnd::Code(0, _) => return Ok(()),
            ExecEnd::Code(code, output) => (format!("command terminated with exit code {code}"), output),
            ExecEnd::Broken(error) => (error.to_string(), String::new()),
        };
        let command = action.command.clone().unwrap_or_default().join(" ");
        return Err(format!(
            "Exec lifecycle hook ([{command}]) for Container \"{name}\" in Pod \"{pod}\" failed - \
             error: {error}, message: {output:?}"
        ));
    }
    if let Some(action) = &handler.http_get {
        let answered = match http_call(target, action) {
            Ok(call) => target.reach.get(&call).await,
            Err(error) => Err(error),
        };
        // Any answer is one: only a call that failed fails the hook.
        return answered.map(drop).map_err(|error| {
            let path = action.path.as_deref().unwrap_or("/");
            format!("HTTP lifecycle hook ({path}) for Container \"{name}\" in Pod \"{pod}\" failed - error: {error}")
        });
    }
    if let Some(sleep) = &handler.sleep {
        env::sleep(Duration::from_secs(u64::try_from(sleep.seconds).unwrap_or(0))).await;
    }
    Ok(())
}

async fn exec(target: &Target<'_>, action: &ExecAction) -> ExecEnd {
    let command = action.command.clone().unwrap_or_default();
    let options = SessionOptions { command, stdout: true, stderr: true, ..SessionOptions::default() };
    let mut session = match target.engine.exec(target.id, options).await {
        Ok(session) => session,
        Err(error) => return ExecEnd::Broken(error),
    };
    let mut output = Vec::new();
    while let Some(piece) = session.output.next().await {
        match piece {
            Ok(Output::Stdout(bytes) | Output::Stderr(bytes)) => {
                let room = PROBE_OUTPUT_BYTES_MAX.saturating_sub(output.len());
                output.extend_from_slice(&bytes[..bytes.len().min(room)]);
            }
            Err(error) => return ExecEnd::Broken(error),
        }
    }
    let output = String::from_utf8_lossy(&output).into_owned();
    match session.control.exit_code().await {
        Ok(Some(code)) => ExecEnd::Code(code, output),
        Ok(None) => {
            ExecEnd::Broken(EngineError::Refused("the engine shows no exit code of the command".to_owned()))
        }
        Err(error) => ExecEnd::Broken(error),
    }
}

fn http_call(target: &Target<'_>, action: &HTTPGetAction) -> Result<HttpCall, String> {
    let path = action.path.as_deref().unwrap_or("/");
    let headers = action.http_headers.iter().flatten();
    Ok(HttpCall {
        host: action.host.clone().filter(|host| !host.is_empty()).unwrap_or_else(|| target.pod_ip.to_owned()),
        port: port(target.member, &action.port)?,
        is_tls: action.scheme.as_deref() == Some("HTTPS"),
        path: if path.starts_with('/') { path.to_owned() } else { format!("/{path}") },
        headers: headers.map(|header| (header.name.clone(), header.value.clone())).collect(),
    })
}

/// A port by number, or by its name in the container.
fn port(member: &Member, port: &IntOrString) -> Result<u16, String> {
    let number = match port {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(name) => {
            let mut ports = member.container.ports.iter().flatten();
            let named = ports.find(|port| port.name.as_deref() == Some(name));
            named.map(|port| port.container_port).or_else(|| name.parse().ok())
        }
    };
    let valid = number.and_then(|number| u16::try_from(number).ok()).filter(|number| *number > 0);
    valid.ok_or_else(|| match port {
        IntOrString::Int(number) => format!("invalid port number: {number}"),
        IntOrString::String(name) => format!("couldn't find port: {name:?} in container {}", member.name()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_is_followed_on_its_own_host_alone() {
        let call = |host: &str| HttpCall {
            host: host.to_owned(),
            port: 8080,
            is_tls: false,
            path: "/from".to_owned(),
            headers: Vec::new(),
        };
        let to = |host: &str, location: &str| redirected(&call(host), location).map(|call| call.url());
        let urls = [
            to("10.0.0.1", "/here"),
            to("10.0.0.1", "http://10.0.0.1:81/there?x=1"),
            to("10.0.0.1", "https://10.0.0.1"),
            to("fd00::1", "https://[fd00::1]:8443/"),
        ];
        let expected = [
            "http://10.0.0.1:8080/here",
            "http://10.0.0.1:81/there?x=1",
            "https://10.0.0.1:443/",
            "https://[fd00::1]:8443/",
        ];
        assert_eq!(urls.map(Option::unwrap_or_default), expected);
        for elsewhere in ["http://10.0.0.11/", "https://example.org/", "ftp://10.0.0.1/", "there"] {
            assert_eq!(to("10.0.0.1", elsewhere), None, "{elsewhere}");
        }
    }
}
