//! The Node object of an agent: what it says of itself. Pure but for [`Machine::look`].

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::PathBuf;

use api::{names, time};
use ipnet::Ipv4Net;
use k8s_openapi::api::core::v1::Node;
use kubelet::engine::docker::ImageOnNode;
use serde_json::{Value, json};

use crate::pressure::{Signal, Thresholds};

/// Images that a node tells of, the largest: kubelet's `nodeStatusMaxImages`.
const IMAGES_MAX: usize = 50;

/// Names of one of them.
const IMAGE_NAMES_MAX: usize = 5;

/// The port of the agent's own server: the kubelet's.
pub const PORT: u16 = 10_250;

/// What a machine is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Processors.
    pub cpus: usize,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Disk below the agent's directory, in bytes.
    pub disk_bytes: u64,
    /// `/etc/machine-id`.
    pub machine_id: String,
    /// Changes with each boot.
    pub boot_id: String,
    /// `6.1.0`.
    pub kernel: String,
    /// `Debian GNU/Linux 12 (bookworm)`.
    pub os_image: String,
    /// `amd64`.
    pub architecture: &'static str,
}

impl Machine {
    /// Looks at the machine that this program runs on.
    pub fn look(directory: &std::path::Path) -> Self {
        let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let release = text("/etc/os-release");
        let pretty = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
        let disk = rustix::fs::statvfs(directory).map_or(0, |stat| stat.f_blocks * stat.f_frsize);
        Self {
            cpus: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            memory_bytes: memory_bytes(&text("/proc/meminfo")),
            disk_bytes: disk,
            machine_id: text("/etc/machine-id").trim().to_owned(),
            boot_id: text("/proc/sys/kernel/random/boot_id").trim().to_owned(),
            kernel: text("/proc/sys/kernel/osrelease").trim().to_owned(),
            os_image: pretty.unwrap_or("Linux").trim_matches('"').to_owned(),
            architecture: match std::env::consts::ARCH {
                "x86_64" => "amd64",
                "aarch64" => "arm64",
                other => other,
            },
        }
    }

    /// What the node has and pods may take.
    pub fn capacity(&self) -> BTreeMap<&'static str, String> {
        BTreeMap::from([
            ("cpu", self.cpus.to_string()),
            ("memory", format!("{}Ki", self.memory_bytes / 1024)),
            ("ephemeral-storage", format!("{}Ki", self.disk_bytes / 1024)),
            ("pods", kubelet::limits::PODS_MAX.to_string()),
        ])
    }
}

fn memory_bytes(meminfo: &str) -> u64 {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kilobytes = total.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

/// What decides the Node object beside the machine.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: Ipv4Addr,
    /// The engine's version, as `docker://20.10.24`.
    pub engine: String,
    /// Labels that it gives itself further.
    pub labels: BTreeMap<String, String>,
    /// Where it keeps its files: the disk that must not fill.
    pub directory: PathBuf,
    /// Below what the machine runs short.
    pub thresholds: Thresholds,
}

/// What a node saw of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Why pods cannot be run now.
    pub trouble: Option<String>,
    /// What there is too little of.
    pub short: BTreeSet<Signal>,
    /// See [`images`]; `None` when the engine was not asked yet.
    pub images: Option<Vec<(Vec<String>, u64)>>,
}

impl Seen {
    /// Whether the Node should say something else than `before`. The same trouble may be told in other words.
    pub fn differs(&self, before: &Self) -> bool {
        self.trouble.is_some() != before.trouble.is_some()
            || (&self.short, &self.images) != (&before.short, &before.images)
    }
}

/// Names and sizes of the largest images, as a Node shows them. Those without a name cannot be asked for.
pub fn images(mut there: Vec<ImageOnNode>) -> Vec<(Vec<String>, u64)> {
    there.retain(|image| !image.names.is_empty());
    there.sort_by(|one, other| {
        other.size_bytes.cmp(&one.size_bytes).then_with(|| one.names.cmp(&other.names))
    });
    there.truncate(IMAGES_MAX);
    let shown =
        |image: ImageOnNode| (image.names.into_iter().take(IMAGE_NAMES_MAX).collect(), image.size_bytes);
    there.into_iter().map(shown).collect()
}

