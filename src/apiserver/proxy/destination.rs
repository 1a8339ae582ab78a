//! Where a name of a proxy leads: `[scheme:]name[:port]` of a pod, a Service or a node.

use std::net::{IpAddr, SocketAddr};

use api::{Object, Resource, Status};
use serde_json::Value;
use state::State;

use super::unreachable;
use crate::dialer::{Agent, Place};

/// Ports where none is named.
const HTTP: u16 = 80;
const HTTPS: u16 = 443;

/// The parts of a name.
struct Named<'a> {
    is_tls: bool,
    name: &'a str,
    port: &'a str,
}

/// Finds the other end. `drawn` chooses among several.
///
/// # Errors
/// 400 for a name or an address that cannot be, 404 for what is not there, 503 where nobody answers.
pub(super) fn find(
    state: &State,
    row: &Resource,
    namespace: &str,
    id: &str,
    drawn: u64,
) -> Result<Place, Status> {
    let kind = row.kind.to_lowercase();
    let named = split(id).ok_or_else(|| Status::bad_request(format!("invalid {kind} request {id:?}")))?;
    match &*kind {
        "pod" => of_pod(state, namespace, &named),
        "service" => of_service(state, namespace, &named, drawn),
        _ => of_node(state, &named),
    }
}

fn split(id: &str) -> Option<Named<'_>> {
    let parts: Vec<&str> = id.split(':').collect();
    let (scheme, name, port) = match parts[..] {
        [name] => ("", name, ""),
        [name, port] => ("", name, port),
        [scheme, name, port] => (scheme, name, port),
        _ => return None,
    };
    let is_known = matches!(scheme, "" | "http" | "https") && !name.is_empty();
    is_known.then_some(Named { is_tls: scheme == "https", name, port })
}

/// An object of the core group.
fn read(state: &State, plural: &str, namespace: &str, name: &str) -> Result<Object, Status> {
    let row = Resource::builtin("", "v1", plural);
    let found = state.get(row.key(namespace, name).as_str());
    let found = found.ok_or_else(|| Status::not_found(row.group_resource(), name))?;
    Object::read(&found.bytes.to_bytes(), &row).map_err(|error| Status::internal(&error.to_string()))
}

fn of_pod(state: &State, namespace: &str, named: &Named<'_>) -> Result<Place, Status> {
    let pod = read(state, "pods", namespace, named.name)?;
    let containers = pod.spec().and_then(|spec| spec.get("containers")).and_then(Value::as_array);
    let ports = || containers.into_iter().flatten().filter_map(|one| one["ports"].as_array()).flatten();
    let port = match named.port {
        "" => ports().find_map(number).unwrap_or(if named.is_tls { HTTPS } else { HTTP }),
        text => match text.parse() {
            Ok(port) => port,
            Err(_) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                return Err(unreachable(&format!("dial tcp: address {text}: invalid port")));
            }
            Err(_) => {
                let of_name = ports().find(|port| port["name"] == text).and_then(number);
                of_name.ok_or_else(|| unreachable(&format!("dial tcp: lookup tcp/{text}: unknown port")))?
            }
        },
    };
    let address = addresses(&pod).next().filter(is_allowed);
    let address = address.ok_or_else(|| Status::bad_request("address not allowed"))?;
    behind(state, &pod, SocketAddr::new(address, port), named.is_tls)
}

fn number(port: &Value) -> Option<u16> {
    port["containerPort"].as_u64().and_then(|port| u16::try_from(port).ok())
}

fn addresses(pod: &Object) -> impl Iterator<Item = IpAddr> {
    let status = pod.fields.get("status").unwrap_or(&Value::Null);
    let all = status["podIPs"].as_array().into_iter().flatten();
    all.filter_map(|one| one["ip"].as_str()?.parse().ok())
}

/// What Go calls a global unicast address: nothing that leads back to whoever asks.
fn is_allowed(address: &IpAddr) -> bool {
    let is_link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !(address.is_unspecified() || address.is_loopback() || address.is_multicast() || is_link_local)
}

