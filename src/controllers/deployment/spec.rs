//! A deployment as it is stored.

use std::sync::Arc;

use api::Key;
use projection::World;
use serde_json::{Map, Value};
use state::Object;

use crate::shared::stored;

/// Stands for no limit in fields that are always set.
const UNLIMITED: i64 = i32::MAX as i64;

/// A deployment.
pub(super) struct Deployment {
    pub object: Arc<Object>,
    pub replicas: i64,
    pub is_rolling: bool,
    pub is_paused: bool,
    pub min_ready_seconds: i64,
    /// How many old ReplicaSets stay; `None`: all.
    pub history_limit: Option<i64>,
    /// How long a step may take; `None`: as long as it takes.
    pub deadline_seconds: Option<i64>,
    pub template: Value,
    pub selector: Value,
    pub annotations: Map<String, Value>,
    pub status: Value,
    /// How many pods there may be beyond `replicas`.
    pub surge: i64,
    /// How many of `replicas` may be unavailable.
    pub unavailable: i64,
}

impl Deployment {
    pub fn read(world: &World, key: &Key) -> Option<Self> {
        let object = world.state.get(key.as_str())?;
        let tree = stored::tree(object);
        let spec = &tree["spec"];
        let replicas = spec["replicas"].as_i64().unwrap_or(1);
        let is_rolling = spec["strategy"]["type"] != "Recreate";
        let limited = |name: &str| spec[name].as_i64().filter(|limit| *limit != UNLIMITED);
        let rolling = &spec["strategy"]["rollingUpdate"];
        let (surge, unavailable) = match is_rolling {
            true => fence_posts(&rolling["maxSurge"], &rolling["maxUnavailable"], replicas),
            false => (0, 0),
        };
        Some(Self {
            object: Arc::clone(object),
            replicas,
            is_rolling,
            is_paused: spec["paused"] == true,
            min_ready_seconds: spec["minReadySeconds"].as_i64().unwrap_or(0),
            history_limit: limited("revisionHistoryLimit"),
            deadline_seconds: limited("progressDeadlineSeconds"),
            template: spec["template"].clone(),
            selector: spec["selector"].clone(),
            annotations: tree["metadata"]["annotations"].as_object().cloned().unwrap_or_default(),
            status: tree["status"].clone(),
            surge,
            unavailable: unavailable.min(replicas),
        })
    }

    pub fn name(&self) -> &str {
        self.object.key.name()
    }

    /// A number of the stored status.
    pub fn counted(&self, field: &str) -> i64 {
        self.status[field].as_i64().unwrap_or(0)
    }

    /// The most pods that there may be.
    pub fn replicas_max(&self) -> i64 {
        self.replicas + self.surge
    }
}

/// Both bounds of a rolling update in pods; not both can be 0, or it would never move.
fn fence_posts(surge: &Value, unavailable: &Value, replicas: i64) -> (i64, i64) {
    let surge = scaled(surge, replicas, true);
    let unavailable = scaled(unavailable, replicas, false);
    (surge, if surge == 0 && unavailable == 0 { 1 } else { unavailable })
}

/// A number, or a part of `whole`: percents of surge are rounded up, of unavailability down.
fn scaled(value: &Value, whole: i64, up: bool) -> i64 {
    let percent =
        value.as_str().and_then(|text| text.strip_suffix('%')).and_then(|text| text.parse::<i64>().ok());
    match percent {
        Some(percent) if up => (percent * whole + 99).div_euclid(100),
        Some(percent) => (percent * whole).div_euclid(100),
        None => value.as_i64().unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::fence_posts;

    #[test]
    fn percents_are_rounded_so_that_updates_move() {
        let cases = [
            (json!("25%"), json!("25%"), 10, (3, 2)),
            (json!("25%"), json!("25%"), 1, (1, 0)),
            (json!(0), json!("25%"), 1, (0, 1)),
            (json!(2), json!(0), 4, (2, 0)),
            (json!("100%"), json!("50%"), 3, (3, 1)),
            (json!("1%"), json!("1%"), 0, (0, 1)),
        ];
        for (surge, unavailable, replicas, expect) in cases {
            assert_eq!(
                fence_posts(&surge, &unavailable, replicas),
                expect,
                "{surge} {unavailable} {replicas}"
            );
        }
    }
}
