//! Images that are no names, and those that only some may pull.

use expect_test::expect;
use serde_json::json;

use super::{check, lines, seconds};
use crate::testing::{World, pod, status_line};

#[test]
fn a_text_that_is_no_name_of_an_image_is_told_and_nothing_is_pulled() {
    let life = async |world: &World| {
        let node = world.start();
        let spec = json!({"containers": [{"name": "main", "image": "app:1:2", "imagePullPolicy": "Always"}]});
        node.handle.desired(pod(spec)).await.expect("a pod");
        seconds(5).await;
        let status = status_line(&world.control.status("u1").expect("reported"));
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
