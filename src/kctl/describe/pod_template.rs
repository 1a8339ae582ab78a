//! Containers and volumes, of pods and of what makes pods.

use serde_json::Value;

use super::{Page, items, moment, text, text_or};

/// Containers under a head.
pub fn containers(name: &str, spec: &Value, statuses: &Value, level: usize, page: &mut Page) {
    let all = items(spec);
    if all.is_empty() {
        return;
    }
    page.head(level, name);
    for container in all {
        let status = items(statuses).iter().find(|status| status["name"] == container["name"]);
        page.line(level + 1, &[&format!("{}:", text(&container["name"]))]);
        self::container(container, status.unwrap_or(&Value::Null), level + 2, page);
    }
}

fn container(container: &Value, status: &Value, level: usize, page: &mut Page) {
    if status.is_object() {
        page.field(level, "Container ID", text(&status["containerID"]));
    }
    page.field(level, "Image", text(&container["image"]));
    if status.is_object() {
        page.field(level, "Image ID", text(&status["imageID"]));
    }
    ports(container, level, page);
    for (name, list) in [("Command", &container["command"]), ("Args", &container["args"])] {
        if !items(list).is_empty() {
            page.head(level, name);
            let lines: Vec<String> = items(list).iter().map(text).collect();
            lines.iter().flat_map(|line| line.lines()).for_each(|line| page.line(level + 1, &[line]));
        }
    }
    state(status, level, page);
    for (name, amounts) in
        [("Limits", &container["resources"]["limits"]), ("Requests", &container["resources"]["requests"])]
    {
        let mut amounts: Vec<_> = amounts.as_object().into_iter().flatten().collect();
        amounts.sort_unstable_by_key(|(name, _)| *name);
        if !amounts.is_empty() {
            page.head(level, name);
            amounts.into_iter().for_each(|(name, amount)| page.field(level + 1, name, text(amount)));
        }
    }
    for (name, field) in
        [("Liveness", "livenessProbe"), ("Readiness", "readinessProbe"), ("Startup", "startupProbe")]
    {
        if container[field].is_object() {
            page.field(level, name, probe(&container[field]));
        }
    }
    environment(container, level, page);
    let mounts = items(&container["volumeMounts"]);
    if mounts.is_empty() {
        page.field(level, "Mounts", "<none>");
    } else {
        page.head(level, "Mounts");
        mounts.iter().for_each(|mount| page.line(level + 1, &[&mounted(mount)]));
    }
}

fn ports(container: &Value, level: usize, page: &mut Page) {
    let all = items(&container["ports"]);
    let list = |field: &str| {
        let port = |port: &Value| {
            format!("{}/{}", port[field].as_i64().unwrap_or(0), text_or(&port["protocol"], "TCP"))
        };
        all.iter().map(port).collect::<Vec<_>>().join(", ")
    };
    let (plural, none) = (if all.len() > 1 { "s" } else { "" }, all.is_empty());
    let shown = |field: &str| if none { "<none>".to_owned() } else { list(field) };
    page.field(level, &format!("Port{plural}"), shown("containerPort"));
    page.field(level, &format!("Host Port{plural}"), shown("hostPort"));
}

fn state(status: &Value, level: usize, page: &mut Page) {
    if !status.is_object() {
        return;
    }
    for (name, state) in [("State", &status["state"]), ("Last State", &status["lastState"])] {
        let known = state.as_object().and_then(|state| state.iter().next());
        let Some((word, details)) = known else { continue };
        let word = word[..1].to_uppercase() + &word[1..];
        page.field(level, name, word);
        for (name, field) in [("Reason", "reason"), ("Message", "message"), ("Exit Code", "exitCode")] {
            if !text(&details[field]).is_empty() {
                page.field(level + 1, name, text(&details[field]));
            }
        }
        for (name, field) in [("Started", "startedAt"), ("Finished", "finishedAt")] {
            if details[field].is_string() {
                page.field(level + 1, name, moment(&details[field]));
            }
        }
    }
    page.field(level, "Ready", if status["ready"] == true { "True" } else { "False" });
    page.field(level, "Restart Count", text_or(&status["restartCount"], "0"));
}

fn probe(probe: &Value) -> String {
    let number = |field: &str, default: i64| probe[field].as_i64().unwrap_or(default);
    let times = format!(
        "delay={}s timeout={}s period={}s #success={} #failure={}",
        number("initialDelaySeconds", 0),
        number("timeoutSeconds", 1),
        number("periodSeconds", 10),
        number("successThreshold", 1),
        number("failureThreshold", 3)
    );
    let (exec, http, tcp, grpc) = (&probe["exec"], &probe["httpGet"], &probe["tcpSocket"], &probe["grpc"]);
    let what = if exec.is_object() {
        let words: Vec<String> = items(&exec["command"]).iter().map(text).collect();
        format!("exec [{}]", words.join(" "))
    } else if http.is_object() {
        let scheme = text_or(&http["scheme"], "HTTP").to_lowercase();
        format!("http-get {scheme}://{}:{}{}", text(&http["host"]), text(&http["port"]), text(&http["path"]))
    } else if tcp.is_object() {
        format!("tcp-socket {}:{}", text(&tcp["host"]), text(&tcp["port"]))
    } else {
        format!("grpc <pod>:{} {}", text(&grpc["port"]), text(&grpc["service"]))
    };
    format!("{what} {times}")
}

