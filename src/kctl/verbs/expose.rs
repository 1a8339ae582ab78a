//! `kctl expose`

use serde_json::{Map, Value, json};

use super::written::Report;
use crate::catalog::Kind;
use crate::failure::{Failure, Tally};
use crate::flags::{DryRun, Files, Select, Writing};
use crate::manifest;
use crate::screen::Screen;
use crate::server::Server;
use crate::targets::{self, Given, Target, objects};
use crate::workload::items;

/// Which objects, and how.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// TYPE NAME... or TYPE/NAME...
    words: Vec<String>,
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    writing: Writing,
    /// The ports to serve on, with commas between [default: those of the object].
    #[arg(long, default_value = "", hide_default_value = true, value_name = "PORTS")]
    port: String,
    /// The pods' port, by number or by name [default: the same].
    #[arg(long, default_value = "", hide_default_value = true, value_name = "PORT")]
    target_port: String,
    /// TCP, UDP or SCTP [default: the object's, else TCP].
    #[arg(long, default_value = "", hide_default_value = true, value_name = "PROTOCOL")]
    protocol: String,
    /// ClusterIP, NodePort, LoadBalancer or ExternalName [default: ClusterIP].
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TYPE")]
    r#type: String,
    /// The Service's name [default: the object's].
    #[arg(long, default_value = "", hide_default_value = true)]
    name: String,
    /// Which pods serve: a=b,c=d [default: the object's].
    #[arg(long, default_value = "", hide_default_value = true, value_name = "LABELS")]
    selector: String,
    /// The Service's labels: a=b,c=d [default: the object's].
    #[arg(short, long, default_value = "", hide_default_value = true)]
    labels: String,
    /// An address from outside that leads here.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "ADDRESS")]
    external_ip: String,
    /// The Service's address; None: it has none.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "ADDRESS")]
    cluster_ip: String,
    /// None, or ClientIP: a client stays with its pod.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "HOW")]
    session_affinity: String,
    /// Who writes.
    #[arg(long, default_value = "kctl-expose", value_name = "NAME")]
    field_manager: String,
}

/// How long a Service's name may be.
const NAME_MAX: usize = 63;

/// What has pods, or leads to some.
const KINDS: &[(&str, &str)] = &[
    ("", "Pod"),
    ("", "ReplicationController"),
    ("", "Service"),
    ("apps", "Deployment"),
    ("apps", "ReplicaSet"),
];

/// Runs the verb.
pub async fn run(args: &Args, server: &Server, screen: Screen) -> Result<(), Failure> {
    let select = Select::default();
    let given = Given { words: &args.words, files: &args.files, select: &select, all: false };
    let mut report = Report::new(&args.writing, screen)?;
    let mut tally = Tally::default();
    for target in objects(given, server).await? {
        let outcome = one(args, &target, server).await;
        if let Some((service, object)) = tally.take(outcome)? {
            report.add(&service, "exposed", object)?;
        }
    }
    report.close()?;
    tally.close()
}

async fn one(args: &Args, target: &Target, server: &Server) -> Result<(Target, Value), Failure> {
    let exposed = target.read(server).await?;
    let mut object = service(args, &target.kind, &exposed).map_err(Failure::Refused)?;
    let kind = server.catalog.of_object("v1", "Service")?;
    object["metadata"]["namespace"] = json!(target.namespace);
    let name = manifest::name(&object).to_owned();
    let service = Target { name, ..Target::all(&kind, &target.namespace) };
    if args.writing.dry_run == DryRun::Client {
        return Ok((service, object));
    }
    let query = [("fieldManager", args.field_manager.as_str()), ("dryRun", args.writing.dry_run.query())];
    let created = targets::create(server, &service, &object, &query).await?;
    Ok((service, created))
}

