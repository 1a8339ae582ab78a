//! Which ports a command line means: those of a pod, or of a Service as the pod knows them.

use serde_json::Value;

use crate::manifest::name;
use crate::workload::items;

/// A port here and the port in the pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forwarded {
    /// 0: any that is free.
    pub local: u16,
    /// The pod's.
    pub remote: u16,
}

/// Reads PORT, LOCAL:REMOTE and :REMOTE.
///
/// # Errors
/// When one is none, or names what neither has.
pub fn parse(given: &[String], service: Option<&Value>, pod: &Value) -> Result<Vec<Forwarded>, String> {
    given.iter().map(|text| one(text, service, pod)).collect()
}

fn one(text: &str, service: Option<&Value>, pod: &Value) -> Result<Forwarded, String> {
    let parts: Vec<&str> = text.split(':').collect();
    let (local, remote) = match parts[..] {
        [port] => (None, port),
        [local, remote] => (Some(local), remote),
        _ => return Err(format!("invalid port format '{text}'")),
    };
    if remote.is_empty() {
        return Err("remote port cannot be empty".to_owned());
    }
    // The number by which it is asked for, and the pod's.
    let (asked, remote) = match service {
        Some(service) => of_service(remote, service, pod)?,
        None => of_pod(remote, pod).map(|port| (port, port))?,
    };
    if remote == 0 {
        return Err("remote port must be > 0".to_owned());
    }
    let local = match local {
        Some("") => 0,
        Some(local) => {
            local.parse().map_err(|error| format!("error parsing local port '{local}': {error}"))?
        }
        None => asked,
    };
    Ok(Forwarded { local, remote })
}

fn number(port: &Value) -> Option<u16> {
    port.as_u64().and_then(|port| u16::try_from(port).ok())
}

/// The ports of a pod's containers.
fn declared(pod: &Value) -> impl Iterator<Item = &Value> {
    items(&pod["spec"]["containers"]).iter().flat_map(|container| items(&container["ports"]))
}

fn of_pod(remote: &str, pod: &Value) -> Result<u16, String> {
    let port = match remote.parse::<u16>() {
        Ok(port) => port,
        Err(_) => named(remote, pod)?,
    };
    let mut its = declared(pod).filter(|one| number(&one["containerPort"]) == Some(port)).peekable();
    if its.peek().is_some() && its.all(|one| one["protocol"] == "UDP") {
        return Err(format!("UDP protocol is not supported for {remote}"));
    }
    Ok(port)
}

fn named(wanted: &str, pod: &Value) -> Result<u16, String> {
    let found = declared(pod).find(|one| one["name"] == wanted);
    found
        .and_then(|one| number(&one["containerPort"]))
        .ok_or_else(|| format!("Pod '{}' does not have a named port '{wanted}'", name(pod)))
}

fn of_service(remote: &str, service: &Value, pod: &Value) -> Result<(u16, u16), String> {
    let all = items(&service["spec"]["ports"]);
    let asked = match remote.parse::<u16>() {
        Ok(port) => port,
        Err(_) => all
            .iter()
            .find(|one| one["name"] == remote)
            .and_then(|one| number(&one["port"]))
            .ok_or_else(|| format!("Service '{}' does not have a named port '{remote}'", name(service)))?,
    };
    let its: Vec<&Value> = all.iter().filter(|one| number(&one["port"]) == Some(asked)).collect();
    let Some(first) = its.first() else {
        return Err(format!("Service {} does not have a service port {asked}", name(service)));
    };
    let Some(port) = its.iter().find(|one| one["protocol"] != "UDP") else {
        return Err(format!("UDP protocol is not supported for {remote}"));
    };
    // Behind a Service without an address stand the pods themselves.
    if service["spec"]["clusterIP"] == "None" {
        return Ok((asked, asked));
    }
    let target = &port["targetPort"];
    match (target.as_str(), number(target)) {
        (Some(target), _) => Ok((asked, named(target, pod)?)),
        (None, Some(port)) if port > 0 => Ok((asked, port)),
        _ => Ok((asked, number(&first["port"]).unwrap_or(asked))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ports_are_numbers_and_names() {
        let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"ports": [
            {"name": "http", "containerPort": 8080}, {"name": "dns", "containerPort": 53, "protocol": "UDP"},
        ]}]}});
        let service = json!({"metadata": {"name": "s"}, "spec": {"clusterIP": "10.0.0.1", "ports": [
            {"name": "web", "port": 80, "targetPort": "http", "protocol": "TCP"},
            {"name": "tls", "port": 443, "targetPort": 8443, "protocol": "TCP"},
            {"name": "dns", "port": 53, "targetPort": 53, "protocol": "UDP"},
            {"name": "lost", "port": 9, "targetPort": "gone", "protocol": "TCP"},
        ]}});
        let mut headless = service.clone();
        headless["spec"]["clusterIP"] = json!("None");
        let port = |local, remote| Ok(Forwarded { local, remote });
        let error = |why: &str| Err(why.to_owned());
        let cases = [
            ("80", None, port(80, 80)),
            ("8000:80", None, port(8000, 80)),
            (":80", None, port(0, 80)),
            ("http", None, port(8080, 8080)),
            ("1:http", None, port(1, 8080)),
            ("80:", None, error("remote port cannot be empty")),
            ("1:2:3", None, error("invalid port format '1:2:3'")),
            ("0", None, error("remote port must be > 0")),
            ("x:80", None, error("error parsing local port 'x': invalid digit found in string")),
            ("dns", None, error("UDP protocol is not supported for dns")),
            ("none", None, error("Pod 'p' does not have a named port 'none'")),
            ("80", Some(&service), port(80, 8080)),
            ("web", Some(&service), port(80, 8080)),
            (":tls", Some(&service), port(0, 8443)),
            ("443", Some(&headless), port(443, 443)),
            ("53", Some(&service), error("UDP protocol is not supported for 53")),
            ("81", Some(&service), error("Service s does not have a service port 81")),
            ("none", Some(&service), error("Service 's' does not have a named port 'none'")),
            ("lost", Some(&service), error("Pod 'p' does not have a named port 'gone'")),
        ];
        for (text, service, expected) in cases {
            assert_eq!(one(text, service, &pod), expected, "{text}");
        }
    }
}
