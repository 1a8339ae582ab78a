use api::{Key, Status};
use expect_test::expect;
use projection::controller::Refused;
use projection::testing::{NOW_MS, plan, put, shown, world};
use projection::{LastOutcomes, World};
use serde_json::{Value, json};

use super::DEPLOYMENT;
use crate::replicaset::REPLICA_SET;
use crate::shared::stored;
use crate::testing::{carry_out, change, namespace, nobody, pod, run_pods, settle, woken, woken_by_removal};

fn deployment(replicas: u32) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default", "generation": 1},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": template("one"),
        },
    })
}

fn template(image: &str) -> Value {
    json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": image}]}})
}

fn key() -> Key {
    Key::object("apps", "deployments", "default", "web")
}

fn of(objects: impl IntoIterator<Item = Value>) -> World {
    world([namespace("default")].into_iter().chain(objects))
}

/// A deployment whose pods run.
fn settled(deployment: Value) -> World {
    let mut world = of([deployment]);
    settle(&mut world, &[DEPLOYMENT, REPLICA_SET], run_pods);
    world
}

fn edit(world: &mut World, edit: impl FnOnce(&mut Value)) {
    change(world, &key(), |deployment| {
        edit(&mut deployment["spec"]);
        let generation = deployment["metadata"]["generation"].as_i64().unwrap_or(0);
        deployment["metadata"]["generation"] = (generation + 1).into();
    });
}

/// The ReplicaSets, the oldest first: image, size, revision.
fn sets(world: &World) -> Vec<String> {
    let mut sets: Vec<_> = world.state.range("apps/replicasets/").collect();
    sets.sort_by_key(|set| set.created);
    let line = |set: &&std::sync::Arc<state::Object>| {
        let tree = stored::tree(set);
        let image = &tree["spec"]["template"]["spec"]["containers"][0]["image"];
        let annotations = &tree["metadata"]["annotations"];
        let revision = &annotations["deployment.kubernetes.io/revision"];
        let history = annotations["deployment.kubernetes.io/revision-history"].as_str().unwrap_or_default();
        format!("{image} x{} revision {revision} before {history:?}", tree["spec"]["replicas"])
    };
    sets.iter().map(line).collect()
}

fn status(world: &World) -> Value {
    let mut status = stored::at(world.state.get(key().as_str()).expect("it is there"), &["status"]);
    for condition in status["conditions"].as_array_mut().into_iter().flatten() {
        let condition = condition.as_object_mut().expect("a condition");
        condition.shift_remove("lastUpdateTime");
        condition.shift_remove("lastTransitionTime");
    }
    status
}

fn condition(world: &World, kind: &str) -> String {
    let status = status(world);
    let all = status["conditions"].as_array().cloned().unwrap_or_default();
    let found = all.iter().find(|condition| condition["type"] == kind);
    found.map_or_else(String::new, |one| {
        let text = |field: &str| one[field].as_str().unwrap_or_default().to_owned();
        format!("{} {}: {}", text("status"), text("reason"), text("message"))
    })
}

