//! What to do about the Endpoints of one service.

use std::sync::{Arc, LazyLock};

use api::{Key, Resource};
use projection::intent::Intent;
use projection::{LastOutcomes, Plan, World};
use serde_json::{Map, Value, json};

use super::{ENDPOINTS, subsets};
use crate::shared::backends::{HEADLESS, Service};
use crate::shared::stored;

/// The label that says whose they are.
pub(super) const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
pub(super) const MANAGER: &str = "endpoint-controller";

/// Says that there are more than one object holds.
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";

static ROW: LazyLock<Arc<Resource>> = LazyLock::new(|| Resource::builtin("", "v1", "endpoints"));

/// Plans the Endpoints of one service.
pub(super) fn plan(world: &World, key: &Key, _: &LastOutcomes, _: u64) -> Plan {
    let mut plan = Plan::default();
    let found = world.state.get(&format!("{ENDPOINTS}{}/{}", key.namespace(), key.name()));
    if world.state.get(key.as_str()).is_none() {
        plan.intents.extend(found.map(|found| Intent::delete(found)));
        return plan;
    }
    let Some(service) = Service::read(world, key) else { return plan };
    let (subsets, is_over) = subsets::of(&service, &service.backends(world));
    let labels = labels(&service);
    let Some(found) = found else {
        if !stored::is_closed(world, key.namespace()) && !service.object.meta.deleting {
            let mut metadata = json!({"name": key.name(), "labels": labels});
            if is_over {
                metadata["annotations"][OVER_CAPACITY] = "truncated".into();
            }
            let endpoints =
                json!({"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata, "subsets": subsets});
            let create = Intent::create(&ROW, key.namespace(), endpoints);
            plan.intents.push(create.while_live(&service.object));
        }
        return plan;
    };
    let mut patch = json!({});
    if stored::list(found, &["subsets"]) != subsets {
        patch["subsets"] = if subsets.is_empty() { Value::Null } else { subsets.into() };
    }
    let changed = stored::map_patch(&stored::map(found, &["metadata", "labels"]), &labels);
    if !changed.is_empty() {
        patch["metadata"]["labels"] = changed.into();
    }
    let was_over = stored::annotation(found, OVER_CAPACITY).is_some();
    if is_over != was_over {
        patch["metadata"]["annotations"][OVER_CAPACITY] = is_over.then_some("truncated").into();
    }
    if patch != json!({}) {
        plan.intents.push(Intent::patch(found, "", patch).while_live(&service.object));
    }
    plan
}

fn labels(service: &Service) -> Map<String, Value> {
    let mut labels = service.labels.clone();
    labels.shift_remove(HEADLESS);
    if !service.has_address {
        labels.insert(HEADLESS.to_owned(), "".into());
    }
    labels.insert(MANAGED_BY.to_owned(), MANAGER.into());
    labels
}
