//! Keys by a text that many of them have in common: a label, a node, an owner's uid.

use std::cmp::Ordering;
use std::sync::Arc;

use api::Key;
use equivalent::{Comparable, Equivalent};
use imbl::OrdSet;

/// Keys under texts. Flat, because most texts have few keys and there are many texts; each text is held once, whoever
/// has keys under it. Persistent.
#[derive(Clone, Debug, Default)]
pub struct Places(OrdSet<Place>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    text: Arc<str>,
    key: Key,
}

/// What is looked for: a place, or with an empty key the first one of a text.
struct Wanted<'a> {
    text: &'a str,
    key: &'a str,
}

impl Equivalent<Place> for Wanted<'_> {
    fn equivalent(&self, place: &Place) -> bool {
        self.compare(place) == Ordering::Equal
    }
}

impl Comparable<Place> for Wanted<'_> {
    fn compare(&self, place: &Place) -> Ordering {
        (self.text, self.key).cmp(&(&place.text, place.key.as_str()))
    }
}

impl Places {
    /// Puts a key under a text. Returns the text as it is held.
    pub fn insert(&mut self, text: &str, key: &Key) -> Arc<str> {
        let text = self.held(text).map_or_else(|| text.into(), Arc::clone);
        self.0.insert(Place { text: Arc::clone(&text), key: key.clone() });
        text
    }

    /// Takes a key away from under a text.
    pub fn remove(&mut self, text: &str, key: &Key) {
        self.0.remove(&Wanted { text, key: key.as_str() });
    }

    /// The keys under a text, in order.
    pub fn under<'s>(&'s self, text: &str) -> impl Iterator<Item = &'s Key> + use<'s> {
        let mut places = self.0.range(Wanted { text, key: "" }..).peekable();
        let held = places.peek().map(|place| &place.text).filter(|held| &***held == text);
        places.take_while(move |place| held == Some(&place.text)).map(|place| &place.key)
    }

    fn held(&self, text: &str) -> Option<&Arc<str>> {
        let first = self.0.range(Wanted { text, key: "" }..).next()?;
        (*first.text == *text).then_some(&first.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key::object("", "pods", "default", name)
    }

    #[test]
    fn keys_stand_under_their_texts_in_order() {
        let mut places = Places::default();
        for (text, name) in [("b", "y"), ("b", "x"), ("a", "x"), ("ba", "x"), ("b", "x")] {
            places.insert(text, &key(name));
        }
        let names =
            |places: &Places, text| places.under(text).map(|key| key.name().to_owned()).collect::<String>();
        let all = |places: &Places| ["", "a", "b", "ba", "c"].map(|text| names(places, text));
        assert_eq!(all(&places), ["", "x", "xy", "x", ""]);
        places.remove("b", &key("x"));
        places.remove("c", &key("x"));
        assert_eq!(all(&places), ["", "x", "y", "x", ""]);
        places.remove("b", &key("y"));
        assert_eq!(all(&places), ["", "x", "", "x", ""]);
    }

    #[test]
    fn a_text_is_held_once() {
        let mut places = Places::default();
        let [first, second] = ["x", "y"].map(|name| places.insert("a", &key(name)));
        assert!(Arc::ptr_eq(&first, &second));
    }
}