fn behind(state: &State, pod: &Object, to: SocketAddr, is_tls: bool) -> Result<Place, Status> {
    let agent = Agent::of(state, pod.text(&["spec", "nodeName"]));
    Ok(Place::Behind(agent.map_err(|error| unreachable(error.reason()))?, to, is_tls))
}

fn of_service(state: &State, namespace: &str, named: &Named<'_>, drawn: u64) -> Result<Place, Status> {
    let Named { name, port, is_tls } = *named;
    let wanted = match port.parse::<u64>() {
        Err(_) => port.to_owned(),
        Ok(number) => {
            let service = read(state, "services", namespace, name)?;
            let ports = service.spec().and_then(|spec| spec.get("ports")).and_then(Value::as_array);
            let found = ports.into_iter().flatten().find(|port| port["port"] == number);
            let missing = || format!("no service port {number} found for service {name:?}");
            let found = found.ok_or_else(|| Status::unavailable(missing()))?;
            found["name"].as_str().unwrap_or_default().to_owned()
        }
    };
    let candidates: Vec<(Object, SocketAddr)> = slices(state, namespace, name)
        .iter()
        .flat_map(|slice| ready(state, namespace, slice, &wanted))
        .collect();
    let at = usize::try_from(drawn % candidates.len().max(1) as u64).unwrap_or(0);
    let Some((pod, to)) = candidates.get(at) else {
        return Err(Status::unavailable(format!("no endpoints available for service {name:?}")));
    };
    behind(state, pod, *to, is_tls)
}

fn slices(state: &State, namespace: &str, service: &str) -> Vec<Object> {
    let row = Resource::builtin("discovery.k8s.io", "v1", "endpointslices");
    let prefix = row.prefix(namespace);
    let all = state.range(&prefix);
    let ours = all.filter(|found| found.labels().get("kubernetes.io/service-name") == Some(service));
    ours.filter_map(|found| Object::read(&found.bytes.to_bytes(), &row).ok()).collect()
}

/// The ready endpoints of a slice that are pods, with where the port leads.
fn ready(state: &State, namespace: &str, slice: &Object, port: &str) -> Vec<(Object, SocketAddr)> {
    let list = |name: &str| slice.fields.get(name).and_then(Value::as_array).into_iter().flatten();
    let named = list("ports").find(|one| one["name"].as_str().unwrap_or_default() == port);
    let number = named.and_then(|one| one["port"].as_u64()).and_then(|port| u16::try_from(port).ok());
    let Some(number) = number else { return Vec::new() };
    let is_ready = |endpoint: &&Value| endpoint["conditions"]["ready"] != false;
    let pod = |endpoint: &Value| {
        let to: IpAddr = endpoint["addresses"][0].as_str()?.parse().ok()?;
        let target = &endpoint["targetRef"];
        let pod = read(state, "pods", namespace, target["name"].as_str()?).ok()?;
        // Whoever may write endpoints reaches pods of the namespace, and nothing else.
        let is_ours = target["namespace"] == namespace && addresses(&pod).any(|address| address == to);
        (is_ours && is_allowed(&to)).then(|| (pod, SocketAddr::new(to, number)))
    };
    list("endpoints").filter(is_ready).filter_map(pod).collect()
}

fn of_node(state: &State, named: &Named<'_>) -> Result<Place, Status> {
    read(state, "nodes", "", named.name)?;
    let agent = Agent::of(state, named.name).map_err(|error| unreachable(error.reason()))?;
    let address = agent.address();
    if !is_allowed(&address.ip()) {
        return Err(Status::bad_request("address not allowed"));
    }
    if named.port.is_empty() || named.port.parse() == Ok(address.port()) {
        return Ok(Place::Agent(agent));
    }
    let invalid = |_| unreachable(&format!("dial tcp: lookup tcp/{}: unknown port", named.port));
    let port = named.port.parse().map_err(invalid)?;
    Ok(Place::Behind(agent, SocketAddr::new(address.ip(), port), named.is_tls))
}
