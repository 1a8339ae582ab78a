//! Ports that Services have on every node.

use std::collections::BTreeMap;

use api::{FieldError, Status};
use serde_json::Value;
use state::Guard;

use super::families::needs_health_port;
use super::ranges::{NodePorts, node_port_key, taken_port};
use super::{Companions, Holder, Spec, text};

/// The node ports that a Service holds, each once.
pub(super) fn of(spec: &Spec) -> Vec<u16> {
    let ports = spec.get("ports").and_then(Value::as_array).into_iter().flatten();
    let mut all: Vec<u16> = ports.filter_map(|port| given(port, "nodePort")).collect();
    if needs_health_port(spec) {
        all.extend(spec.get("healthCheckNodePort").and_then(number));
    }
    all.sort_unstable();
    all.dedup();
    all
}

fn number(value: &Value) -> Option<u16> {
    value.as_u64().and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0)
}

fn given(port: &Value, field: &str) -> Option<u16> {
    port.get(field).and_then(number)
}

/// Reserves what the Service asks for and did not hold before, and lets go what it held and holds no more.
pub(super) fn reserve(
    holder: &Holder<'_>,
    spec: &mut Spec,
    before: &Spec,
    wanted: &mut Companions,
) -> Result<(), Status> {
    let has_ports = matches!(text(spec, "type"), "NodePort" | "LoadBalancer");
    let held = of(before);
    let mut book = Book { holder, range: NodePorts::of(holder.state), held: &held, taken: Vec::new() };
    if has_ports {
        let allocates = spec.get("allocateLoadBalancerNodePorts") != Some(&Value::Bool(false));
        assign(&mut book, spec, allocates)?;
    }
    if needs_health_port(spec) {
        let port = match spec.get("healthCheckNodePort").and_then(number) {
            Some(port) => book
                .take(port)
                .map(|()| port)
                .map_err(|why| format!("failed to allocate requested HealthCheck NodePort {port}: {why}")),
            None => book
                .next()
                .ok_or_else(|| "failed to allocate a HealthCheck NodePort 0: range is full".to_owned()),
        };
        let port = port.map_err(|why| Status::internal(&why))?;
        spec.insert("healthCheckNodePort".to_owned(), port.into());
    }
    let new: Vec<u16> = book.taken.iter().copied().filter(|port| !held.contains(port)).collect();
    for port in new {
        wanted.guards.push(Guard::Absent { key: node_port_key(port) });
        wanted.writes.push(taken_port(port, holder.namespace, holder.name));
    }
    // A Service that has no node ports any more may still name them: what it was given is dropped with its type.
    let holds = if has_ports { of(spec) } else { Vec::new() };
    for port in held.iter().filter(|port| !holds.contains(port)) {
        wanted.remove(holder.state, node_port_key(*port));
    }
    Ok(())
}

/// Which ports are taken, by others or by this Service.
struct Book<'a> {
    holder: &'a Holder<'a>,
    range: NodePorts,
    held: &'a [u16],
    taken: Vec<u16>,
}

impl Book<'_> {
    fn is_taken(&self, port: u16) -> bool {
        self.taken.contains(&port) || self.holder.state.get(node_port_key(port).as_str()).is_some()
    }

    /// Takes a port that is asked for by number.
    fn take(&mut self, port: u16) -> Result<(), String> {
        if !self.held.contains(&port) {
            if port < self.range.first || port > self.range.last {
                let range = self.range;
                return Err(format!(
                    "provided port is not in the valid range. The range of valid ports is {range}"
                ));
            }
            if self.is_taken(port) {
                return Err("provided port is already allocated".to_owned());
            }
        }
        self.taken.push(port);
        Ok(())
    }

    fn next(&mut self) -> Option<u16> {
        let port = self.range.choose(|port| self.is_taken(port))?;
        self.taken.push(port);
        Some(port)
    }
}

/// Gives each port of the Service its node port. Ports of one number, for several protocols, share theirs.
fn assign(book: &mut Book<'_>, spec: &mut Spec, allocates: bool) -> Result<(), Status> {
    let Some(ports) = spec.get_mut("ports").and_then(Value::as_array_mut) else { return Ok(()) };
    let mut by_number: BTreeMap<u64, u16> = BTreeMap::new();
    for port in ports.iter() {
        if let (Some(service), Some(node)) =
            (port.get("port").and_then(Value::as_u64), given(port, "nodePort"))
        {
            by_number.entry(service).or_insert(node);
        }
    }
    for (at, port) in ports.iter_mut().enumerate() {
        let asked = given(port, "nodePort");
        if asked.is_none() && !allocates {
            continue;
        }
        let service = port.get("port").and_then(Value::as_u64).unwrap_or(0);
        let wanted = asked.or(by_number.get(&service).copied());
        let node = match wanted {
            Some(node) if book.taken.contains(&node) => node,
            Some(node) => {
                book.take(node).map_err(|why| {
                    let field = format!("spec.ports[{at}].nodePort");
                    book.holder.invalid(&[FieldError::invalid(&field, node, &why)])
                })?;
                node
            }
            None => {
                book.next().ok_or_else(|| Status::internal("failed to allocate a nodePort: range is full"))?
            }
        };
        by_number.entry(service).or_insert(node);
        port["nodePort"] = node.into();
    }
    Ok(())
}
