//! The fields that the creator of an object owns, written straight from the object: what most writes do.
//!
//! The same as what differs from an object of which nothing was given. Go shows structs and scalars there that cannot
//! be absent, and null for some lists: what is the same in the new object is nobody's.

use serde_json::Value;

use super::element::{Element, write_field};
use super::reset::Filter;
use super::typed::{Held, Members, Parts, Shown, keyed, same_as, scalar};
use crate::schema::Type;

/// Writes the set. Empty: nothing of the object is owned.
///
/// # Errors
/// Says which list has an item that cannot be told from others.
pub(super) fn write(
    nothing: Members<'_>,
    new: Members<'_>,
    schema: &Type,
    filter: Filter,
) -> Result<String, String> {
    let mut writer = Writer { out: Vec::with_capacity(1024), error: None };
    writer.out.push(b'{');
    let mut new = new.shown(schema);
    new.retain(|shown| !filter.is_without(shown.name));
    writer.structure(&nothing.shown(schema), &new);
    writer.out.push(b'}');
    match writer.error {
        Some(why) => Err(why),
        None if writer.out.len() == "{}".len() => Ok(String::new()),
        None => Ok(String::from_utf8(writer.out).expect("JSON is text")),
    }
}

struct Writer {
    out: Vec<u8>,
    error: Option<String>,
}

impl Writer {
    fn name(&mut self, name: &str) {
        self.separate();
        write_field(&mut self.out, name);
        self.out.push(b':');
    }

    fn separate(&mut self) {
        if self.out.last() != Some(&b'{') {
            self.out.push(b',');
        }
    }

    fn structure(&mut self, before: &[Shown<'_>], new: &[Shown<'_>]) {
        for shown in new {
            match before.iter().find(|before| before.name == shown.name) {
                Some(before) => self.changed(before.value, shown),
                None => {
                    self.name(shown.name);
                    self.added(shown.value, shown.held);
                }
            }
        }
    }

    /// A field that Go shows even when nothing is given.
    fn changed(&mut self, before: &Value, new: &Shown<'_>) {
        let Shown { name, value, held } = *new;
        let from = self.out.len();
        self.name(name);
        self.out.push(b'{');
        let inner = self.out.len();
        let is_part = match if value.is_null() { Parts::Whole } else { held.parts(value) } {
            Parts::Fields(of) => {
                let shown = |value| Members::of(Some(value), true).shown(of);
                let new = shown(value);
                self.structure(&shown(before), &new);
                !new.is_empty()
            }
            parts => self.below(value, parts),
        };
        let is_changed =
            if is_part { self.out.len() > inner } else { !same_as(held.shape, before, value, true) };
        if is_changed { self.out.push(b'}') } else { self.out.truncate(from) }
    }

    /// A value of which there was nothing before: it is a field itself, and so is all that is in it.
    fn added(&mut self, value: &Value, held: Held<'_>) {
        self.out.push(b'{');
        let inner = self.out.len();
        let own = b"\".\":{}";
        self.out.extend_from_slice(own);
        if !self.below(value, held.parts(value)) {
            self.out.truncate(inner);
        }
        self.out.push(b'}');
    }

    /// What is in a value; returns whether anything is.
    fn below(&mut self, value: &Value, parts: Parts<'_>) -> bool {
        match parts {
            Parts::Whole => false,
            Parts::Fields(of) => {
                let new = Members::of(Some(value), true).shown(of);
                self.structure(&[], &new);
                !new.is_empty()
            }
            Parts::Members(of) => {
                let mut pairs: Vec<_> = value.as_object().into_iter().flatten().collect();
                pairs.sort_unstable_by_key(|pair| pair.0);
                for (name, value) in &pairs {
                    self.name(name);
                    self.added(value, Held::item(of));
                }
                !pairs.is_empty()
            }
            Parts::Items(keys, of) => self.items(value, |item| keyed(item, keys, of), Held::item(of)),
            Parts::Set => self.items(value, scalar, Held::SCALAR),
        }
    }

    /// Of items that stand there more than once nothing is owned but that they do.
    fn items<'v>(
        &mut self,
        list: &'v Value,
        element: impl Fn(&'v Value) -> Result<Element<'v>, String>,
        held: Held<'_>,
    ) -> bool {
        let mut items = Vec::new();
        for item in list.as_array().into_iter().flatten() {
            match element(item) {
                Ok(element) => items.push((element, item)),
                Err(why) => self.error = Some(why),
            }
        }
        items.sort_by(|a, b| a.0.cmp(&b.0));
        for group in items.chunk_by(|a, b| a.0 == b.0) {
            self.separate();
            group[0].0.write(&mut self.out);
            self.out.push(b':');
            match group {
                [(_, item)] => self.added(item, held),
                _ => self.out.extend_from_slice(b"{}"),
            }
        }
        !items.is_empty()
    }
}
