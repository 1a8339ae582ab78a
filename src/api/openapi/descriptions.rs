//! What is said of types and fields: the texts that Kubernetes publishes, see `build.rs`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

/// By type and field; of the type itself under the empty name.
type Texts = BTreeMap<String, BTreeMap<String, String>>;

static TEXTS: LazyLock<Texts> = LazyLock::new(|| {
    serde_json::from_str(include_str!(concat!(env!("OUT_DIR"), "/descriptions.json")))
        .expect("the data is what the build script wrote")
});

/// What is said of a field; of the type itself, if the name is empty.
pub(super) fn of(model: &str, field: &str) -> Option<&'static str> {
    let texts: &'static Texts = &TEXTS;
    Some(texts.get(model)?.get(field)?)
}