/// The Service for an object.
fn service(args: &Args, kind: &Kind, exposed: &Value) -> Result<Value, String> {
    if !KINDS.contains(&(kind.group.as_str(), kind.kind.as_str())) {
        return Err(format!("cannot expose a {}", kind.group_kind()));
    }
    let selector = if args.selector.is_empty() {
        let why = |why| format!("couldn't retrieve selectors via --selector flag or introspection: {why}");
        selector(kind, exposed).map_err(why)?
    } else {
        labels(&args.selector)?
    };
    let protocols = protocols(kind, exposed);
    let wanted: Vec<&str> = match args.port.as_str() {
        "" => protocols.iter().map(|(port, _)| port.as_str()).collect(),
        ports => ports.split(',').collect(),
    };
    if wanted.is_empty() && args.cluster_ip != "None" {
        return Err("couldn't find port via --port flag or introspection".to_owned());
    }
    let labels = match args.labels.as_str() {
        "" => exposed["metadata"]["labels"].as_object().cloned().unwrap_or_default(),
        text => labels(text)?,
    };
    let name = match args.name.as_str() {
        "" => manifest::name(exposed).chars().take(NAME_MAX).collect(),
        name => name.to_owned(),
    };
    let ports = ports(args, &wanted, &protocols)?;
    let mut service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
        "spec": {"selector": selector, "ports": ports},
    });
    if !labels.is_empty() {
        service["metadata"]["labels"] = labels.into();
    }
    if !["", "None", "ClientIP"].contains(&args.session_affinity.as_str()) {
        return Err(format!("unknown session affinity: {}", args.session_affinity));
    }
    let fields = [
        ("type", &args.r#type),
        ("clusterIP", &args.cluster_ip),
        ("sessionAffinity", &args.session_affinity),
    ];
    for (field, value) in fields.into_iter().filter(|(_, value)| !value.is_empty()) {
        service["spec"][field] = json!(value);
    }
    if !args.external_ip.is_empty() {
        service["spec"]["externalIPs"] = json!([args.external_ip]);
    }
    Ok(service)
}

/// The labels of the pods behind an object.
fn selector(kind: &Kind, exposed: &Value) -> Result<Map<String, Value>, String> {
    let (found, none) = match kind.kind.as_str() {
        "Pod" => (&exposed["metadata"]["labels"], "the pod has no labels and cannot be exposed".to_owned()),
        "Service" => (&exposed["spec"]["selector"], "the service has no pod selector set".to_owned()),
        "ReplicationController" => (&exposed["spec"]["selector"], "it has no selector".to_owned()),
        other => {
            let selector = &exposed["spec"]["selector"];
            let expressions = &selector["matchExpressions"];
            if !items(expressions).is_empty() {
                return Err(format!(
                    "couldn't convert expressions - \"{expressions}\" to map-based selector format"
                ));
            }
            let none = format!("invalid {}: no selectors, therefore cannot be exposed", other.to_lowercase());
            (&selector["matchLabels"], none)
        }
    };
    found.as_object().filter(|labels| !labels.is_empty()).cloned().ok_or(none)
}

/// The ports of an object, each once, with its protocols.
fn protocols(kind: &Kind, exposed: &Value) -> Vec<(String, Vec<String>)> {
    let ports: Vec<(&Value, &Value)> = if kind.kind == "Service" {
        items(&exposed["spec"]["ports"]).iter().map(|port| (&port["port"], &port["protocol"])).collect()
    } else {
        let pod = if kind.kind == "Pod" { exposed } else { &exposed["spec"]["template"] };
        let containers = items(&pod["spec"]["containers"]).iter();
        let ports = containers.flat_map(|container| items(&container["ports"]));
        ports.map(|port| (&port["containerPort"], &port["protocol"])).collect()
    };
    let mut known: Vec<(String, Vec<String>)> = Vec::new();
    for (port, protocol) in ports {
        let (port, protocol) = (port.to_string(), protocol.as_str().unwrap_or("TCP").to_owned());
        match known.iter_mut().find(|(number, _)| *number == port) {
            Some((_, protocols)) if !protocols.contains(&protocol) => protocols.push(protocol),
            Some(_) => {}
            None => known.push((port, vec![protocol])),
        }
    }
    known
}

/// The Service's ports: one for each number and protocol, named where there are several.
fn ports(args: &Args, wanted: &[&str], protocols: &[(String, Vec<String>)]) -> Result<Vec<Value>, String> {
    let mut ports = Vec::new();
    for (at, text) in wanted.iter().enumerate() {
        let number: u16 = text.parse().map_err(|_| format!("--port {}: {text} is no port", args.port))?;
        let usual = vec!["TCP".to_owned()];
        let given = vec![args.protocol.clone()];
        let known = protocols.iter().find(|(port, _)| port == text).map(|(_, protocols)| protocols);
        let its = if args.protocol.is_empty() { known.unwrap_or(&usual) } else { &given };
        for protocol in its {
            let target = match args.target_port.as_str() {
                "" => json!(number),
                port => port.parse::<u16>().map_or_else(|_| json!(port), |port| json!(port)),
            };
            let mut port = json!({"port": number, "protocol": protocol, "targetPort": target});
            if its.len() > 1 {
                port["name"] = json!(format!("port-{}-{}", at + 1, protocol.to_lowercase()));
            } else if wanted.len() > 1 {
                port["name"] = json!(format!("port-{}", at + 1));
            }
            ports.push(port);
        }
    }
    Ok(ports)
}

