//! Pods.

use serde_json::Value;

use super::pod_template::{containers, placement, volumes};
use super::{Layout, Page, Subject, begin, conditions, items, moment, text, text_or};

/// How pods are described.
pub const LAYOUT: Layout = Layout { group: "", kind: "Pod", besides: |_| Vec::new(), write };

fn write(subject: &Subject<'_>, page: &mut Page) {
    let pod = subject.object;
    let (spec, status) = (&pod["spec"], &pod["status"]);
    begin(pod, page, |page| {
        if spec["priority"].is_number() {
            page.field(0, "Priority", text(&spec["priority"]));
        }
        if !text(&spec["priorityClassName"]).is_empty() {
            page.field(0, "Priority Class Name", text(&spec["priorityClassName"]));
        }
        page.field(0, "Service Account", text_or(&spec["serviceAccountName"], "default"));
        let node = text(&spec["nodeName"]);
        page.field(
            0,
            "Node",
            if node.is_empty() { "<none>".to_owned() } else { format!("{node}/{}", text(&status["hostIP"])) },
        );
        if status["startTime"].is_string() {
            page.field(0, "Start Time", moment(&status["startTime"]));
        }
    });
    let leaving = pod["metadata"]["deletionTimestamp"].is_string();
    page.field(0, "Status", if leaving { "Terminating".to_owned() } else { text(&status["phase"]) });
    for (name, field) in [("Reason", "reason"), ("Message", "message")] {
        if !text(&status[field]).is_empty() {
            page.field(0, name, text(&status[field]));
        }
    }
    page.field(0, "IP", text(&status["podIP"]));
    addresses(status, page);
    let owner = items(&pod["metadata"]["ownerReferences"]).iter().find(|owner| owner["controller"] == true);
    if let Some(owner) = owner {
        page.field(0, "Controlled By", format!("{}/{}", text(&owner["kind"]), text(&owner["name"])));
    }
    containers("Init Containers", &spec["initContainers"], &status["initContainerStatuses"], 0, page);
    containers("Containers", &spec["containers"], &status["containerStatuses"], 0, page);
    containers(
        "Ephemeral Containers",
        &spec["ephemeralContainers"],
        &status["ephemeralContainerStatuses"],
        0,
        page,
    );
    conditions(pod, page);
    volumes(spec, 0, page);
    page.field(0, "QoS Class", text_or(&status["qosClass"], "BestEffort"));
    placement(spec, 0, page);
}

fn addresses(status: &Value, page: &mut Page) {
    let all = items(&status["podIPs"]);
    if all.is_empty() {
        return page.field(0, "IPs", "<none>");
    }
    page.head(0, "IPs");
    all.iter().for_each(|address| page.field(1, "IP", text(&address["ip"])));
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::super::tests::check;
    use super::*;

    fn pod() -> Value {
        json!({
            "metadata": {"name": "web", "namespace": "default", "labels": {"app": "web"},
                "ownerReferences": [{"kind": "ReplicaSet", "name": "web-1", "controller": true}]},
            "spec": {
                "priority": 0, "nodeName": "n1", "nodeSelector": {"a": "b"},
                "tolerations": [{"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 30}],
                "containers": [{
                    "name": "c", "image": "nginx:1", "args": ["a"],
                    "ports": [{"containerPort": 80}, {"containerPort": 81, "protocol": "UDP"}],
                    "env": [{"name": "A", "value": "1"}, {"name": "C", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
                    "resources": {"limits": {"memory": "1Gi", "cpu": "1"}},
                    "livenessProbe": {"httpGet": {"path": "/h", "port": "http"}, "periodSeconds": 5},
                    "volumeMounts": [{"name": "v", "mountPath": "/data", "readOnly": true, "subPath": "x"}],
                }],
                "volumes": [{"name": "v", "configMap": {"name": "cm", "defaultMode": 420}}],
            },
            "status": {
                "phase": "Running", "hostIP": "10.0.0.1", "podIP": "10.1.0.1", "podIPs": [{"ip": "10.1.0.1"}], "qosClass": "Burstable",
                "conditions": [{"type": "Ready", "status": "True"}],
                "containerStatuses": [{"name": "c", "ready": true, "restartCount": 2, "imageID": "i", "containerID": "d",
                    "state": {"running": {"startedAt": "2026-11-22T04:26:44Z"}}}],
            },
        })
    }

    #[test]
    fn a_pod_as_kubectl_tells_it() {
        check(
            &LAYOUT,
            &pod(),
            vec![],
            &expect![[r#"
            Name:             web
            Namespace:        default
            Priority:         0
            Service Account:  default
            Node:             n1/10.0.0.1
            Labels:           app=web
            Annotations:      <none>
            Status:           Running
            IP:               10.1.0.1
            IPs:
              IP:           10.1.0.1
            Controlled By:  ReplicaSet/web-1
            Containers:
              c:
                Container ID:  d
                Image:         nginx:1
                Image ID:      i
                Ports:         80/TCP, 81/UDP
                Host Ports:    0/TCP, 0/UDP
                Args:
                  a
                State:          Running
                  Started:      Sun, 22 Nov 2026 04:26:44 +0000
                Ready:          True
                Restart Count:  2
                Limits:
                  cpu:     1
                  memory:  1Gi
                Liveness:  http-get http://:http/h delay=0s timeout=1s period=5s #success=1 #failure=3
                Environment:
                  A:  1
                  C:  <set to the key 'k' in secret 's'>  Optional: false
                Mounts:
                  /data from v (ro,path="x")
            Conditions:
              Type   Status  Reason  Message
              ----   ------  ------  -------
              Ready  True
            Volumes:
              v:
                Type:        ConfigMap (a volume populated by a ConfigMap)
                Name:        cm
            QoS Class:       Burstable
            Node-Selectors:  a=b
            Tolerations:     k:NoExecute op=Exists for 30s
        "#]],
        );
    }
}
