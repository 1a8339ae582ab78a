//! The slices of one Service: what of them is written, made and deleted, family of addresses by family.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use api::Resource;
use projection::intent::Intent;
use projection::{Plan, World};
use serde_json::{Map, Value, json};
use state::Object;

use super::pack::{Slice, is_placeholder, pack, ports_key};
use super::{MANAGED_BY, SERVICE_NAME, SLICES};
use crate::shared::{owned, stored};

static ROW: LazyLock<Arc<Resource>> =
    LazyLock::new(|| Resource::builtin("discovery.k8s.io", "v1", "endpointslices"));

/// Endpoints by the ports that they have: the ports, and those that have them.
pub(super) type Wanted = BTreeMap<String, (Vec<Value>, Vec<Value>)>;

/// All slices that a controller keeps for the Service of one name.
pub(super) struct Slices<'p> {
    /// What they tell of, and who owns them: they go with it. It has the Service's name.
    pub owner: &'p Arc<Object>,
    /// `Service`, `Endpoints`
    pub owner_kind: &'static str,
    /// Who keeps them.
    pub manager: &'static str,
    /// Labels besides those that say whose they are.
    pub labels: Map<String, Value>,
}

impl Slices<'_> {
    /// Plans what makes them say what is wanted of each family of addresses; those of others go.
    pub fn plan<'f>(
        mut self,
        world: &World,
        wanted: impl IntoIterator<Item = (&'f str, Wanted)>,
        plan: &mut Plan,
    ) {
        let key = &self.owner.key;
        self.labels.insert(SERVICE_NAME.to_owned(), key.name().into());
        self.labels.insert(MANAGED_BY.to_owned(), self.manager.into());
        let can_create = !self.owner.meta.deleting && !stored::is_closed(world, key.namespace());
        let mut found = self.existing(world);
        for (family, wanted) in wanted {
            let existing = found.remove(family).unwrap_or_default();
            Family { slices: &self, family, can_create }.plan(&existing, wanted, plan);
        }
        plan.intents.extend(found.into_values().flatten().map(|slice| Intent::delete(slice)));
    }

    /// Those that there are, by their `addressType`.
    fn existing<'w>(&self, world: &'w World) -> BTreeMap<String, Vec<&'w Arc<Object>>> {
        let mut by_family: BTreeMap<String, Vec<&Arc<Object>>> = BTreeMap::new();
        let owned = world.owners.dependents(&self.owner.meta.uid).filter(|key| key.collection() == SLICES);
        for slice in owned.filter_map(|key| world.state.get(key.as_str())) {
            let labels = slice.labels();
            let is_ours = labels.get(MANAGED_BY) == Some(self.manager)
                && labels.get(SERVICE_NAME) == Some(self.owner.key.name())
                && !slice.meta.deleting;
            if is_ours {
                let family = stored::at(slice, &["addressType"]).as_str().unwrap_or_default().to_owned();
                by_family.entry(family).or_default().push(slice);
            }
        }
        by_family
    }
}

/// Those of one family of addresses.
struct Family<'p> {
    slices: &'p Slices<'p>,
    /// `IPv4`, `IPv6`
    family: &'p str,
    /// Whether there may be more of them.
    can_create: bool,
}

impl Family<'_> {
    fn plan(&self, existing: &[&Arc<Object>], wanted: Wanted, plan: &mut Plan) {
        let mut by_ports: BTreeMap<String, Vec<Slice>> = BTreeMap::new();
        for object in existing {
            let slice = Slice::read(object);
            by_ports.entry(ports_key(&slice.ports)).or_default().push(slice);
        }
        let mut kept = Vec::new();
        for (key, (ports, endpoints)) in wanted {
            let mut slices = by_ports.remove(&key).unwrap_or_default();
            pack(&mut slices, endpoints, &ports);
            kept.append(&mut slices);
        }
        let (new, kept): (Vec<_>, Vec<_>) = kept.into_iter().partition(|slice| slice.object.is_none());
        let (kept, emptied): (Vec<_>, Vec<_>) =
            kept.into_iter().partition(|slice| !(slice.is_changed && slice.endpoints.is_empty()));
        let gone = emptied.into_iter().chain(by_ports.into_values().flatten());
        let mut gone: Vec<Arc<Object>> = gone.filter_map(|slice| slice.object).collect();
        gone.sort_by(|one, other| one.key.cmp(&other.key));
        let mut new: Vec<Slice> = new;
        if kept.is_empty() && new.is_empty() {
            match gone[..] {
                // It says already that there is nothing.
                [ref one] if is_placeholder(one, &self.slices.labels) => gone.clear(),
                _ => new.push(Slice {
                    object: None,
                    endpoints: Vec::new(),
                    ports: Vec::new(),
                    is_changed: true,
                }),
            }
        }
        kept.iter().for_each(|slice| plan.intents.extend(self.rewrite(slice.object.as_deref(), slice)));
        // One that would go takes what would be created.
        let reused = gone.len().min(new.len());
        for (object, slice) in gone.drain(..reused).zip(new.drain(..reused)) {
            plan.intents.extend(self.rewrite(Some(&object), &slice));
        }
        plan.intents.extend(gone.iter().map(|slice| Intent::delete(slice)));
        if self.can_create {
            plan.intents.extend(new.iter().map(|slice| self.create(slice)));
        }
    }

    /// Writes what differs of a slice.
    fn rewrite(&self, object: Option<&Object>, slice: &Slice) -> Option<Intent> {
        let object = object?;
        let mut patch = json!({});
        let labels = stored::map_patch(&stored::map(object, &["metadata", "labels"]), &self.slices.labels);
        if !labels.is_empty() {
            patch["metadata"]["labels"] = labels.into();
        }
        if slice.is_changed {
            patch["endpoints"] = slice.endpoints.clone().into();
            if stored::list(object, &["ports"]) != slice.ports {
                patch["ports"] = slice.ports.clone().into();
            }
        }
        (patch != json!({})).then(|| Intent::patch(object, "", patch).while_live(self.slices.owner))
    }

    fn create(&self, slice: &Slice) -> Intent {
        let Slices { owner, owner_kind, labels, .. } = self.slices;
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "generateName": format!("{}-", owner.key.name()),
                "labels": labels,
                "ownerReferences": [owned::reference(owner, "v1", owner_kind)],
            },
            "addressType": self.family,
            "endpoints": slice.endpoints,
            "ports": slice.ports,
        });
        Intent::create(&ROW, owner.key.namespace(), slice).while_live(owner)
    }
}
