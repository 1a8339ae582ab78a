//! What differs between two objects, field by field.

use serde_json::Value;

use super::element::Element;
use super::set::{Node, Set};
use super::typed::{Held, Members, Parts, Shown, keyed, same_as, scalar};
use crate::schema::{Item, Shape, Type};

/// What became of fields. No field is in two of the sets.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Comparison<'v> {
    pub(super) removed: Set<'v>,
    pub(super) modified: Set<'v>,
    pub(super) added: Set<'v>,
}

/// What became of one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Removed,
    Modified,
    Added,
}

/// Compares two objects.
///
/// # Errors
/// Says which list has an item that cannot be told from others.
pub(super) fn objects<'v>(
    old: Members<'v>,
    new: Members<'v>,
    schema: &'v Type,
) -> Result<Comparison<'v>, String> {
    let mut walk = Walk { is_stored: old.is_stored, error: None };
    let found = walk.structure(old.shown(schema), new.shown(schema));
    walk.error.map_or(Ok(found), Err)
}

impl<'v> Comparison<'v> {
    /// The same with each set changed.
    pub(super) fn each(self, change: impl Fn(Set<'v>) -> Set<'v>) -> Self {
        Self { removed: change(self.removed), modified: change(self.modified), added: change(self.added) }
    }

    fn union(&self, other: &Self) -> Self {
        Self {
            removed: self.removed.union(&other.removed),
            modified: self.modified.union(&other.modified),
            added: self.added.union(&other.added),
        }
    }

    /// Adds what became of the field behind an element, and of those below it.
    fn push(&mut self, element: Element<'v>, change: Option<Change>, below: Self) {
        let add = |set: &mut Set<'v>, of: Change, below: Set<'v>| {
            if change == Some(of) || !below.is_empty() {
                set.push(Node { element: element.clone(), is_member: change == Some(of), below });
            }
        };
        add(&mut self.removed, Change::Removed, below.removed);
        add(&mut self.modified, Change::Modified, below.modified);
        add(&mut self.added, Change::Added, below.added);
    }
}

struct Walk {
    is_stored: bool,
    error: Option<String>,
}

type Sides<'v> = (Option<&'v Value>, Option<&'v Value>);

impl Walk {
    fn value<'v>(&mut self, sides: Sides<'v>, held: Held<'v>) -> (Comparison<'v>, Option<Change>) {
        // What most of an object is; looked at as it stands.
        if let (Some(old), Some(new)) = sides
            && old == new
        {
            return (Comparison::default(), None);
        }
        match sides {
            (Some(old), Some(new)) if held.is_deduced() && kind(old) != kind(new) => {
                // What it was goes, and what it is comes.
                let (a, first) = self.parts(sides, held, held.parts(old));
                let (b, second) = self.parts(sides, held, held.parts(new));
                (a.union(&b), first.or(second))
            }
            (Some(value), None) | (_, Some(value)) => self.parts(sides, held, held.parts(value)),
            (None, None) => (Comparison::default(), None),
        }
    }

