//! How the objects behind a path are seen: in the form in which they are stored, in another version, or as their scale.

use std::sync::Arc;

use crate::field_error::FieldError;
use crate::object::{self, Object, ReadError};
use crate::resource::Resource;
use crate::scale;
use crate::validate;

/// A form of a resource's objects.
#[derive(Clone, Debug)]
pub struct Lens {
    /// What requests and answers hold.
    pub shown: Arc<Resource>,
    /// What the path names.
    row: Arc<Resource>,
}

impl Lens {
    /// Of a path: a resource, and what hangs below it or nothing.
    pub fn of(row: &Arc<Resource>, subresource: &str) -> Self {
        let form = row.subresource(subresource).and_then(|below| below.form.as_ref());
        Self { shown: Arc::clone(form.unwrap_or(row)), row: Arc::clone(row) }
    }

    /// Whether stored bytes are always shown as they are: never those of a definition, which may change.
    pub fn is_plain(&self) -> bool {
        self.row.custom.is_none() && self.row.storage.is_none() && Arc::ptr_eq(&self.shown, &self.row)
    }

    /// A stored object as it is shown; `None`: as it is stored.
    ///
    /// # Errors
    /// When the bytes are no object of the resource.
    pub fn show(&self, stored: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        if self.is_plain() || self.is_current(stored) {
            return Ok(None);
        }
        self.read(stored).map(|object| Some(object.bytes(&self.shown)))
    }

    /// Whether stored bytes are of the form that is shown though their resource has others: nothing of the definition
    /// changed since they were written.
    fn is_current(&self, stored: &[u8]) -> bool {
        let custom = self.row.custom.as_ref().filter(|custom| custom.is_stored && !self.is_scale());
        custom.is_some_and(|custom| object::revision(stored) > custom.revision)
    }

    /// The same, decoded.
    ///
    /// # Errors
    /// When the bytes are no object of the resource.
    pub fn read(&self, stored: &[u8]) -> Result<Object, ReadError> {
        if let (true, Some(paths)) = (self.is_scale(), &self.row.scale) {
            return Ok(scale::of(&self.scaled(stored)?, paths));
        }
        let object = Object::read(stored, self.row.stored())?;
        Ok(match &self.row.storage {
            Some(storage) => (storage.show)(object, &self.row),
            None => object,
        })
    }

    /// The object that is scaled, with what its definition fills in by now.
    fn scaled(&self, stored: &[u8]) -> Result<Object, ReadError> {
        let mut object = Object::read(stored, self.row.stored())?;
        if let Some(custom) = &self.row.custom {
            custom.fill(&mut object.fields);
        }
        Ok(object)
    }

    /// Why an object has no scale to be shown: those of definitions may not say how many replicas they want.
    ///
    /// # Errors
    /// When the bytes are no object of the resource.
    pub fn lacks_scale(&self, stored: &[u8]) -> Result<Option<String>, ReadError> {
        let paths = self.row.scale.as_ref().filter(|_| self.is_scale() && self.row.custom.is_some());
        let Some(paths) = paths else { return Ok(None) };
        let is_there = scale::at(&self.scaled(stored)?, &paths.spec).is_some();
        let why = || format!("the spec replicas field \".{}\" does not exist", paths.spec.join("."));
        Ok((!is_there).then(why))
    }

    /// The object to be stored for one in the form that is shown, filled in; `old` is the one that is stored.
    ///
    /// # Errors
    /// What is wrong with a scale.
    pub fn store(&self, object: Object, old: Option<&Object>) -> Result<Object, Vec<FieldError>> {
        if let (true, Some(paths), Some(old)) = (self.is_scale(), &self.row.scale, old) {
            // Objects of definitions are looked at as a whole, and told where they hold the number.
            let errors = if self.row.custom.is_none() { scale::errors(&object) } else { Vec::new() };
            return if errors.is_empty() { Ok(scale::applied(&object, old, paths)) } else { Err(errors) };
        }
        if let Some(storage) = &self.row.storage {
            self.validate(&object, old.map(|old| (storage.show)(old.clone(), &self.row)))?;
        }
        Ok(match &self.row.storage {
            Some(storage) => {
                let mut stored = (storage.store)(object, &storage.row);
                stored.default(&storage.row);
                stored
            }
            None => object,
        })
    }

    /// What is wrong with an object of a form that is not stored and has rules of its own.
    fn validate(&self, object: &Object, old: Option<Object>) -> Result<(), Vec<FieldError>> {
        let errors = match &self.row.custom {
            Some(custom) if !custom.is_stored => {
                let mut object = object.clone();
                // A status that nobody may set here is no mistake.
                if old.is_none() && self.row.has_status() {
                    object.fields.shift_remove("status");
                }
                custom.errors(&object, old.as_ref())
            }
            None if !std::ptr::eq(self.row.particular, self.row.stored().particular) => {
                validate::of_kind(object, old.as_ref(), &self.row)
            }
            _ => return Ok(()),
        };
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    /// Whether the scale of the objects is shown.
    pub fn is_scale(&self) -> bool {
        self.row.scale.is_some() && self.shown.kind == "Scale"
    }

    /// Fills in what was left out, in the form that is shown. A scale is no more than it says.
    pub fn default(&self, object: &mut Object) {
        if !self.is_scale() {
            object.default(&self.shown);
        }
    }
}