/// The object with which a node registers itself; `pod_cidr` is what its pods have already.
pub fn object(facts: &Facts, machine: &Machine, pod_cidr: Option<Ipv4Net>) -> Value {
    let given = facts.labels.iter().map(|(label, value)| (&**label, &**value));
    let labels: BTreeMap<&str, &str> = own_labels(facts, machine).into_iter().chain(given).collect();
    let mut object = json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": facts.name, "labels": labels},
    });
    if let Some(pod_cidr) = pod_cidr {
        object["spec"] = json!({"podCIDR": pod_cidr, "podCIDRs": [pod_cidr]});
    }
    object
}

/// What every node says of itself in labels.
fn own_labels<'f>(facts: &'f Facts, machine: &Machine) -> [(&'f str, &'f str); 5] {
    [
        ("beta.kubernetes.io/arch", machine.architecture),
        ("beta.kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", machine.architecture),
        ("kubernetes.io/hostname", &facts.name),
        ("kubernetes.io/os", "linux"),
    ]
}

/// The patch that brings those labels to a Node that somebody else made; `None`: it has them.
pub fn lacking(node: &Node, facts: &Facts, machine: &Machine) -> Option<Value> {
    let known = node.metadata.labels.as_ref();
    let has =
        |label: &str, value: &str| known.and_then(|known| known.get(label)).is_some_and(|is| is == value);
    let own = own_labels(facts, machine).into_iter();
    let labels: BTreeMap<&str, &str> = own.filter(|(label, value)| !has(label, value)).collect();
    (!labels.is_empty()).then(|| json!({"metadata": {"labels": labels}}))
}

