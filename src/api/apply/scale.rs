//! The managers of the `scale` subresource: they own its replicas, and by that those of the object behind it.

use super::element::Element;
use super::entry::Entry;
use super::managers::{self, Owners};
use super::set::Set;

/// The version of the subresource.
const SCALE_VERSION: &str = "autoscaling/v1";

/// Where its replicas stand.
static REPLICAS: &[&[&str]] = &[&["spec", "replicas"]];

/// Where the replicas of a resource stand, by its versions; empty for a version without a scale.
pub type Mappings<'m> = &'m [(&'m str, &'m [&'m str])];

fn path<'m>(mappings: Mappings<'m>, version: &str) -> Option<&'m [&'m str]> {
    mappings.iter().find(|(known, _)| *known == version).map(|(_, path)| *path)
}

fn holds(set: &Set<'_>, path: &[&str]) -> bool {
    let path: Vec<_> = path.iter().map(|name| Element::field(name)).collect();
    set.has(&path)
}

/// The managers of the replicas, as the subresource shows them.
///
/// # Errors
/// Says which entry is none.
pub fn of_parent(parent: &[Entry], mappings: Mappings<'_>) -> Result<Vec<Entry>, String> {
    let mut owners = managers::owners(parent)?;
    owners.retain(|owner| path(mappings, &owner.api_version).is_some_and(|path| holds(&owner.set, path)));
    for owner in &mut owners {
        owner.api_version = SCALE_VERSION.into();
        owner.set = Set::of_paths(REPLICAS);
    }
    Ok(managers::entries(owners))
}

/// The managers of the object after its scale, with these managers, was written through `version`.
///
/// # Errors
/// Says which entry is none.
pub fn to_parent(
    parent: &[Entry],
    scale: &[Entry],
    version: &str,
    mappings: Mappings<'_>,
) -> Result<Vec<Entry>, String> {
    let (parents, mut scaled) = (managers::owners(parent)?, managers::owners(scale)?);
    let mut owners = Owners::new();
    for owner in &parents {
        let Some(path) = path(mappings, &owner.api_version) else { continue };
        let mut owner = owner.clone();
        if !path.is_empty() && holds(&owner.set, path) {
            match scaled.iter().position(|other| other.is_same(&owner)) {
                Some(at) => _ = scaled.remove(at),
                // Somebody else has the replicas now.
                None => owner.set = owner.set.difference(&Set::of_paths(&[path])),
            }
        }
        if !owner.set.is_empty() {
            owners.push(owner);
        }
    }
    let path = path(mappings, version).unwrap_or_default();
    for mut owner in scaled.into_iter().filter(|owner| holds(&owner.set, REPLICAS[0])) {
        owners.retain(|known| !known.is_same(&owner));
        owner.time = parents.iter().find(|known| known.is_same(&owner)).and_then(|known| known.time.clone());
        owner.set = Set::EMPTY;
        owner.set.insert(path.iter().map(|name| Element::field(name)));
        owner.api_version = version.to_owned().into();
        owners.push(owner);
    }
    Ok(managers::entries(owners))
}
