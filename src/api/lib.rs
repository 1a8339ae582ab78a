//! The resource model: keys, metadata, `Status`, the `RESOURCES` table, canonical bytes, and one file
//! per kind. Data only: no I/O, no async, no clock.

mod conform;
mod encode;

pub mod codec;
pub mod decode;
pub mod discovery;
pub mod field_error;
pub mod field_selector;
pub mod fields;
pub mod key;
pub mod kinds;
pub mod meta;
pub mod names;
pub mod object;
pub mod openapi;
pub mod openapi_proto;
pub mod proto;
pub mod resource;
pub mod selector;
pub mod status;
pub mod table;
pub mod time;
pub mod token;
pub mod validate;

pub use conform::TypeError;
pub use field_error::FieldError;
pub use key::Key;
pub use meta::ObjectMeta;
pub use object::{Object, Prepared};
pub use resource::{RESOURCES, Resource};
pub use status::{GroupResource, Reason, Status};
