//! Sets of fields as managedFields hold them: an object of members `f:NAME`, `k:{KEYS}`, `v:VALUE` and
//! `i:PLACE`; `.` where a field belongs to the set as well as fields below it.

use serde_json::Value;

use super::element::Element;
use super::set::{Node, Set};

/// Reads a set.
///
/// # Errors
/// Says what is no set.
pub fn read(tree: &Value) -> Result<Set<'_>, String> {
    Ok(read_node(tree)?.0)
}

/// Returns the fields below, and whether the field itself is a member.
fn read_node(tree: &Value) -> Result<(Set<'_>, bool), String> {
    let members = match tree {
        Value::Object(members) => members,
        Value::Null => return Ok((Set::EMPTY, true)),
        _ => return Err("expect { or n".to_owned()),
    };
    let (mut below, mut is_member) = (Set::EMPTY, false);
    for (name, value) in members {
        if name == "." {
            is_member = true;
        } else if let Some(element) = Element::read(name)? {
            let (inner, is_member) = read_node(value)?;
            below.push(Node { element, is_member, below: inner });
        }
    }
    is_member |= below.is_empty();
    Ok((below, is_member))
}

/// Writes a set.
pub fn write(set: &Set<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    write_node(&mut out, set, false);
    out
}

fn write_node(out: &mut Vec<u8>, set: &Set<'_>, is_member: bool) {
    out.push(b'{');
    if is_member && !set.is_empty() {
        out.extend_from_slice(b"\".\":{},");
    }
    for (at, node) in set.nodes().iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        node.element.write(out);
        out.push(b':');
        write_node(out, &node.below, node.is_member);
    }
    out.push(b'}');
}
