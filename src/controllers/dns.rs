//! Service `kube-dns` in `kube-system`: where clients of Kubernetes look for DNS. It selects no pods: every node answers
//! for itself.

use api::{Key, Resource};
use projection::{Controller, Intent, LastOutcomes, Plan, Wakes, World};
use serde_json::json;
use state::Change;

use crate::shared::{service_range, stored};

const NAMESPACE: &str = "kube-system";
const NAME: &str = "kube-dns";

/// Which address of the range of Services it has, as in clusters that kubeadm makes.
const ADDRESS: u8 = 10;

fn key() -> Key {
    Key::object("", "services", NAMESPACE, NAME)
}

/// The row.
pub const DNS: Controller = Controller {
    name: "dns",
    actor: "system:apiserver",
    component: "dns-controller",
    wakes,
    keys: |_, wakes| wakes.add(&key()),
    plan,
};

fn wakes(_: &World, change: &Change, wakes: &mut Wakes) {
    let changed = change.object.key.as_str();
    let is_ours = changed == key().as_str() && change.deleted;
    if is_ours
        || ["core/namespaces/kube-system", "networking.k8s.io/servicecidrs/kubernetes"].contains(&changed)
    {
        wakes.add(&key());
    }
}

fn plan(world: &World, key: &Key, _: &LastOutcomes, _: u64) -> Plan {
    let mut plan = Plan::default();
    if world.state.get(key.as_str()).is_some() || stored::is_closed(world, NAMESPACE) {
        return plan;
    }
    let Some(address) = service_range::nth(world, ADDRESS) else { return plan };
    let labels = json!({
        "k8s-app": NAME, "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS",
    });
    let port = |name: &str, protocol: &str| json!({"name": name, "protocol": protocol, "port": 53, "targetPort": 53});
    let service = json!({
        "metadata": {"name": NAME, "labels": labels},
        "spec": {
            "type": "ClusterIP",
            "clusterIP": address.to_string(),
            "ports": [port("dns", "UDP"), port("dns-tcp", "TCP")],
            "sessionAffinity": "None",
        },
    });
    plan.intents.push(Intent::create(&Resource::builtin("", "v1", "services"), NAMESPACE, service));
    plan
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use projection::testing::{self, put, shown};

    use super::*;

    #[test]
    fn dns_is_a_service_at_the_tenth_address() {
        let namespace = json!({"kind": "Namespace", "metadata": {"name": NAMESPACE}});
        let mut world = testing::world([namespace]);
        assert_eq!(shown(&testing::plan(&world, &key(), DNS.plan)), "", "there are no addresses");
        let range = |cidr: &str| {
            json!({
                "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": {"name": "kubernetes"},
                "spec": {"cidrs": [cidr]},
            })
        };
        put(&mut world, range("10.96.0.0/29"));
        assert_eq!(shown(&testing::plan(&world, &key(), DNS.plan)), "", "there are too few");
        put(&mut world, range("10.96.0.0/16"));
        expect![[r#"
            create services/kube-system {"metadata":{"name":"kube-dns","labels":{"k8s-app":"kube-dns","kubernetes.io/cluster-service":"true","kubernetes.io/name":"CoreDNS"}},"spec":{"type":"ClusterIP","clusterIP":"10.96.0.10","ports":[{"name":"dns","protocol":"UDP","port":53,"targetPort":53},{"name":"dns-tcp","protocol":"TCP","port":53,"targetPort":53}],"sessionAffinity":"None"}}
        "#]]
        .assert_eq(&shown(&testing::plan(&world, &key(), DNS.plan)));
    }
}
