//! Which endpoint stands in which slice. As few slices as possible are written, at the price of some that are not full.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};
use state::Object;

use crate::shared::stored;

/// Endpoints of one slice at most; Kubernetes' default.
pub(super) const SLICE_MAX: usize = 100;

/// A slice as it is stored, and as it is to be.
pub(super) struct Slice {
    /// Not there yet where it is none.
    pub object: Option<Arc<Object>>,
    pub endpoints: Vec<Value>,
    pub ports: Vec<Value>,
    pub is_changed: bool,
}

impl Slice {
    pub fn read(object: &Arc<Object>) -> Self {
        Self {
            object: Some(Arc::clone(object)),
            endpoints: stored::list(object, &["endpoints"]),
            ports: stored::list(object, &["ports"]),
            is_changed: false,
        }
    }
}

/// What tells ports apart, in whatever order they stand.
pub(super) fn ports_key(ports: &[Value]) -> String {
    let text = |port: &Value, field: &str| port[field].as_str().unwrap_or_default().to_owned();
    let key = |port: &Value| {
        format!(
            "{} {} {} {}",
            text(port, "name"),
            text(port, "protocol"),
            port["port"],
            text(port, "appProtocol")
        )
    };
    let mut keys: Vec<String> = ports.iter().map(key).collect();
    keys.sort_unstable();
    keys.join("\n")
}

/// What tells endpoints apart: the same pod at the same addresses under the same name.
fn endpoint_key(endpoint: &Value) -> String {
    format!(
        "{} {} {} {}",
        endpoint["targetRef"]["namespace"],
        endpoint["targetRef"]["name"],
        endpoint["addresses"],
        endpoint["hostname"]
    )
}

/// Puts endpoints of the same ports into the slices of these ports: what stands in one stays there, what is new goes
/// where something changes anyway, then where all of it fits, then into new slices. Slices that become empty are
/// returned empty.
pub(super) fn pack(slices: &mut Vec<Slice>, endpoints: Vec<Value>, ports: &[Value]) {
    let mut wanted: BTreeMap<String, Value> =
        endpoints.into_iter().map(|endpoint| (endpoint_key(&endpoint), endpoint)).collect();
    for slice in slices.iter_mut() {
        let keep = |endpoint: &Value| wanted.remove(&endpoint_key(endpoint));
        let kept: Vec<Value> = slice.endpoints.iter().filter_map(keep).collect();
        slice.is_changed = kept != slice.endpoints;
        slice.endpoints = kept;
    }
    let mut rest: Vec<Value> = wanted.into_values().rev().collect();
    let mut changed: Vec<&mut Slice> =
        slices.iter_mut().filter(|slice| slice.is_changed && !slice.endpoints.is_empty()).collect();
    changed.sort_by_key(|slice| std::cmp::Reverse(slice.endpoints.len()));
    changed.into_iter().for_each(|slice| fill(slice, &mut rest));
    while !rest.is_empty() {
        if let Some(slice) = fitting(slices, rest.len()) {
            slice.is_changed = true;
            fill(slice, &mut rest);
            continue;
        }
        let mut slice =
            Slice { object: None, endpoints: Vec::new(), ports: ports.to_vec(), is_changed: true };
        fill(&mut slice, &mut rest);
        slices.push(slice);
    }
}

fn fill(slice: &mut Slice, rest: &mut Vec<Value>) {
    while slice.endpoints.len() < SLICE_MAX
        && let Some(endpoint) = rest.pop()
    {
        slice.endpoints.push(endpoint);
    }
}

/// The unchanged slice that is fullest with so many more.
fn fitting(slices: &mut [Slice], count: usize) -> Option<&mut Slice> {
    let fits = |slice: &&mut Slice| {
        !slice.is_changed && slice.object.is_some() && slice.endpoints.len() + count <= SLICE_MAX
    };
    slices.iter_mut().filter(fits).max_by_key(|slice| slice.endpoints.len())
}

/// Whether a slice says that there is nothing.
pub(super) fn is_placeholder(object: &Object, labels: &Map<String, Value>) -> bool {
    stored::list(object, &["endpoints"]).is_empty()
        && stored::list(object, &["ports"]).is_empty()
        && stored::map(object, &["metadata", "labels"]) == *labels
}