/// Labels as flags have them: `a=b,c=d`.
pub fn labels(text: &str) -> Result<Map<String, Value>, String> {
    let mut labels = Map::new();
    for pair in text.split(',') {
        match pair.split_once('=') {
            Some(("", _)) => return Err("unexpected empty label key".to_owned()),
            Some((key, value)) if !value.contains('=') => drop(labels.insert(key.to_owned(), json!(value))),
            _ => return Err(format!("unexpected label spec: {pair}")),
        }
    }
    Ok(labels)
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::fake::Fake;

    fn check(line: &str, expected: &Expect) {
        let ports =
            json!([{"containerPort": 80}, {"containerPort": 53}, {"containerPort": 53, "protocol": "UDP"}]);
        let template = json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "ports": ports}]}});
        let of = |api: &str, kind: &str, name: &str, spec: Value| json!({"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": "default", "labels": {"tier": name}}, "spec": spec});
        let fake = Fake::of([
            of(
                "apps/v1",
                "Deployment",
                "web",
                json!({"selector": {"matchLabels": {"app": "web"}}, "template": template}),
            ),
            of("apps/v1", "StatefulSet", "db", json!({})),
            of(
                "v1",
                "Pod",
                "one",
                json!({"containers": [{"name": "one", "ports": [{"containerPort": 8080}]}]}),
            ),
            of("v1", "Pod", "shut", json!({"containers": [{"name": "shut"}]})),
            of(
                "v1",
                "Service",
                "old",
                json!({"selector": {"app": "old"}, "ports": [{"port": 80, "protocol": "TCP"}]}),
            ),
        ]);
        expected.assert_eq(&fake.run(line));
    }

    #[test]
    fn services_take_after_what_they_expose() {
        check(
            "expose deploy web",
            &expect![[r#"
            service/web exposed
            > POST /api/v1/namespaces/default/services?fieldManager=kctl-expose {"apiVersion":"v1","kind":"Service","metadata":{"name":"web","labels":{"tier":"web"},"namespace":"default"},"spec":{"selector":{"app":"web"},"ports":[{"port":80,"protocol":"TCP","targetPort":80,"name":"port-1"},{"port":53,"protocol":"TCP","targetPort":53,"name":"port-2-tcp"},{"port":53,"protocol":"UDP","targetPort":53,"name":"port-2-udp"}]}}
        "#]],
        );
        check(
            "expose pod one --port=80 --target-port=http --type=NodePort --name=front -l a=b",
            &expect![[r#"
                service/front exposed
                > POST /api/v1/namespaces/default/services?fieldManager=kctl-expose {"apiVersion":"v1","kind":"Service","metadata":{"name":"front","labels":{"a":"b"},"namespace":"default"},"spec":{"selector":{"tier":"one"},"ports":[{"port":80,"protocol":"TCP","targetPort":"http"}],"type":"NodePort"}}
            "#]],
        );
        check(
            "expose svc old --name=new --port=81 --protocol=UDP --cluster-ip=None --selector=x=y",
            &expect![[r#"
                service/new exposed
                > POST /api/v1/namespaces/default/services?fieldManager=kctl-expose {"apiVersion":"v1","kind":"Service","metadata":{"name":"new","labels":{"tier":"old"},"namespace":"default"},"spec":{"selector":{"x":"y"},"ports":[{"port":81,"protocol":"UDP","targetPort":81}],"clusterIP":"None"}}
            "#]],
        );
        check(
            "expose pod shut --cluster-ip=None --dry-run=client -o jsonpath={.spec}",
            &expect![[r#"{"clusterIP":"None","ports":[],"selector":{"tier":"shut"}}"#]],
        );
    }

    #[test]
    fn what_cannot_be_exposed_is_told() {
        check(
            "expose sts db",
            &expect![[r#"
            kctl: cannot expose a StatefulSet.apps
            [exit code 1]
        "#]],
        );
        check(
            "expose pod shut",
            &expect![[r#"
            kctl: couldn't find port via --port flag or introspection
            [exit code 1]
        "#]],
        );
        check(
            "expose pod one --selector=a",
            &expect![[r#"
            kctl: unexpected label spec: a
            [exit code 1]
        "#]],
        );
        check(
            "expose pod one --port=web",
            &expect![[r#"
            kctl: --port web: web is no port
            [exit code 1]
        "#]],
        );
        check(
            "expose pod one --session-affinity=Always",
            &expect![[r#"
            kctl: unknown session affinity: Always
            [exit code 1]
        "#]],
        );
    }
}
