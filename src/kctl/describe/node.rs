//! Nodes.

use api::quantity::Quantity;
use serde_json::Value;

use super::{Layout, Page, Subject, ago, begin, conditions, items, moment, text};
use crate::manifest;
use crate::server::Call;

/// How nodes are described.
pub const LAYOUT: Layout = Layout { group: "", kind: "Node", besides, write };

const ROLE: &str = "node-role.kubernetes.io/";

const SYSTEM: &[(&str, &str)] = &[
    ("Machine ID", "machineID"),
    ("System UUID", "systemUUID"),
    ("Boot ID", "bootID"),
    ("Kernel Version", "kernelVersion"),
    ("OS Image", "osImage"),
    ("Operating System", "operatingSystem"),
    ("Architecture", "architecture"),
    ("Container Runtime Version", "containerRuntimeVersion"),
    ("Kubelet Version", "kubeletVersion"),
];

fn besides(node: &Value) -> Vec<Call> {
    let fields =
        format!("spec.nodeName={},status.phase!=Failed,status.phase!=Succeeded", manifest::name(node));
    vec![Call::get("/api/v1/pods").with("fieldSelector", fields)]
}

fn write(subject: &Subject<'_>, page: &mut Page) {
    let node = subject.object;
    let (spec, status) = (&node["spec"], &node["status"]);
    let labels = node["metadata"]["labels"].as_object();
    let roles: Vec<&str> =
        labels.into_iter().flatten().filter_map(|(name, _)| name.strip_prefix(ROLE)).collect();
    let none = || "<none>".to_owned();
    begin(node, page, |page| page.field(0, "Roles", if roles.is_empty() { none() } else { roles.join(",") }));
    page.field(0, "CreationTimestamp", moment(&node["metadata"]["creationTimestamp"]));
    let taint = |taint: &Value| match text(&taint["value"]) {
        value if value.is_empty() => format!("{}:{}", text(&taint["key"]), text(&taint["effect"])),
        value => format!("{}={value}:{}", text(&taint["key"]), text(&taint["effect"])),
    };
    let taints: Vec<String> = items(&spec["taints"]).iter().map(taint).collect();
    page.field(0, "Taints", if taints.is_empty() { none() } else { taints.join("\n") });
    page.field(0, "Unschedulable", (spec["unschedulable"] == true).to_string());
    conditions(node, page);
    page.head(0, "Addresses");
    for address in items(&status["addresses"]) {
        page.field(1, &text(&address["type"]), text(&address["address"]));
    }
    for (name, amounts) in [("Capacity", &status["capacity"]), ("Allocatable", &status["allocatable"])] {
        if amounts.is_object() {
            page.head(0, name);
            let mut amounts: Vec<_> = amounts.as_object().into_iter().flatten().collect();
            amounts.sort_unstable_by_key(|(name, _)| *name);
            amounts.into_iter().for_each(|(name, amount)| page.field(1, name, text(amount)));
        }
    }
    page.head(0, "System Info");
    SYSTEM.iter().for_each(|(name, field)| page.field(1, name, text(&status["nodeInfo"][*field])));
    if !text(&spec["podCIDR"]).is_empty() {
        page.field(0, "PodCIDR", text(&spec["podCIDR"]));
        page.field(0, "PodCIDRs", items(&spec["podCIDRs"]).iter().map(text).collect::<Vec<_>>().join(","));
    }
    pods(node, subject.besides.first(), page);
}

/// What is counted, and what its amounts are written in.
const COUNTED: [&str; 2] = ["cpu", "memory"];

/// The pods that run there, and what they have asked for in all.
fn pods(node: &Value, list: Option<&Value>, page: &mut Page) {
    let all = list.map(|list| items(&list["items"])).unwrap_or_default();
    page.field(0, "Non-terminated Pods", format!("({} in total)", all.len()));
    page.line(
        1,
        &["Namespace", "Name", "CPU Requests", "CPU Limits", "Memory Requests", "Memory Limits", "Age"],
    );
    page.line(
        1,
        &["---------", "----", "------------", "----------", "---------------", "-------------", "---"],
    );
    let mut sums = [[0_i128; 2]; 2];
    for pod in all {
        let mut cells = vec![manifest::namespace(pod).to_owned(), manifest::name(pod).to_owned()];
        for (at, resource) in COUNTED.iter().enumerate() {
            for (way, asked) in ["requests", "limits"].iter().enumerate() {
                let amount = asked_for(pod, asked, resource);
                sums[at][way] += amount;
                cells.push(share(amount, node, resource));
            }
        }
        cells.push(ago(&pod["metadata"]["creationTimestamp"]));
        page.line(1, &cells.iter().map(String::as_str).collect::<Vec<_>>());
    }
    page.head(0, "Allocated resources");
    page.line(1, &["(Total limits may be over 100 percent, i.e., overcommitted.)"]);
    page.line(1, &["Resource", "Requests", "Limits"]);
    page.line(1, &["--------", "--------", "------"]);
    for (resource, [requests, limits]) in COUNTED.iter().zip(sums) {
        page.line(1, &[resource, &share(requests, node, resource), &share(limits, node, resource)]);
    }
}

