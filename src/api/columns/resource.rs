//! `resource.k8s.io`.

use super::{Cell, Cells, Kinds, Row};
use Cell::{Age, Code, Name, Since, Text};

const GROUP: &str = "resource.k8s.io";

pub(super) static KINDS: Kinds = &[
    (GROUP, "DeviceClass", &[Name, Age]),
    (
        GROUP,
        "DeviceTaintRule",
        &[
            Name,
            Text(&["spec", "taint", "key"]),
            Text(&["spec", "taint", "value"]),
            Text(&["spec", "taint", "effect"]),
            Since(&["spec", "taint", "timeAdded"], ""),
            Age,
        ],
    ),
    (GROUP, "ResourceClaim", &[Name, Code(state), Age]),
    (GROUP, "ResourceClaimTemplate", &[Name, Age]),
    (
        GROUP,
        "ResourceSlice",
        &[Name, Text(&["spec", "nodeName"]), Text(&["spec", "driver"]), Text(&["spec", "pool", "name"]), Age],
    ),
];

fn state(row: Row<'_>, cells: &mut Cells<'_>) {
    let [allocation, reserved] = row.object.get("status").pick(["allocation", "reservedFor"]);
    let is_allocated = allocation.is_there();
    let states = [
        (row.is_deleting(), "deleted"),
        (!is_allocated && !row.is_deleting(), "pending"),
        (is_allocated, "allocated"),
        (is_allocated && reserved.count() > 0, "reserved"),
    ];
    let states: Vec<_> = states.iter().filter(|(holds, _)| *holds).map(|(_, state)| *state).collect();
    cells.text(&states.join(","));
}
