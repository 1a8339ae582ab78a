//! Deployments.

use serde_json::Value;

use super::pod_template::{containers, placement, volumes};
use super::{Layout, Page, Subject, begin, conditions, items, moment, pairs, text, text_or};
use crate::manifest;
use crate::server::Call;
use crate::workload::REVISION;

/// How deployments are described.
pub const LAYOUT: Layout = Layout { group: "apps", kind: "Deployment", besides, write };

fn besides(deployment: &Value) -> Vec<Call> {
    vec![Call::get(format!("/apis/apps/v1/namespaces/{}/replicasets", manifest::namespace(deployment)))]
}

fn write(subject: &Subject<'_>, page: &mut Page) {
    let deployment = subject.object;
    let (spec, status) = (&deployment["spec"], &deployment["status"]);
    begin(deployment, page, |page| {
        page.field(0, "CreationTimestamp", moment(&deployment["metadata"]["creationTimestamp"]));
    });
    page.field(0, "Selector", pairs(&spec["selector"]["matchLabels"], "=").replace('\n', ","));
    let count = |field: &str| status[field].as_i64().unwrap_or(0);
    page.field(
        0,
        "Replicas",
        format!(
            "{} desired | {} updated | {} total | {} available | {} unavailable",
            spec["replicas"].as_i64().unwrap_or(1),
            count("updatedReplicas"),
            count("replicas"),
            count("availableReplicas"),
            count("unavailableReplicas")
        ),
    );
    page.field(0, "StrategyType", text(&spec["strategy"]["type"]));
    page.field(0, "MinReadySeconds", text_or(&spec["minReadySeconds"], "0"));
    let rolling = &spec["strategy"]["rollingUpdate"];
    if rolling.is_object() {
        let words = format!(
            "{} max unavailable, {} max surge",
            text(&rolling["maxUnavailable"]),
            text(&rolling["maxSurge"])
        );
        page.field(0, "RollingUpdateStrategy", words);
    }
    template(&spec["template"], page);
    conditions(deployment, page);
    replica_sets(deployment, subject.besides.first(), page);
}

/// What a template makes, as it is shown alone.
pub fn template_text(template: &Value) -> String {
    let mut page = Page::default();
    self::template(template, &mut page);
    page.text()
}

fn template(template: &Value, page: &mut Page) {
    page.head(0, "Pod Template");
    page.field(1, "Labels", pairs(&template["metadata"]["labels"], "="));
    if template["metadata"]["annotations"].is_object() {
        page.field(1, "Annotations", pairs(&template["metadata"]["annotations"], ": "));
    }
    if !text(&template["spec"]["serviceAccountName"]).is_empty() {
        page.field(1, "Service Account", text(&template["spec"]["serviceAccountName"]));
    }
    containers("Init Containers", &template["spec"]["initContainers"], &Value::Null, 1, page);
    containers("Containers", &template["spec"]["containers"], &Value::Null, 1, page);
    volumes(&template["spec"], 1, page);
    placement(&template["spec"], 1, page);
}

/// The one that has the template of now, and those before it.
fn replica_sets(deployment: &Value, list: Option<&Value>, page: &mut Page) {
    let uid = &deployment["metadata"]["uid"];
    let owned =
        |set: &&Value| items(&set["metadata"]["ownerReferences"]).iter().any(|owner| owner["uid"] == *uid);
    let all: Vec<&Value> =
        list.map(|list| items(&list["items"])).unwrap_or_default().iter().filter(owned).collect();
    if all.is_empty() {
        return;
    }
    let revision = |object: &Value| text(&object["metadata"]["annotations"][REVISION]);
    let shown = |sets: Vec<&&Value>| {
        let one = |set: &&&Value| {
            let replicas = |of: &Value| of["replicas"].as_i64().unwrap_or(0);
            format!(
                "{} ({}/{} replicas created)",
                manifest::name(set),
                replicas(&set["status"]),
                replicas(&set["spec"])
            )
        };
        let words: Vec<String> = sets.iter().map(one).collect();
        if words.is_empty() { "<none>".to_owned() } else { words.join(", ") }
    };
    let (new, old): (Vec<_>, Vec<_>) = all.iter().partition(|set| revision(set) == revision(deployment));
    page.field(0, "OldReplicaSets", shown(old));
    page.field(0, "NewReplicaSet", shown(new));
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::super::tests::check;
    use super::*;

    #[test]
    fn a_deployment_as_kubectl_tells_it() {
        let deployment = json!({
            "metadata": {"name": "web", "namespace": "default", "uid": "u", "creationTimestamp": "2026-11-22T04:26:44Z",
                "annotations": {REVISION: "2"}},
            "spec": {
                "replicas": 2, "selector": {"matchLabels": {"app": "web", "x": "y"}},
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 1}},
                "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "nginx", "image": "nginx"}]}},
            },
            "status": {"replicas": 2, "unavailableReplicas": 2},
        });
        let set = |name: &str, revision: &str| json!({"metadata": {"name": name, "annotations": {REVISION: revision}, "ownerReferences": [{"uid": "u"}]}, "spec": {"replicas": 2}});
        let sets = json!({"items": [set("web-1", "1"), set("web-2", "2"), {"metadata": {"name": "other"}}]});
        check(
            &LAYOUT,
            &deployment,
            vec![sets],
            &expect![[r#"
                Name:                   web
                Namespace:              default
                CreationTimestamp:      Sun, 22 Nov 2026 04:26:44 +0000
                Labels:                 <none>
                Annotations:            deployment.kubernetes.io/revision: 2
                Selector:               app=web,x=y
                Replicas:               2 desired | 0 updated | 2 total | 0 available | 2 unavailable
                StrategyType:           RollingUpdate
                MinReadySeconds:        0
                RollingUpdateStrategy:  1 max unavailable, 25% max surge
                Pod Template:
                  Labels:  app=web
                  Containers:
                    nginx:
                      Image:        nginx
                      Port:         <none>
                      Host Port:    <none>
                      Environment:  <none>
                      Mounts:       <none>
                  Volumes:          <none>
                  Node-Selectors:   <none>
                  Tolerations:      <none>
                OldReplicaSets:     web-1 (0/2 replicas created)
                NewReplicaSet:      web-2 (0/2 replicas created)
            "#]],
        );
    }
}