/// Condition, its signal, then reason and message for when it holds and for when it does not, as kubelet has them.
type PressureRow = (&'static str, Signal, [&'static str; 2], [&'static str; 2]);

/// What a node can say that it runs short of.
const PRESSURES: [PressureRow; 3] = [
    (
        "MemoryPressure",
        Signal::Memory,
        ["KubeletHasInsufficientMemory", "kubelet has insufficient memory available"],
        ["KubeletHasSufficientMemory", "kubelet has sufficient memory available"],
    ),
    (
        "DiskPressure",
        Signal::Disk,
        ["KubeletHasDiskPressure", "kubelet has disk pressure"],
        ["KubeletHasNoDiskPressure", "kubelet has no disk pressure"],
    ),
    (
        "PIDPressure",
        Signal::Pids,
        ["KubeletHasInsufficientPID", "kubelet has insufficient PID available"],
        ["KubeletHasSufficientPID", "kubelet has sufficient PID available"],
    ),
];

/// The status of the node. Conditions that hold as they did keep their transition times: `known` are those that the
/// object has.
pub fn status(facts: &Facts, machine: &Machine, known: &Value, seen: &Seen, now_ms: u64) -> Value {
    let now = time::rfc3339(now_ms);
    let condition = |name: &str, is_true: bool, reason: &str, message: &str| {
        let status = if is_true { "True" } else { "False" };
        let before = known.as_array().into_iter().flatten().find(|one| one["type"] == name);
        let is_same = before.is_some_and(|one| one["status"] == status);
        let since = before
            .filter(|_| is_same)
            .map_or_else(|| now.clone().into(), |one| one["lastTransitionTime"].clone());
        json!({
            "type": name, "status": status, "reason": reason, "message": message,
            "lastHeartbeatTime": now, "lastTransitionTime": since,
        })
    };
    let mut conditions: Vec<Value> = PRESSURES
        .iter()
        .map(|(name, signal, short, enough)| {
            let is_short = seen.short.contains(signal);
            let [reason, message] = if is_short { short } else { enough };
            condition(name, is_short, reason, message)
        })
        .collect();
    conditions.push(match &seen.trouble {
        None => condition("Ready", true, "KubeletReady", "kubelet is posting ready status"),
        Some(why) => condition("Ready", false, "KubeletNotReady", why),
    });
    let capacity = machine.capacity();
    let mut status = json!({"status": {
        "addresses": [
            {"type": "InternalIP", "address": facts.address.to_string()},
            {"type": "Hostname", "address": facts.name},
        ],
        "capacity": capacity,
        "allocatable": capacity,
        "conditions": conditions,
        "daemonEndpoints": {"kubeletEndpoint": {"Port": PORT}},
        "nodeInfo": {
            "machineID": machine.machine_id,
            "systemUUID": machine.machine_id,
            "bootID": machine.boot_id,
            "kernelVersion": machine.kernel,
            "osImage": machine.os_image,
            "containerRuntimeVersion": facts.engine,
            "kubeletVersion": "v1.37.0",
            "kubeProxyVersion": "",
            "operatingSystem": "linux",
            "architecture": machine.architecture,
        },
    }});
    if let Some(images) = &seen.images {
        let images = images.iter().map(|(names, size)| json!({"names": names, "sizeBytes": size}));
        status["status"]["images"] = images.collect();
    }
    status
}

/// What there is to tell of a status, by the conditions that were there before: kubelet's words.
pub fn turns(known: &Value, status: &Value) -> Vec<String> {
    let before = || known.as_array().into_iter().flatten();
    let is_new = |one: &&Value| {
        !before().any(|other| other["type"] == one["type"] && other["status"] == one["status"])
    };
    let now = status["status"]["conditions"].as_array().into_iter().flatten();
    let reasons = now.filter(is_new).filter_map(|one| one["reason"].as_str());
    reasons.map(|reason| reason.replacen("Kubelet", "Node", 1)).collect()
}

/// An Event about the node itself.
pub fn event(facts: &Facts, reason: &str, message: &str, now_ms: u64) -> Value {
    let (name, now) = (&facts.name, time::rfc3339(now_ms));
    json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": names::of_event(name, now_ms, base::env::random_u64()), "namespace": "default"},
        // Kubelet does not know the uid of its Node: whoever shows these looks for the name.
        "involvedObject": {"kind": "Node", "name": name, "uid": name},
        "reason": reason,
        "message": message,
        "source": {"component": "kubelet", "host": name},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
        "type": "Normal",
        "reportingComponent": "kubelet",
        "reportingInstance": name,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given() -> (Facts, Machine) {
        let facts = Facts {
            name: "node-1".to_owned(),
            address: Ipv4Addr::new(10, 0, 0, 1),
            engine: "docker://20.10.24".to_owned(),
            labels: BTreeMap::from([("disk".to_owned(), "ssd".to_owned())]),
            directory: PathBuf::new(),
            thresholds: Thresholds::default(),
        };
        let machine = Machine {
            cpus: 2,
            memory_bytes: 1 << 30,
            disk_bytes: 1 << 31,
            machine_id: "m".to_owned(),
            boot_id: "b".to_owned(),
            kernel: "6.1".to_owned(),
            os_image: "Debian".to_owned(),
            architecture: "amd64",
        };
        (facts, machine)
    }

    #[test]
    fn a_condition_that_holds_on_keeps_its_time() {
        let (facts, machine) = given();
        let first = status(&facts, &machine, &Value::Null, &Seen::default(), 0);
        let known = &first["status"]["conditions"];
        let trouble = Some("the engine does not answer".to_owned());
        let later = status(&facts, &machine, known, &Seen { trouble, ..Seen::default() }, 60_000);
        let times: Vec<_> = later["status"]["conditions"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|one| (one["type"].as_str(), one["lastTransitionTime"].as_str()))
            .collect();
        let (then, now) = (Some("1970-01-01T00:00:00Z"), Some("1970-01-01T00:01:00Z"));
        assert_eq!(
            times,
            [
                (Some("MemoryPressure"), then),
                (Some("DiskPressure"), then),
                (Some("PIDPressure"), then),
                (Some("Ready"), now),
            ]
        );
        assert_eq!(later["status"]["conditions"][3]["message"], "the engine does not answer");
    }

    #[test]
    fn a_node_says_what_it_runs_short_of() {
        let (facts, machine) = given();
        let short = BTreeSet::from([Signal::Memory, Signal::Pids]);
        let seen = Seen { short, ..Seen::default() };
        let shown = status(&facts, &machine, &Value::Null, &seen, 0);
        let conditions = shown["status"]["conditions"].as_array().expect("a list").iter();
        let lines: Vec<String> = conditions
            .map(|one| {
                format!("{} {} {} {}", one["type"], one["status"], one["reason"], one["message"])
                    .replace('"', "")
            })
            .collect();
        assert_eq!(
            lines,
            [
                "MemoryPressure True KubeletHasInsufficientMemory kubelet has insufficient memory available",
                "DiskPressure False KubeletHasNoDiskPressure kubelet has no disk pressure",
                "PIDPressure True KubeletHasInsufficientPID kubelet has insufficient PID available",
                "Ready True KubeletReady kubelet is posting ready status",
            ]
        );
        assert!(shown["status"].get("images").is_none(), "nobody knows them yet: they stay as they are");
    }

    #[test]
    fn a_node_tells_what_has_turned() {
        let (facts, machine) = given();
        let whole = |seen: &Seen, known: &Value| status(&facts, &machine, known, seen, 0);
        let well = whole(&Seen::default(), &Value::Null);
        assert_eq!(
            turns(&Value::Null, &well),
            ["NodeHasSufficientMemory", "NodeHasNoDiskPressure", "NodeHasSufficientPID", "NodeReady"]
        );
        let mut known = well["status"]["conditions"].clone();
        assert_eq!(turns(&known, &well), [""; 0]);
        let short = BTreeSet::from([Signal::Disk]);
        let ill = whole(&Seen { trouble: Some("no engine".to_owned()), short, images: None }, &known);
        assert_eq!(turns(&known, &ill), ["NodeHasDiskPressure", "NodeNotReady"]);
        known[3]["status"] = "Unknown".into();
        assert_eq!(turns(&known, &well), ["NodeReady"], "the masters had not heard of it");
    }

    #[test]
    fn a_node_tells_of_its_largest_images() {
        let image = |names: &[&str], size_bytes| ImageOnNode {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            size_bytes,
        };
        let mut there: Vec<ImageOnNode> = (0..60).map(|size| image(&["small:1"], size)).collect();
        there.push(image(&[], 5_000));
        there.push(image(&["a", "b", "c", "d", "e", "f"], 1_000));
        let shown = images(there);
        assert_eq!((shown.len(), shown[0].0.join(" ").as_str(), shown[0].1), (50, "a b c d e", 1_000));
        assert_eq!((shown[1].1, shown[49].1), (59, 11));
        let (facts, machine) = given();
        let seen = Seen { images: Some(shown[..1].to_vec()), ..Seen::default() };
        assert!(seen.differs(&Seen::default()), "it is told at once");
        let status = status(&facts, &machine, &Value::Null, &seen, 0);
        let told = json!([{"names": ["a", "b", "c", "d", "e"], "sizeBytes": 1_000}]);
        assert_eq!(status["status"]["images"], told);
    }

    #[test]
    fn what_a_machine_has() {
        let (facts, machine) = given();
        assert_eq!(machine.capacity()["memory"], "1048576Ki");
        assert_eq!(memory_bytes("MemFree: 1 kB\nMemTotal:       2048 kB\n"), 2 << 20);
        assert_eq!(object(&facts, &machine, None)["metadata"]["labels"]["disk"], "ssd");
    }

    #[test]
    fn a_node_that_registers_once_more_keeps_the_range_of_its_pods() {
        let (facts, machine) = given();
        let range = "10.42.3.0/24".parse().ok();
        assert_eq!(
            object(&facts, &machine, range)["spec"],
            json!({"podCIDR": "10.42.3.0/24", "podCIDRs": ["10.42.3.0/24"]})
        );
        assert_eq!(object(&facts, &machine, None)["spec"], Value::Null);
    }

    #[test]
    fn a_node_that_somebody_made_by_hand_is_given_the_labels_that_all_have() {
        let (facts, machine) = given();
        let lacks = |object: Value| {
            let node: Node = serde_json::from_value(object).expect("a node");
            lacking(&node, &facts, &machine)
        };
        assert_eq!(lacks(object(&facts, &machine, None)), None);
        let mut by_hand = object(&facts, &machine, None);
        let labels =
            json!({"kubernetes.io/os": "plan9", "kubernetes.io/hostname": facts.name, "mine": "yes"});
        by_hand["metadata"]["labels"] = labels;
        let arch = machine.architecture;
        let lacking = json!({
            "beta.kubernetes.io/arch": arch, "beta.kubernetes.io/os": "linux",
            "kubernetes.io/arch": arch, "kubernetes.io/os": "linux",
        });
        assert_eq!(lacks(by_hand), Some(json!({"metadata": {"labels": lacking}})));
    }
}
