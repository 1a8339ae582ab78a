//! The resource model: keys, metadata, `Status`, the `RESOURCES` table, canonical bytes, and one file
//! per kind. Data only: no I/O, no async, no clock.

mod conform;
mod encode;
mod image;

pub mod apply;
pub mod codec;
pub mod columns;
pub mod conversion;
pub mod cron;
pub mod custom;
pub mod decode;
mod defaults;
pub mod deletion;
pub mod discovery;
pub mod duration;
pub mod etcd;
pub mod field_error;
pub mod field_selector;
pub mod foreign;
mod go_json;
pub mod key;
pub mod kinds;
pub mod lens;
pub mod meta;
pub mod names;
pub mod object;
pub mod openapi;
pub mod openapi_proto;
pub mod parts;
pub mod patch;
pub mod proto;
pub mod quantity;
pub mod resource;
pub mod same;
pub mod scale;
pub mod schema;
mod scheme;
pub mod selector;
pub mod status;
pub mod strconv;
pub mod table;
pub mod time;
pub mod token;
pub mod updates;
pub mod validate;
pub mod view;
pub mod write;
pub mod yaml;

pub use conform::TypeError;
pub use field_error::FieldError;
pub use key::Key;
pub use meta::ObjectMeta;
pub use object::{Object, Prepared};
pub use resource::{RESOURCES, Resource};
pub use status::{GroupResource, Reason, Status};
