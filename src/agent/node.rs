//! The Node object of an agent: what it says of itself. Pure but for [`Machine::look`].

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use api::time;
use serde_json::{Value, json};

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
}

/// The object with which a node registers itself.
pub fn object(facts: &Facts, machine: &Machine) -> Value {
    let mut labels = BTreeMap::from([
        ("beta.kubernetes.io/arch".to_owned(), machine.architecture.to_owned()),
        ("beta.kubernetes.io/os".to_owned(), "linux".to_owned()),
        ("kubernetes.io/arch".to_owned(), machine.architecture.to_owned()),
        ("kubernetes.io/hostname".to_owned(), facts.name.clone()),
        ("kubernetes.io/os".to_owned(), "linux".to_owned()),
    ]);
    labels.extend(facts.labels.clone());
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": facts.name, "labels": labels},
    })
}

/// The status of the node. Conditions that hold as they did keep their transition times: `known` are those that the
/// object has. `trouble`: why pods cannot be run now.
pub fn status(facts: &Facts, machine: &Machine, known: &Value, trouble: Option<&str>, now_ms: u64) -> Value {
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
    let ready = match trouble {
        None => condition("Ready", true, "KubeletReady", "kubelet is posting ready status"),
        Some(why) => condition("Ready", false, "KubeletNotReady", why),
    };
    let capacity = machine.capacity();
    json!({"status": {
        "addresses": [
            {"type": "InternalIP", "address": facts.address.to_string()},
            {"type": "Hostname", "address": facts.name},
        ],
        "capacity": capacity,
        "allocatable": capacity,
        "conditions": [
            condition("MemoryPressure", false, "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
            condition("DiskPressure", false, "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
            condition("PIDPressure", false, "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
            ready,
        ],
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
    }})
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
        let first = status(&facts, &machine, &Value::Null, None, 0);
        let known = &first["status"]["conditions"];
        let later = status(&facts, &machine, known, Some("the engine does not answer"), 60_000);
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
    fn what_a_machine_has() {
        let (facts, machine) = given();
        assert_eq!(machine.capacity()["memory"], "1048576Ki");
        assert_eq!(memory_bytes("MemFree: 1 kB\nMemTotal:       2048 kB\n"), 2 << 20);
        assert_eq!(object(&facts, &machine)["metadata"]["labels"]["disk"], "ssd");
    }
}
