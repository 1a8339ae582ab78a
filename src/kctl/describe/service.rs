//! Services.

use serde_json::Value;

use super::{Layout, Page, Subject, begin, items, pairs, text, text_or};
use crate::manifest;
use crate::server::Call;

/// How services are described.
pub const LAYOUT: Layout = Layout { group: "", kind: "Service", besides, write };

/// How many addresses are shown of a port.
const ADDRESSES_MAX: usize = 3;

fn besides(service: &Value) -> Vec<Call> {
    let path =
        format!("/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices", manifest::namespace(service));
    vec![
        Call::get(path)
            .with("labelSelector", format!("kubernetes.io/service-name={}", manifest::name(service))),
    ]
}

/// Fields that are shown where they are set.
const SOMETIMES: &[(&str, &str)] = &[
    ("External Name", "externalName"),
    ("LoadBalancer Class", "loadBalancerClass"),
    ("IP Family Policy", "ipFamilyPolicy"),
];

fn write(subject: &Subject<'_>, page: &mut Page) {
    let service = subject.object;
    let spec = &service["spec"];
    begin(service, page, |_| {});
    page.field(0, "Selector", pairs(&spec["selector"], "=").replace('\n', ","));
    page.field(0, "Type", text_or(&spec["type"], "ClusterIP"));
    for (name, field) in SOMETIMES {
        if !text(&spec[*field]).is_empty() {
            page.field(0, name, text(&spec[*field]));
        }
    }
    let joined = |list: &Value| items(list).iter().map(text).collect::<Vec<_>>().join(",");
    page.field(0, "IP Families", text_or(&joined(&spec["ipFamilies"]).into(), "<none>"));
    page.field(0, "IP", text(&spec["clusterIP"]));
    page.field(0, "IPs", text_or(&joined(&spec["clusterIPs"]).into(), "<none>"));
    if !items(&spec["externalIPs"]).is_empty() {
        page.field(0, "External IPs", joined(&spec["externalIPs"]));
    }
    for port in items(&spec["ports"]) {
        let protocol = text_or(&port["protocol"], "TCP");
        let name = text_or(&port["name"], "<unset>");
        page.field(0, "Port", format!("{name}  {}/{protocol}", text(&port["port"])));
        page.field(0, "TargetPort", format!("{}/{protocol}", text(&port["targetPort"])));
        if port["nodePort"].is_number() {
            page.field(0, "NodePort", format!("{name}  {}/{protocol}", text(&port["nodePort"])));
        }
        page.field(0, "Endpoints", addresses(subject.besides.first(), port));
    }
    page.field(0, "Session Affinity", text_or(&spec["sessionAffinity"], "None"));
    for (name, field) in [
        ("External Traffic Policy", "externalTrafficPolicy"),
        ("Internal Traffic Policy", "internalTrafficPolicy"),
    ] {
        if !text(&spec[field]).is_empty() {
            page.field(0, name, text(&spec[field]));
        }
    }
}

/// Who serves a port.
fn addresses(slices: Option<&Value>, port: &Value) -> String {
    let mut found = Vec::new();
    for slice in slices.map(|slices| items(&slices["items"])).unwrap_or_default() {
        let number =
            items(&slice["ports"]).iter().find(|served| text(&served["name"]) == text(&port["name"]));
        let Some(number) = number.map(|served| text(&served["port"])) else { continue };
        let is_ready = |one: &&Value| one["conditions"]["ready"] != false;
        for endpoint in items(&slice["endpoints"]).iter().filter(is_ready) {
            found.extend(
                items(&endpoint["addresses"]).iter().map(|address| format!("{}:{number}", text(address))),
            );
        }
    }
    let more = match found.len().saturating_sub(ADDRESSES_MAX) {
        0 => String::new(),
        more => format!(" + {more} more..."),
    };
    found.truncate(ADDRESSES_MAX);
    found.join(",") + &more
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::super::tests::check;
    use super::*;

    #[test]
    fn a_service_as_kubectl_tells_it() {
        let service = json!({
            "metadata": {"name": "web", "namespace": "default", "labels": {"b": "2", "a": "1"}},
            "spec": {"selector": {"app": "web"}, "type": "NodePort", "ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv4"],
                "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "internalTrafficPolicy": "Cluster",
                "ports": [{"name": "http", "port": 80, "targetPort": "web", "nodePort": 30000}]},
        });
        let addresses =
            ["10.1.0.1", "10.1.0.2", "10.1.0.3", "10.1.0.4"].map(|address| json!({"addresses": [address]}));
        let slices = json!({"items": [{"ports": [{"name": "http", "port": 8080}], "endpoints": addresses}]});
        check(
            &LAYOUT,
            &service,
            vec![slices],
            &expect![[r"
            Name:                     web
            Namespace:                default
            Labels:                   a=1
                                      b=2
            Annotations:              <none>
            Selector:                 app=web
            Type:                     NodePort
            IP Family Policy:         SingleStack
            IP Families:              IPv4
            IP:                       10.0.0.1
            IPs:                      10.0.0.1
            Port:                     http  80/TCP
            TargetPort:               web/TCP
            NodePort:                 http  30000/TCP
            Endpoints:                10.1.0.1:8080,10.1.0.2:8080,10.1.0.3:8080 + 1 more...
            Session Affinity:         None
            Internal Traffic Policy:  Cluster
        "]],
        );
    }
}