const MILLI: i32 = -3;

/// What the containers of a pod ask for, in thousandths.
fn asked_for(pod: &Value, asked: &str, resource: &str) -> i128 {
    let amounts = items(&pod["spec"]["containers"])
        .iter()
        .map(|container| milli(&container["resources"][asked][resource]));
    amounts.sum()
}

fn milli(amount: &Value) -> i128 {
    amount.as_str().and_then(|text| Quantity::parse(text).ok()).map_or(0, |amount| amount.in_units(MILLI))
}

/// An amount, and how much of the node that is.
fn share(amount: i128, node: &Value, resource: &str) -> String {
    let whole = match milli(&node["status"]["allocatable"][resource]) {
        0 => milli(&node["status"]["capacity"][resource]),
        whole => whole,
    };
    let percent = (amount * 100).checked_div(whole).unwrap_or(0);
    format!("{} ({percent}%)", if resource == "cpu" { cpu(amount) } else { bytes(amount / 1000) })
}

fn cpu(milli: i128) -> String {
    if milli % 1000 == 0 { (milli / 1000).to_string() } else { format!("{milli}m") }
}

/// In the largest unit that takes a whole number of them.
fn bytes(amount: i128) -> String {
    let units = [("Ti", 40), ("Gi", 30), ("Mi", 20), ("Ki", 10)];
    let fits = units.iter().find(|(_, bits)| amount != 0 && amount % (1 << bits) == 0);
    fits.map_or_else(|| amount.to_string(), |(unit, bits)| format!("{}{unit}", amount >> bits))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::super::tests::check;
    use super::*;

    #[test]
    fn a_node_as_kubectl_tells_it() {
        let node = json!({
            "metadata": {"name": "n1", "labels": {"node-role.kubernetes.io/worker": ""}, "creationTimestamp": "2026-11-22T04:26:44Z"},
            "spec": {"podCIDR": "10.1.0.0/24", "podCIDRs": ["10.1.0.0/24"], "taints": [{"key": "k", "value": "v", "effect": "NoSchedule"}]},
            "status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.1"}], "allocatable": {"cpu": "2", "memory": "4Gi"},
                "nodeInfo": {"kubeletVersion": "v1.37.0"}},
        });
        let pod = |cpu: &str| json!({"metadata": {"name": "a", "namespace": "n"}, "spec": {"containers": [{"resources": {"requests": {"cpu": cpu, "memory": "1Gi"}}}]}});
        check(
            &LAYOUT,
            &node,
            vec![json!({"items": [pod("500m"), pod("250m")]})],
            &expect![[r"
            Name:               n1
            Roles:              worker
            Labels:             node-role.kubernetes.io/worker=
            Annotations:        <none>
            CreationTimestamp:  Sun, 22 Nov 2026 04:26:44 +0000
            Taints:             k=v:NoSchedule
            Unschedulable:      false
            Addresses:
              InternalIP:  10.0.0.1
            Allocatable:
              cpu:     2
              memory:  4Gi
            System Info:
              Machine ID:
              System UUID:
              Boot ID:
              Kernel Version:
              OS Image:
              Operating System:
              Architecture:
              Container Runtime Version:
              Kubelet Version:            v1.37.0
            PodCIDR:                      10.1.0.0/24
            PodCIDRs:                     10.1.0.0/24
            Non-terminated Pods:          (2 in total)
              Namespace                   Name  CPU Requests  CPU Limits  Memory Requests  Memory Limits  Age
              ---------                   ----  ------------  ----------  ---------------  -------------  ---
              n                           a     500m (25%)    0 (0%)      1Gi (25%)        0 (0%)         <unknown>
              n                           a     250m (12%)    0 (0%)      1Gi (25%)        0 (0%)         <unknown>
            Allocated resources:
              (Total limits may be over 100 percent, i.e., overcommitted.)
              Resource  Requests    Limits
              --------  --------    ------
              cpu       750m (37%)  0 (0%)
              memory    2Gi (50%)   0 (0%)
        "]],
        );
    }
}
