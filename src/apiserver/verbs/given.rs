//! The object of a request's body.

use api::codec::{self, FieldValidation};
use api::{Object, Status};

use super::Call;

/// Puts an object where the path of its call says.
pub(super) type Place = fn(&mut Object, &Call) -> Result<(), Status>;

/// An object as its client gave it, for decisions.
pub(super) struct Given<'c> {
    call: &'c Call,
    place: Place,
    /// Until the first decision takes it.
    pub(super) object: Option<Object>,
}

impl<'c> Given<'c> {
    /// Reads the body. Also returns warnings about it.
    ///
    /// # Errors
    /// 400 and more when it is no object of the call's resource, or of another place.
    pub(super) fn read(call: &'c Call, place: Place) -> Result<(Self, Vec<String>), Status> {
        let (object, warnings) = read(call, place, call.field_validation())?;
        Ok((Self { call, place, object: Some(object) }, warnings))
    }

    /// The object, for one decision. It is read again should the one before not have lasted: most do, and need no copy.
    ///
    /// # Errors
    /// As the first reading, which had none.
    pub(super) fn take(&mut self) -> Result<Object, Status> {
        // What is odd about it was told the first time.
        let again = || read(self.call, self.place, FieldValidation::Ignore).map(|read| read.0);
        self.object.take().map_or_else(again, Ok)
    }
}

fn read(call: &Call, place: Place, validation: FieldValidation) -> Result<(Object, Vec<String>), Status> {
    let (mut object, warnings) = codec::object(&call.body, call.format()?, &call.lens.shown, validation)?;
    place(&mut object, call)?;
    Ok((object, warnings))
}