    fn parts<'v>(
        &mut self,
        sides: Sides<'v>,
        held: Held<'v>,
        parts: Parts<'v>,
    ) -> (Comparison<'v>, Option<Change>) {
        let (old, new) = sides;
        let below = match parts {
            Parts::Fields(of) => {
                let shown = |value| Members::of(value, self.is_stored).shown(of);
                let (a, b) = (shown(old), shown(new));
                if a.is_empty() && b.is_empty() { None } else { Some(self.structure(a, b)) }
            }
            Parts::Members(of) => {
                let is_nothing =
                    |value: Option<&Value>| value.and_then(Value::as_object).is_none_or(|map| map.is_empty());
                (!(is_nothing(old) && is_nothing(new))).then(|| self.members(old, new, of))
            }
            _ => {
                let is_nothing =
                    |value: Option<&Value>| value.and_then(Value::as_array).is_none_or(Vec::is_empty);
                match parts {
                    _ if is_nothing(old) && is_nothing(new) => None,
                    Parts::Items(keys, of) => {
                        Some(self.items(old, new, |item| keyed(item, keys, of), Held::item(of)))
                    }
                    Parts::Set => Some(self.items(old, new, scalar, Held::SCALAR)),
                    _ => None,
                }
            }
        };
        // What is one value, or was and is empty.
        let Some(below) = below else { return (Comparison::default(), self.whole(old, new, held.shape)) };
        let change = match sides {
            (None, _) => Some(Change::Added),
            (_, None) => Some(Change::Removed),
            _ => None,
        };
        (below, change)
    }

    fn whole(&self, old: Option<&Value>, new: Option<&Value>, shape: &Shape) -> Option<Change> {
        match (old, new) {
            (None, _) => Some(Change::Added),
            (_, None) => Some(Change::Removed),
            (Some(old), Some(new)) => (!same_as(shape, old, new, self.is_stored)).then_some(Change::Modified),
        }
    }

    fn structure<'v>(&mut self, old: Vec<Shown<'v>>, new: Vec<Shown<'v>>) -> Comparison<'v> {
        let mut found = Comparison::default();
        let (mut old, mut new) = (old.into_iter().peekable(), new.into_iter().peekable());
        loop {
            let (gone, come) = match (old.peek(), new.peek()) {
                (None, None) => return found,
                (Some(a), Some(b)) if a.name == b.name => (old.next(), new.next()),
                (Some(a), Some(b)) if b.name < a.name => (None, new.next()),
                (None, Some(_)) => (None, new.next()),
                (Some(_), _) => (old.next(), None),
            };
            let Some(shown) = come.or(gone) else { return found };
            let sides = (gone.map(|shown| shown.value), come.map(|shown| shown.value));
            let (below, change) = self.value(sides, shown.held);
            found.push(Element::field(shown.name), change, below);
        }
    }

    fn members<'v>(
        &mut self,
        old: Option<&'v Value>,
        new: Option<&'v Value>,
        of: &'v Item,
    ) -> Comparison<'v> {
        let pairs = |value: Option<&'v Value>| {
            let map = value.and_then(Value::as_object).into_iter().flatten();
            map.map(|(name, value)| (name.as_str(), value)).collect::<Vec<_>>()
        };
        let (gone, come) = (pairs(old), pairs(new));
        let mut found = Comparison::default();
        for name in names(&gone, &come) {
            let side = |value: Option<&'v Value>| value?.as_object()?.get(name);
            let (below, change) = self.value((side(old), side(new)), Held::item(of));
            found.push(Element::field(name), change, below);
        }
        found
    }

    fn items<'v>(
        &mut self,
        old: Option<&'v Value>,
        new: Option<&'v Value>,
        element: impl Fn(&'v Value) -> Result<Element<'v>, String>,
        held: Held<'v>,
    ) -> Comparison<'v> {
        let mut all: Vec<(Element<'v>, bool, &'v Value)> = Vec::new();
        for (list, is_new) in [(old, false), (new, true)] {
            for item in list.and_then(Value::as_array).into_iter().flatten() {
                match element(item) {
                    Ok(element) => all.push((element, is_new, item)),
                    Err(why) => self.error = Some(why),
                }
            }
        }
        // In order of elements, the old items of each first.
        all.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.cmp(&b.1)));
        let mut found = Comparison::default();
        for group in all.chunk_by(|a, b| a.0 == b.0) {
            let split = group.partition_point(|item| !item.1);
            let (gone, come) = group.split_at(split);
            self.group(&mut found, &group[0].0, gone, come, held);
        }
        found
    }

    /// Items of one element: if any stands there more than once, they are compared as one value.
    fn group<'v>(
        &mut self,
        found: &mut Comparison<'v>,
        element: &Element<'v>,
        old: &[(Element<'v>, bool, &'v Value)],
        new: &[(Element<'v>, bool, &'v Value)],
        held: Held<'v>,
    ) {
        let one = |items: &[(Element<'v>, bool, &'v Value)]| items.first().map(|item| item.2);
        match (old.len(), new.len()) {
            (0 | 1, 0 | 1) => {
                let (below, change) = self.value((one(old), one(new)), held);
                found.push(element.clone(), change, below);
            }
            (0 | 1, _) => {
                // The item that was alone goes, the one that is there twice comes.
                let below = one(old).map(|item| self.value((Some(item), None), held).0).unwrap_or_default();
                let is_removed = !old.is_empty();
                found.push(element.clone(), Some(Change::Added), below);
                if is_removed {
                    found.push(element.clone(), Some(Change::Removed), Comparison::default());
                }
            }
            (_, 0 | 1) => {
                let (below, change) = match one(new) {
                    Some(item) => self.value((None, Some(item)), held),
                    None => (Comparison::default(), None),
                };
                found.push(element.clone(), change, below);
                found.push(element.clone(), Some(Change::Removed), Comparison::default());
            }
            _ => {
                let is_same = old.len() == new.len()
                    && old.iter().zip(new).all(|(a, b)| same_as(held.shape, a.2, b.2, self.is_stored));
                if !is_same {
                    found.push(element.clone(), Some(Change::Modified), Comparison::default());
                }
            }
        }
    }
}

/// The names of both, sorted.
fn names<'v>(old: &[(&'v str, &'v Value)], new: &[(&'v str, &'v Value)]) -> Vec<&'v str> {
    let mut names: Vec<_> = old.iter().chain(new).map(|pair| pair.0).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// What a deduced value is: scalars are all one.
fn kind(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Array(_) => 1,
        Value::Object(_) => 2,
        _ => 3,
    }
}
