//! `kctl drain`
//!
//! # Flow
//! Nodes are cordoned. Of each the pods are looked at ([`plan`]), and if none of them is one that may not go, all
//! are evicted at once; who keeps one is asked again until he lets it go.

mod evict;
mod plan;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::cordon::{self, Nodes};
use crate::failure::{Failure, Tally};
use crate::flags::{DryRun, Select, duration};
use crate::manifest;
use crate::screen::{Screen, warn};
use crate::server::{Call, Server};
use crate::targets::{self, Target};
use plan::{Allowed, DaemonSet, Plan};

/// Which nodes, and which pods may go.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    nodes: Nodes,
    /// Leave pods of DaemonSets where they are.
    #[arg(long)]
    ignore_daemonsets: bool,
    /// Pods may go that keep data in an emptyDir, which is lost.
    #[arg(long)]
    delete_emptydir_data: bool,
    /// Pods may go that nothing makes anew.
    #[arg(long)]
    force: bool,
    /// How many seconds pods have to end; negative: as many as they say themselves.
    #[arg(long, default_value_t = -1, hide_default_value = true, allow_negative_numbers = true, value_name = "SECONDS")]
    grace_period: i64,
    /// How long to go on; 0: until it is done.
    #[arg(long, default_value = "0", hide_default_value = true, value_name = "DURATION")]
    timeout: String,
    /// Only pods with these labels.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "QUERY")]
    pod_selector: String,
    /// Whether to really do it.
    #[arg(long, value_enum, default_value_t = DryRun::None, value_name = "STRATEGY")]
    dry_run: DryRun,
}

/// Runs the verb.
pub async fn run(args: &Args, server: &Server, screen: Screen) -> Result<(), Failure> {
    let limit = Some(duration("--timeout", &args.timeout)?).filter(|limit| !limit.is_zero());
    if api::selector::Selector::parse(&args.pod_selector).is_err() {
        return Err(Failure::Usage(
            "--pod-selector=<pod_selector> must be a valid label selector".to_owned(),
        ));
    }
    let nodes = args.nodes.find("drain", server).await?;
    let mut tally = Tally::default();
    for node in &nodes {
        let outcome = cordon::one(node, true, args.dry_run, server, screen).await;
        let doing = format!("unable to cordon node \"{}\"", node.name);
        tally.take(outcome.map_err(|failure| failure.doing(&doing)))?;
    }
    let (mut pending, mut reasons) = (Vec::new(), Vec::new());
    for node in &nodes {
        let why = drain(args, node, limit, server, screen).await?;
        if why.is_empty() {
            screen.line(&format!("{} drained{}", node.printed(), args.dry_run.note()))?;
            continue;
        }
        warn(&format!(
            "error: unable to drain node \"{}\" due to error: {}, continuing command...",
            node.name,
            together(&why)
        ));
        pending.push(format!(" {}", node.name));
        reasons.extend(why);
    }
    if !pending.is_empty() {
        warn(&format!("There are pending nodes to be drained:\n{}", pending.join("\n")));
    }
    for why in reasons {
        tally.take::<()>(Err(Failure::Refused(why)))?;
    }
    tally.close()
}

/// Moves the pods of a node away; returns what kept it from that.
async fn drain(
    args: &Args,
    node: &Target,
    limit: Option<std::time::Duration>,
    server: &Server,
    screen: Screen,
) -> Result<Vec<String>, Failure> {
    let plan = match planned(args, node, server).await {
        Ok(plan) => plan,
        Err(Failure::NoAnswer(why)) => return Err(Failure::NoAnswer(why)),
        Err(failure) => return Ok(vec![failure.words()]),
    };
    let errors = plan.errors();
    if !errors.is_empty() {
        return Ok(errors);
    }
    if let Some(warnings) = plan.warnings() {
        warn(&format!("Warning: {warnings}"));
    }
    if args.dry_run == DryRun::Client {
        for pod in &plan.evicted {
            screen.line(&format!("evicting pod {} (dry run)", place(pod)))?;
        }
        return Ok(Vec::new());
    }
    let grace = Some(args.grace_period).filter(|seconds| *seconds >= 0);
    let how = evict::How { limit, grace_seconds: grace, dry_run: args.dry_run };
    let errors = evict::all(node, &plan.evicted, how, server, screen).await?;
    if !errors.is_empty() {
        let left = planned(args, node, server).await.map(|plan| plan.evicted).unwrap_or_default();
        if !left.is_empty() {
            let names = left.iter().map(|pod| format!("pod/{}", manifest::name(pod))).collect::<Vec<_>>();
            warn(&format!(
                "There are pending pods in node \"{}\" when an error occurred: {}\n{}",
                node.name,
                together(&errors),
                names.join("\n")
            ));
        }
    }
    Ok(errors)
}

