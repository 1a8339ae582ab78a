//! Which objects a list or watch shows.

use std::borrow::Cow;

use api::Status;
use api::field_selector::FieldSelector;
use api::lens::Lens;
use api::selector::Selector;
use state::Object;

use crate::request::Query;

/// Label and field selector of a request.
#[derive(Debug)]
pub struct Filter {
    labels: Selector,
    fields: FieldSelector,
    lens: Lens,
}

impl Filter {
    /// From the query; `name` is the object that the path names, if it does.
    ///
    /// # Errors
    /// 400 for selectors that cannot be read.
    pub fn of(query: &Query, lens: Lens, name: &str) -> Result<Self, Status> {
        let labels = Selector::parse(query.get("labelSelector"))
            .map_err(|error| Status::bad_request(error.to_string()))?;
        let mut text = query.get("fieldSelector").to_owned();
        if !name.is_empty() {
            text.push_str(",metadata.name=");
            text.push_str(name);
        }
        let fields = FieldSelector::parse(&text, &lens.shown)
            .map_err(|error| Status::bad_request(error.to_string()))?;
        Ok(Self { labels, fields, lens })
    }

    /// Whether it lets everything pass.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// Whether an object passes.
    pub fn matches(&self, object: &Object) -> bool {
        (self.labels.is_empty() || self.labels.matches(|key| object.labels().get(key)))
            && (self.fields.is_empty() || self.fields.matches(&object.key, || self.shown(object)))
    }

    /// What fields are looked for in: as it is stored it may lack sets of fields, by which nobody selects.
    fn shown<'o>(&self, object: &'o Object) -> Option<Cow<'o, [u8]>> {
        let converted = match self.lens.is_plain() {
            true => None,
            false => self.lens.show(&object.bytes.to_bytes()).ok()?,
        };
        Some(converted.map_or_else(|| object.bytes.own().into(), Cow::Owned))
    }

    /// The only name that can pass, if there is one.
    pub fn exact_name(&self) -> Option<&str> {
        self.fields.exact_name()
    }
}