fn environment(container: &Value, level: usize, page: &mut Page) {
    let from = items(&container["envFrom"]);
    if !from.is_empty() {
        page.head(level, "Environment Variables from");
        for source in from {
            let (kind, of) = match &source["configMapRef"] {
                of @ Value::Object(_) => ("ConfigMap", of),
                _ => ("Secret", &source["secretRef"]),
            };
            page.line(
                level + 1,
                &[&text(&of["name"]), kind, &format!("Optional: {}", of["optional"] == true)],
            );
        }
    }
    let all = items(&container["env"]);
    if all.is_empty() {
        return page.field(level, "Environment", "<none>");
    }
    page.head(level, "Environment");
    for variable in all {
        page.field(level + 1, &text(&variable["name"]), value(variable));
    }
}

fn value(variable: &Value) -> String {
    let from = &variable["valueFrom"];
    let keyed = |of: &Value, kind: &str| {
        let optional = of["optional"] == true;
        format!(
            "<set to the key '{}' {kind} '{}'>  Optional: {optional}",
            text(&of["key"]),
            text(&of["name"])
        )
    };
    match from.as_object().and_then(|from| from.iter().next()) {
        None => text(&variable["value"]),
        Some((source, of)) => match source.as_str() {
            "fieldRef" => format!(" ({}:{})", text_or(&of["apiVersion"], "v1"), text(&of["fieldPath"])),
            "resourceFieldRef" => text(&of["resource"]),
            "secretKeyRef" => keyed(of, "in secret"),
            "configMapKeyRef" => keyed(of, "of config map"),
            source => format!("<set from {source}>"),
        },
    }
}

fn mounted(mount: &Value) -> String {
    let mut flags = vec![if mount["readOnly"] == true { "ro".to_owned() } else { "rw".to_owned() }];
    if !text(&mount["subPath"]).is_empty() {
        flags.push(format!("path=\"{}\"", text(&mount["subPath"])));
    }
    format!("{} from {} ({})", text(&mount["mountPath"]), text(&mount["name"]), flags.join(","))
}

/// Types of volumes: the member that says so, the name, and what it is.
const VOLUMES: &[(&str, &str)] = &[
    ("configMap", "ConfigMap (a volume populated by a ConfigMap)"),
    ("csi", "CSI (a Container Storage Interface (CSI) volume source)"),
    ("downwardAPI", "DownwardAPI (a volume populated by information about the pod)"),
    ("emptyDir", "EmptyDir (a temporary directory that shares a pod's lifetime)"),
    (
        "ephemeral",
        "EphemeralVolume (an inline specification for a volume that gets created and deleted with the pod)",
    ),
    ("hostPath", "HostPath (bare host directory volume)"),
    ("nfs", "NFS (an NFS mount that lasts the lifetime of a pod)"),
    (
        "persistentVolumeClaim",
        "PersistentVolumeClaim (a reference to a PersistentVolumeClaim in the same namespace)",
    ),
    ("projected", "Projected (a volume that contains injected data from multiple sources)"),
    ("secret", "Secret (a volume populated by a Secret)"),
];

/// Volumes, each with the fields of its source.
pub fn volumes(spec: &Value, level: usize, page: &mut Page) {
    let all = items(&spec["volumes"]);
    if all.is_empty() {
        return page.field(level, "Volumes", "<none>");
    }
    page.head(level, "Volumes");
    for volume in all {
        page.line(level + 1, &[&format!("{}:", text(&volume["name"]))]);
        let Some((source, fields)) =
            volume.as_object().into_iter().flatten().find(|(name, _)| *name != "name")
        else {
            continue;
        };
        let known =
            VOLUMES.iter().find(|(name, _)| name == source).map_or(source.as_str(), |(_, words)| words);
        page.field(level + 2, "Type", known);
        let hidden = ["defaultMode", "items", "sources"];
        let fields =
            fields.as_object().into_iter().flatten().filter(|(name, _)| !hidden.contains(&name.as_str()));
        for (name, value) in fields {
            // Its own type is none of the volume's.
            let name = if name == "type" { format!("{source}Type") } else { name.clone() };
            let name = name[..1].to_uppercase() + &name[1..];
            page.field(level + 2, &name, text(value));
        }
    }
}

/// Node selector and tolerations.
pub fn placement(spec: &Value, level: usize, page: &mut Page) {
    page.field(level, "Node-Selectors", super::pairs(&spec["nodeSelector"], "="));
    let toleration = |one: &Value| {
        let mut line = text(&one["key"]);
        if !text(&one["value"]).is_empty() {
            line.push_str(&format!("={}", text(&one["value"])));
        }
        if !text(&one["effect"]).is_empty() {
            line.push_str(&format!(":{}", text(&one["effect"])));
        }
        if one["operator"] == "Exists" && text(&one["value"]).is_empty() {
            line.push_str(if text(&one["key"]).is_empty() && text(&one["effect"]).is_empty() {
                "op=Exists"
            } else {
                " op=Exists"
            });
        }
        if let Some(seconds) = one["tolerationSeconds"].as_i64() {
            line.push_str(&format!(" for {seconds}s"));
        }
        line
    };
    let mut all: Vec<String> = items(&spec["tolerations"]).iter().map(toleration).collect();
    all.sort_unstable();
    page.field(level, "Tolerations", if all.is_empty() { "<none>".to_owned() } else { all.join("\n") });
}