#[test]
fn a_new_deployment_gets_its_first_replica_set_in_one_transaction() {
    let plan = plan(&of([deployment(3)]), &key(), DEPLOYMENT.plan);
    assert_eq!((plan.intents.len(), plan.intents[0].ops.len()), (1, 2));
    expect![[r#"
        create replicasets/default {"apiVersion":"apps/v1","kind":"ReplicaSet","metadata":{"name":"web-mtznmclmgp","labels":{"app":"web","pod-template-hash":"mtznmclmgp"},"annotations":{"deployment.kubernetes.io/revision":"1","deployment.kubernetes.io/desired-replicas":"3","deployment.kubernetes.io/max-replicas":"4"},"ownerReferences":[{"apiVersion":"apps/v1","kind":"Deployment","name":"web","uid":"uid-web","controller":true,"blockOwnerDeletion":true}]},"spec":{"replicas":3,"minReadySeconds":0,"selector":{"matchLabels":{"app":"web","pod-template-hash":"mtznmclmgp"}},"template":{"metadata":{"labels":{"app":"web","pod-template-hash":"mtznmclmgp"}},"spec":{"containers":[{"name":"c","image":"one","resources":{},"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File","imagePullPolicy":"Always"}],"restartPolicy":"Always","terminationGracePeriodSeconds":30,"dnsPolicy":"ClusterFirst","securityContext":{},"schedulerName":"default-scheduler"}}}} + patch apps/deployments/default/web/status {"metadata":{"annotations":{"deployment.kubernetes.io/revision":"1"}},"status":{"observedGeneration":1,"replicas":0,"updatedReplicas":0,"readyReplicas":0,"availableReplicas":0,"unavailableReplicas":3,"terminatingReplicas":0,"conditions":[{"type":"Available","status":"False","reason":"MinimumReplicasUnavailable","message":"Deployment does not have minimum availability.","lastUpdateTime":"2026-01-01T00:00:00Z","lastTransitionTime":"2026-01-01T00:00:00Z"},{"type":"Progressing","status":"True","reason":"NewReplicaSetCreated","message":"Created new replica set \"web-mtznmclmgp\"","lastUpdateTime":"2026-01-01T00:00:00Z","lastTransitionTime":"2026-01-01T00:00:00Z"}]}} if Live { key: "apps/deployments/default/web", uid: "uid-web" }
        again in 601000 ms
    "#]].assert_eq(&shown(&plan));
    let told = plan.intents[0].told.clone().expect("it is told");
    expect![[r#"
        (
            Some(
                (
                    "ScalingReplicaSet",
                    "Scaled up replica set web-mtznmclmgp from 0 to 3",
                ),
            ),
            None,
        )
    "#]]
    .assert_debug_eq(&(told.done, told.refused));
}

#[test]
fn a_deployment_comes_up() {
    let world = settled(deployment(3));
    expect![[r#"
        [
            "\"one\" x3 revision \"1\" before \"\"",
        ]
    "#]]
    .assert_debug_eq(&sets(&world));
    expect![[r#"
        {
          "observedGeneration": 1,
          "replicas": 3,
          "updatedReplicas": 3,
          "readyReplicas": 3,
          "availableReplicas": 3,
          "terminatingReplicas": 0,
          "conditions": [
            {
              "type": "Available",
              "status": "True",
              "reason": "MinimumReplicasAvailable",
              "message": "Deployment has minimum availability."
            },
            {
              "type": "Progressing",
              "status": "True",
              "reason": "NewReplicaSetAvailable",
              "message": "ReplicaSet \"web-mtznmclmgp\" has successfully progressed."
            }
          ]
        }"#]]
    .assert_eq(&format!("{:#}", status(&world)));
    let object = world.state.get(key().as_str()).expect("it is there");
    assert_eq!(stored::annotation(object, "deployment.kubernetes.io/revision").as_deref(), Some("1"));
}

#[test]
fn a_rolling_update_keeps_its_bounds_at_every_step() {
    for (surge, unavailable) in [(json!("25%"), json!("25%")), (json!(0), json!(1)), (json!(2), json!(0))] {
        let mut web = deployment(4);
        web["spec"]["strategy"] = json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}});
        let mut world = settled(web);
        edit(&mut world, |spec| spec["template"] = template("two"));
        let (most, least) = match (surge.as_i64(), unavailable.as_i64()) {
            (Some(surge), Some(unavailable)) => (4 + surge as usize, 4 - unavailable as usize),
            _ => (5, 3),
        };
        settle(&mut world, &[DEPLOYMENT, REPLICA_SET], |world| {
            assert!(world.pods.len() <= most, "{} pods, surge {surge}", world.pods.len());
            let ready = world.pods.iter().filter(|pod| pod.is_ready).count();
            assert!(ready >= least, "{ready} ready, unavailable {unavailable}");
            run_pods(world)
        });
        assert_eq!(
            sets(&world),
            ["\"one\" x0 revision \"1\" before \"\"", "\"two\" x4 revision \"2\" before \"\""]
        );
        assert!(
            condition(&world, "Progressing").starts_with("True NewReplicaSetAvailable: ReplicaSet \"web-")
        );
    }
}

#[test]
fn going_back_finds_the_older_template_again() {
    let mut world = settled(deployment(2));
    edit(&mut world, |spec| spec["template"] = template("two"));
    settle(&mut world, &[DEPLOYMENT, REPLICA_SET], run_pods);
    edit(&mut world, |spec| spec["template"] = template("one"));
    settle(&mut world, &[DEPLOYMENT, REPLICA_SET], run_pods);
    expect![[r#"
        [
            "\"one\" x2 revision \"3\" before \"1\"",
            "\"two\" x0 revision \"2\" before \"\"",
        ]
    "#]]
    .assert_debug_eq(&sets(&world));
}

#[test]
fn an_update_during_an_update_rolls_over_to_the_newest() {
    let mut world = settled(deployment(3));
    edit(&mut world, |spec| spec["template"] = template("broken"));
    settle(&mut world, &[DEPLOYMENT, REPLICA_SET], nobody);
    edit(&mut world, |spec| spec["template"] = template("two"));
    settle(&mut world, &[DEPLOYMENT, REPLICA_SET], run_pods);
    expect![[r#"
        [
            "\"one\" x0 revision \"1\" before \"\"",
            "\"broken\" x0 revision \"2\" before \"\"",
            "\"two\" x3 revision \"3\" before \"\"",
        ]
    "#]]
    .assert_debug_eq(&sets(&world));
}

#[test]
fn recreate_ends_all_old_pods_before_the_first_new_one() {
    let mut web = deployment(2);
    web["spec"]["strategy"] = json!({"type": "Recreate"});
    let mut world = settled(web);
    edit(&mut world, |spec| spec["template"] = template("two"));
    settle(&mut world, &[DEPLOYMENT, REPLICA_SET], |world| {
        let images: std::collections::BTreeSet<_> = world
            .pods
            .iter()
            .map(|pod| stored::at(&pod.object, &["spec", "containers"])[0]["image"].to_string())
            .collect();
        assert!(images.len() <= 1, "{images:?}");
        run_pods(world)
    });
    expect![[r#"
        [
            "\"one\" x0 revision \"1\" before \"\"",
            "\"two\" x2 revision \"2\" before \"\"",
        ]
    "#]]
    .assert_debug_eq(&sets(&world));
}

#[test]
fn a_paused_deployment_scales_but_does_not_roll() {
    let mut world = settled(deployment(2));
    edit(&mut world, |spec| {
        spec["paused"] = true.into();
        spec["template"] = template("two");
        spec["replicas"] = 5.into();
    });
    settle(&mut world, &[DEPLOYMENT, REPLICA_SET], run_pods);
    expect![[r#"
        (
            [
                "\"one\" x5 revision \"1\" before \"\"",
            ],
            "Unknown DeploymentPaused: Deployment is paused",
        )
    "#]]
    .assert_debug_eq(&(sets(&world), condition(&world, "Progressing")));
    edit(&mut world, |spec| spec["paused"] = false.into());
    let plan = plan(&world, &key(), DEPLOYMENT.plan);
    carry_out(&mut world, &plan);
    settle(&mut world, &[DEPLOYMENT, REPLICA_SET], run_pods);
    expect![[r#"
        (
            [
                "\"one\" x0 revision \"1\" before \"\"",
                "\"two\" x5 revision \"2\" before \"\"",
            ],
            "True NewReplicaSetAvailable: ReplicaSet \"web-pttnnpmzzg\" has successfully progressed.",
        )
    "#]]
    .assert_debug_eq(&(sets(&world), condition(&world, "Progressing")));
}

#[test]
fn scaling_during_a_rollout_shares_in_proportion() {
    let mut web = deployment(10);
    web["spec"]["strategy"] =
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 3, "maxUnavailable": 2}});
    let mut world = settled(web);
    edit(&mut world, |spec| spec["template"] = template("never-ready"));
    settle(&mut world, &[DEPLOYMENT, REPLICA_SET], nobody);
    let before = sets(&world);
    edit(&mut world, |spec| spec["replicas"] = 30.into());
    settle(&mut world, &[DEPLOYMENT], nobody);
    expect![[r#"
        (
            [
                "\"one\" x8 revision \"1\" before \"\"",
                "\"never-ready\" x5 revision \"2\" before \"\"",
            ],
            [
                "\"one\" x20 revision \"1\" before \"\"",
                "\"never-ready\" x13 revision \"2\" before \"\"",
            ],
        )
    "#]]
    .assert_debug_eq(&(before, sets(&world)));
}

#[test]
fn old_replica_sets_beyond_the_limit_go() {
    let mut web = deployment(1);
    web["spec"]["revisionHistoryLimit"] = 1.into();
    let mut world = settled(web);
    for image in ["two", "three", "four"] {
        edit(&mut world, |spec| spec["template"] = template(image));
        settle(&mut world, &[DEPLOYMENT, REPLICA_SET], run_pods);
    }
    expect![[r#"
        [
            "\"three\" x0 revision \"3\" before \"\"",
            "\"four\" x1 revision \"4\" before \"\"",
        ]
    "#]]
    .assert_debug_eq(&sets(&world));
}

#[test]
fn a_name_that_is_taken_changes_the_hash() {
    let world = of([deployment(1)]);
    let first = plan(&world, &key(), DEPLOYMENT.plan);
    let mut other = world.clone();
    carry_out(&mut other, &first);
    let set = other.state.range("apps/replicasets/").next().expect("it was created").clone();
    let mut strange = stored::tree(&set);
    strange["metadata"] = json!({"name": set.key.name(), "namespace": "default"});
    strange["spec"]["template"] = template("other");
    strange["spec"]["template"]["metadata"]["labels"] = json!({"app": "other"});
    strange["spec"]["selector"] = json!({"matchLabels": {"app": "other"}});
    let mut world = world;
    put(&mut world, strange);
    expect![[r#"
        patch apps/deployments/default/web/status {"status":{"collisionCount":1}}
    "#]]
    .assert_eq(&shown(&plan(&world, &key(), DEPLOYMENT.plan)));
    settle(&mut world, &[DEPLOYMENT, REPLICA_SET], run_pods);
    assert_eq!(world.state.count("apps/replicasets/"), 2);
}

#[test]
fn a_rollout_that_stands_still_runs_out_of_time() {
    let mut web = deployment(1);
    web["spec"]["progressDeadlineSeconds"] = 600.into();
    let mut world = of([web]);
    settle(&mut world, &[DEPLOYMENT, REPLICA_SET], nobody);
    let waits = plan(&world, &key(), DEPLOYMENT.plan);
    assert_eq!((waits.intents.len(), waits.requeue_ms), (0, Some(NOW_MS + 601_000)));
    let late = (DEPLOYMENT.plan)(&world, &key(), &LastOutcomes::default(), NOW_MS + 601_000);
    carry_out(&mut world, &late);
    expect![[r#"False ProgressDeadlineExceeded: ReplicaSet "web-mtznmclmgp" has timed out progressing."#]]
        .assert_eq(&condition(&world, "Progressing"));
    let after = (DEPLOYMENT.plan)(&world, &key(), &LastOutcomes::default(), NOW_MS + 602_000);
    assert_eq!((after.intents.len(), after.requeue_ms), (0, None), "it stays as it is");
}

#[test]
fn what_a_replica_set_cannot_do_is_told() {
    let mut world = of([deployment(1)]);
    let first = plan(&world, &key(), DEPLOYMENT.plan);
    carry_out(&mut world, &first);
    let set = world.state.range("apps/replicasets/").next().expect("it was created").key.clone();
    change(&mut world, &set, |set| {
        set["status"] = json!({"replicas": 0, "observedGeneration": 1, "conditions": [{"type": "ReplicaFailure",
            "status": "True", "reason": "FailedCreate", "message": "exceeded quota", "lastTransitionTime": "2026-01-01T00:00:00Z"}]});
    });
    settle(&mut world, &[DEPLOYMENT], nobody);
    assert_eq!(condition(&world, "ReplicaFailure"), "True FailedCreate: exceeded quota");
    change(&mut world, &set, |set| set["status"] = json!({"replicas": 0, "observedGeneration": 1}));
    settle(&mut world, &[DEPLOYMENT], nobody);
    assert_eq!(condition(&world, "ReplicaFailure"), "");
}

#[test]
fn a_refused_replica_set_is_told_once_and_tried_again() {
    let mut world = of([deployment(1)]);
    let status =
        Status::forbidden(api::GroupResource { group: "apps", resource: "replicasets" }, "web-x", "no");
    let last = LastOutcomes { refused: vec![Refused { intent: 0, status }], failures: 1 };
    let told = (DEPLOYMENT.plan)(&world, &key(), &last, NOW_MS);
    carry_out(&mut world, &told);
    expect![[r#"False ReplicaSetCreateError: Failed to create new replica set "web-mtznmclmgp": replicasets.apps "web-x" is forbidden: no"#]].assert_eq(&condition(&world, "Progressing"));
    let again = (DEPLOYMENT.plan)(&world, &key(), &last, NOW_MS);
    assert_eq!(again.intents[0].ops.len(), 2, "create and status");
}

#[test]
fn replica_sets_are_taken_on_and_let_go_by_their_labels() {
    let mut world = settled(deployment(1));
    let set = world.state.range("apps/replicasets/").next().expect("one").key.clone();
    change(&mut world, &set, |set| {
        _ = set["metadata"].as_object_mut().expect("it").shift_remove("ownerReferences")
    });
    let plan_text = shown(&plan(&world, &key(), DEPLOYMENT.plan));
    assert!(
        plan_text.starts_with(&format!("patch {set} {{\"metadata\":{{\"ownerReferences\":[{{")),
        "{plan_text}"
    );
    settle(&mut world, &[DEPLOYMENT, REPLICA_SET], run_pods);
    assert_eq!(world.state.count("apps/replicasets/"), 1, "it was taken on again");
    change(&mut world, &set, |set| set["metadata"]["labels"] = json!({"app": "other"}));
    let plan_text = shown(&plan(&world, &key(), DEPLOYMENT.plan));
    assert_eq!(plan_text, format!("patch {set} {{\"metadata\":{{\"ownerReferences\":null}}}}\n"));
}

#[test]
fn one_that_is_going_only_tells_its_status() {
    let mut world = settled(deployment(1));
    edit(&mut world, |spec| spec["template"] = template("two"));
    change(&mut world, &key(), |web| {
        web["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        web["metadata"]["finalizers"] = json!(["foregroundDeletion"]);
    });
    let plan = plan(&world, &key(), DEPLOYMENT.plan);
    assert!(plan.intents.iter().all(|intent| {
        shown(&projection::Plan { intents: vec![intent.clone()], ..Default::default() })
            .starts_with("patch apps/deployments/default/web/status")
    }));
}

#[test]
fn a_change_wakes_whom_it_concerns() {
    let mut world = settled(deployment(1));
    let set = world.state.range("apps/replicasets/").next().expect("one").clone();
    let mut changed = stored::tree(&set);
    changed["metadata"].as_object_mut().expect("it").shift_remove("resourceVersion");
    assert_eq!(woken(&DEPLOYMENT, &mut world, changed.clone()), [key().to_string()]);
    let mut orphan = changed;
    orphan["metadata"]["name"] = "orphan".into();
    orphan["metadata"]["uid"] = "uid-orphan".into();
    orphan["metadata"].as_object_mut().expect("it").shift_remove("ownerReferences");
    assert_eq!(woken(&DEPLOYMENT, &mut world, orphan), [key().to_string()]);
    assert!(woken(&DEPLOYMENT, &mut world, pod("x", json!({"app": "web"}), "n")).is_empty());
    let of_it = world.owners.dependents(&set.meta.uid).next().expect("a pod").clone();
    assert_eq!(woken_by_removal(&DEPLOYMENT, &mut world, &of_it), [key().to_string()]);
}