/// What is to become of the pods of a node.
async fn planned(args: &Args, node: &Target, server: &Server) -> Result<Plan, Failure> {
    let all = Target::all(&server.catalog.find("pods")?, "");
    let select = Select {
        labels: args.pod_selector.clone(),
        fields: format!("spec.nodeName={}", node.name),
        all_namespaces: true,
    };
    let pods = targets::list(server, &all, &select).await?;
    let mut daemon_sets = BTreeMap::new();
    let paths: BTreeSet<String> = pods.iter().filter_map(plan::daemon_set).collect();
    for path in paths {
        let state = match server.json(Call::get(&*path)).await {
            Ok(_) => DaemonSet::There,
            Err(failure) if failure.is("NotFound") => DaemonSet::Gone(failure.words()),
            Err(failure) => return Err(failure),
        };
        daemon_sets.insert(path, state);
    }
    let allowed = Allowed {
        daemon_sets: args.ignore_daemonsets,
        local_storage: args.delete_emptydir_data,
        unmanaged: args.force,
    };
    Ok(plan::plan(pods, allowed, &daemon_sets))
}

/// `NAMESPACE/NAME`
fn place(pod: &Value) -> String {
    format!("{}/{}", manifest::namespace(pod), manifest::name(pod))
}

/// Several reasons as one.
fn together(reasons: &[String]) -> String {
    match reasons {
        [one] => one.clone(),
        several => format!("[{}]", several.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use serde_json::{Value, json};

    use crate::fake::{Fake, refusal};

    fn pod(name: &str, owner: &str) -> Value {
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "shop", "uid": name},
            "spec": {"nodeName": "n1", "containers": []}, "status": {"phase": "Running"},
        });
        if !owner.is_empty() {
            pod["metadata"]["ownerReferences"] =
                json!([{"apiVersion": "apps/v1", "kind": owner, "name": "of", "controller": true}]);
        }
        pod
    }

    fn fake(pods: impl IntoIterator<Item = Value>) -> Fake {
        let fake = Fake::of(pods);
        fake.put(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}, "spec": {"unschedulable": true}}));
        fake.put(json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "of", "namespace": "shop"}}));
        fake
    }

    fn check(fake: &Fake, line: &str, expected: &Expect) {
        expected.assert_eq(&fake.run(line));
    }

    #[test]
    fn pods_are_evicted_and_waited_for() {
        let fake = fake([pod("a", "ReplicaSet"), pod("d", "DaemonSet"), pod("bare", "")]);
        check(
            &fake,
            "drain n1 --ignore-daemonsets --force --dry-run=client",
            &expect![[r#"
            node/n1 already cordoned (dry run)
            Warning: deleting Pods that declare no controller: shop/bare; ignoring DaemonSet-managed Pods: shop/d
            evicting pod shop/a (dry run)
            evicting pod shop/bare (dry run)
            node/n1 drained (dry run)
        "#]],
        );
        check(
            &fake,
            "drain n1 --ignore-daemonsets --force --grace-period=7",
            &expect![[r#"
            node/n1 already cordoned
            Warning: deleting Pods that declare no controller: shop/bare; ignoring DaemonSet-managed Pods: shop/d
            evicting pod shop/a
            evicting pod shop/bare
            pod/a evicted
            pod/bare evicted
            node/n1 drained
            > POST /api/v1/namespaces/shop/pods/a/eviction {"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"a","namespace":"shop"},"deleteOptions":{"gracePeriodSeconds":7}}
            > POST /api/v1/namespaces/shop/pods/bare/eviction {"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"bare","namespace":"shop"},"deleteOptions":{"gracePeriodSeconds":7}}
        "#]],
        );
        check(
            &fake,
            "drain n1 --ignore-daemonsets",
            &expect![[r#"
            node/n1 already cordoned
            Warning: ignoring DaemonSet-managed Pods: shop/d
            node/n1 drained
        "#]],
        );
    }

    #[test]
    fn pods_that_may_not_go_keep_all_others() {
        let fake = fake([pod("a", "ReplicaSet"), pod("d", "DaemonSet"), pod("bare", "")]);
        check(
            &fake,
            "drain n1",
            &expect![[r#"
            node/n1 already cordoned
            error: unable to drain node "n1" due to error: [cannot delete DaemonSet-managed Pods (use --ignore-daemonsets to ignore): shop/d, cannot delete Pods that declare no controller (use --force to override): shop/bare], continuing command...
            There are pending nodes to be drained:
             n1
            kctl: cannot delete DaemonSet-managed Pods (use --ignore-daemonsets to ignore): shop/d
            kctl: cannot delete Pods that declare no controller (use --force to override): shop/bare
            [exit code 1]
        "#]],
        );
        check(
            &fake,
            "drain n1 --pod-selector=a=(",
            &expect![[r#"
            kctl: --pod-selector=<pod_selector> must be a valid label selector
            [exit code 2]
        "#]],
        );
    }

    #[test]
    fn who_keeps_a_pod_is_asked_again() {
        let kept = refusal(
            429,
            "TooManyRequests",
            "Cannot evict pod as it would violate the pod's disruption budget.",
        );
        let eviction = "POST /api/v1/namespaces/shop/pods/a/eviction";
        let patient = fake([pod("a", "ReplicaSet")]);
        patient.say(eviction, 429, &kept);
        check(
            &patient,
            "drain n1",
            &expect![[r#"
            node/n1 already cordoned
            evicting pod shop/a
            error when evicting pods/"a" -n "shop" (will retry after 5s): Cannot evict pod as it would violate the pod's disruption budget.
            evicting pod shop/a
            pod/a evicted
            node/n1 drained
            > POST /api/v1/namespaces/shop/pods/a/eviction {"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"a","namespace":"shop"},"deleteOptions":{}}
            > POST /api/v1/namespaces/shop/pods/a/eviction {"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"a","namespace":"shop"},"deleteOptions":{}}
        "#]],
        );
        let hurried = fake([pod("a", "ReplicaSet")]);
        (0..9).for_each(|_| hurried.say(eviction, 429, &kept));
        check(
            &hurried,
            "drain n1 --timeout=12s",
            &expect![[r#"
            node/n1 already cordoned
            evicting pod shop/a
            error when evicting pods/"a" -n "shop" (will retry after 5s): Cannot evict pod as it would violate the pod's disruption budget.
            evicting pod shop/a
            error when evicting pods/"a" -n "shop" (will retry after 5s): Cannot evict pod as it would violate the pod's disruption budget.
            evicting pod shop/a
            error when evicting pods/"a" -n "shop" (will retry after 5s): Cannot evict pod as it would violate the pod's disruption budget.
            evicting pod shop/a
            There are pending pods in node "n1" when an error occurred: error when evicting pods/"a" -n "shop": global timeout reached: 12s: Cannot evict pod as it would violate the pod's disruption budget.
            pod/a
            error: unable to drain node "n1" due to error: error when evicting pods/"a" -n "shop": global timeout reached: 12s: Cannot evict pod as it would violate the pod's disruption budget., continuing command...
            There are pending nodes to be drained:
             n1
            kctl: error when evicting pods/"a" -n "shop": global timeout reached: 12s: Cannot evict pod as it would violate the pod's disruption budget.
            [exit code 1]
            > POST /api/v1/namespaces/shop/pods/a/eviction {"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"a","namespace":"shop"},"deleteOptions":{}}
            > POST /api/v1/namespaces/shop/pods/a/eviction {"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"a","namespace":"shop"},"deleteOptions":{}}
            > POST /api/v1/namespaces/shop/pods/a/eviction {"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"a","namespace":"shop"},"deleteOptions":{}}
        "#]],
        );
    }

    #[test]
    fn a_pod_that_does_not_end_is_named() {
        let fake = fake([pod("a", "ReplicaSet")]);
        let mut ending = pod("a", "ReplicaSet");
        ending["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        ending["metadata"]["finalizers"] = json!(["example.com/keep"]);
        fake.say("POST /api/v1/namespaces/shop/pods/a/eviction", 201, json!({"kind": "Status"}));
        fake.put(ending);
        check(
            &fake,
            "drain n1 --timeout=3s",
            &expect![[r#"
            node/n1 already cordoned
            evicting pod shop/a
            There are pending pods in node "n1" when an error occurred: error when waiting for pod "a" in namespace "shop" to terminate: context deadline exceeded: it waits for its finalizers: example.com/keep
            pod/a
            error: unable to drain node "n1" due to error: error when waiting for pod "a" in namespace "shop" to terminate: context deadline exceeded: it waits for its finalizers: example.com/keep, continuing command...
            There are pending nodes to be drained:
             n1
            kctl: error when waiting for pod "a" in namespace "shop" to terminate: context deadline exceeded: it waits for its finalizers: example.com/keep
            [exit code 1]
            > POST /api/v1/namespaces/shop/pods/a/eviction {"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"a","namespace":"shop"},"deleteOptions":{}}
        "#]],
        );
    }
}
