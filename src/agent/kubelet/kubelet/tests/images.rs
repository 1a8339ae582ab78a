//! Images that are no names, and those that only some may pull.

use std::collections::BTreeMap;

use expect_test::expect;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use serde_json::json;

use super::{check, lines, seconds};
use crate::engine::Credentials;
use crate::testing::{World, named_pod, pod, status_line};

#[test]
fn a_text_that_is_no_name_of_an_image_is_told_and_nothing_is_pulled() {
    let life = async |world: &World| {
        let node = world.start();
        let spec = json!({"containers": [{"name": "main", "image": "app:1:2", "imagePullPolicy": "Always"}]});
        node.handle.desired(pod(spec)).await.expect("a pod");
        seconds(5).await;
        let status = world.shown();
        let pulls = world.engine.calls().iter().filter(|call| call.starts_with("pull")).count();
        format!("{status}\n{pulls} pulls\n{}", lines(&world.control.events()))
    };
    check(
        1,
        life,
        &expect![[r#"
        Pending [PodReadyToStartContainers Initialized PodScheduled]; main InvalidImageName(Failed to apply default image tag "app:1:2": couldn't parse image name "app:1:2": invalid reference format) #0
        0 pulls
        InspectFailed: Failed to apply default image tag "app:1:2": couldn't parse image name "app:1:2": invalid reference format
        Failed: Error: InvalidImageName
    "#]],
    );
}

#[test]
fn an_image_is_pulled_as_whom_the_pods_secrets_say() {
    let life = async |world: &World| {
        let node = world.start();
        let account = Credentials {
            server: "registry.example".to_owned(),
            username: "team".to_owned(),
            password: "pw".to_owned(),
        };
        world.engine.can_pull_as("registry.example/app:1", account.clone());
        world.engine.can_pull_as("registry.example/other:1", account);
        let spec = |image: &str, secret: &str| {
            json!({
                "containers": [{"name": "main", "image": image}],
                "imagePullSecrets": [{"name": "missing"}, {"name": secret}],
            })
        };
        let secret = |password: &str| {
            let document = json!({"auths": {"registry.example": {"username": "team", "password": password}}});
            let data =
                BTreeMap::from([(".dockerconfigjson".to_owned(), ByteString(document.to_string().into()))]);
            Secret { data: Some(data), ..Secret::default() }
        };
        world.control.has_secret("shop", "right", secret("pw"));
        world.control.has_secret("shop", "wrong", secret("other"));
        node.handle.desired(pod(spec("registry.example/app:1", "right"))).await.expect("a pod");
        node.handle
            .desired(named_pod("db", "u2", spec("registry.example/other:1", "wrong")))
            .await
            .expect("a pod");
        seconds(3).await;
        let shown = ["u1", "u2"].map(|uid| status_line(&world.control.status(uid).expect("reported")));
        lines(&shown)
    };
    check(
        1,
        life,
        &expect![[r#"
        Running [PodReadyToStartContainers Initialized Ready ContainersReady PodScheduled]; main running ready started #0
        Pending [PodReadyToStartContainers Initialized PodScheduled]; main ErrImagePull(pull access denied for registry.example/other:1) #0
    "#]],
    );
}
