//! The fields of each type: names, order and protobuf numbers as in Kubernetes' Go types.
//!
//! Everything the codecs know about a type stands here, as data.

/// What a field holds.
#[derive(Debug)]
pub enum Shape {
    /// Any value, kept as it is (in protobuf: raw JSON in a message of its own).
    Any,
    /// True or false.
    Bool,
    /// Base64 in JSON.
    Bytes,
    /// A whole number of 64 bits.
    Int,
    /// A list of one shape.
    List(&'static Shape),
    /// Text keys to one shape.
    Map(&'static Shape),
    /// An object of known fields.
    Struct(&'static Type),
    /// Text.
    Text,
    /// RFC 3339 in JSON, seconds and nanoseconds in protobuf.
    Time,
}

/// When a field appears in canonical JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Always, with its zero value if need be.
    Always,
    /// Unless it is empty or zero (`omitempty` of a value).
    NonEmpty,
    /// If it was given, empty or not (`omitempty` of a pointer).
    Given,
}

/// One field.
#[derive(Debug)]
pub struct Field {
    /// Its name in JSON.
    pub name: &'static str,
    /// Its number in protobuf.
    pub number: u32,
    /// What it holds.
    pub shape: Shape,
    /// When it appears.
    pub presence: Presence,
}

/// A named object of fields.
#[derive(Debug)]
pub struct Type {
    /// Its name in Go, which error texts use.
    pub name: &'static str,
    /// Where OpenAPI keeps it: `io.k8s.api.core.v1`.
    pub package: &'static str,
    /// In Go's order, without kind and apiVersion.
    pub fields: &'static [Field],
}

impl Type {
    /// The field of this name in JSON.
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}

const CORE: &str = "io.k8s.api.core.v1";
const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

const fn field(name: &'static str, number: u32, shape: Shape, presence: Presence) -> Field {
    Field { name, number, shape, presence }
}

use Presence::{Always, Given, NonEmpty};
use Shape::{Any, Bool, Bytes, Int, List, Map, Struct, Text, Time};

/// `metadata` of every object.
pub static OBJECT_META: Type = Type {
    name: "ObjectMeta",
    package: META,
    fields: &[
        field("name", 1, Text, NonEmpty),
        field("generateName", 2, Text, NonEmpty),
        field("namespace", 3, Text, NonEmpty),
        field("selfLink", 4, Text, NonEmpty),
        field("uid", 5, Text, NonEmpty),
        field("resourceVersion", 6, Text, NonEmpty),
        field("generation", 7, Int, NonEmpty),
        field("creationTimestamp", 8, Time, NonEmpty),
        field("deletionTimestamp", 9, Time, Given),
        field("deletionGracePeriodSeconds", 10, Int, Given),
        field("labels", 11, Map(&Text), NonEmpty),
        field("annotations", 12, Map(&Text), NonEmpty),
        field("ownerReferences", 13, List(&Struct(&OWNER_REFERENCE)), NonEmpty),
        field("finalizers", 14, List(&Text), NonEmpty),
        field("managedFields", 17, List(&Struct(&MANAGED_FIELDS_ENTRY)), NonEmpty),
    ],
};

static OWNER_REFERENCE: Type = Type {
    name: "OwnerReference",
    package: META,
    fields: &[
        field("apiVersion", 5, Text, Always),
        field("kind", 1, Text, Always),
        field("name", 3, Text, Always),
        field("uid", 4, Text, Always),
        field("controller", 6, Bool, Given),
        field("blockOwnerDeletion", 7, Bool, Given),
    ],
};

static MANAGED_FIELDS_ENTRY: Type = Type {
    name: "ManagedFieldsEntry",
    package: META,
    fields: &[
        field("manager", 1, Text, NonEmpty),
        field("operation", 2, Text, NonEmpty),
        field("apiVersion", 3, Text, NonEmpty),
        field("time", 4, Time, Given),
        field("fieldsType", 6, Text, NonEmpty),
        field("fieldsV1", 7, Any, Given),
        field("subresource", 8, Text, NonEmpty),
    ],
};

/// The body of a delete.
pub static DELETE_OPTIONS: Type = Type {
    name: "DeleteOptions",
    package: META,
    fields: &[
        field("gracePeriodSeconds", 1, Int, Given),
        field("preconditions", 2, Struct(&PRECONDITIONS), Given),
        field("orphanDependents", 3, Bool, Given),
        field("propagationPolicy", 4, Text, Given),
        field("dryRun", 5, List(&Text), NonEmpty),
        field("ignoreStoreReadErrorWithClusterBreakingPotential", 6, Bool, Given),
    ],
};

static PRECONDITIONS: Type = Type {
    name: "Preconditions",
    package: META,
    fields: &[field("uid", 1, Text, Given), field("resourceVersion", 2, Text, Given)],
};

const fn metadata() -> Field {
    field("metadata", 1, Struct(&OBJECT_META), Always)
}

/// `v1 ConfigMap`.
pub static CONFIG_MAP: Type = Type {
    name: "ConfigMap",
    package: CORE,
    fields: &[
        metadata(),
        field("immutable", 4, Bool, Given),
        field("data", 2, Map(&Text), NonEmpty),
        field("binaryData", 3, Map(&Bytes), NonEmpty),
    ],
};

/// `v1 Secret`.
pub static SECRET: Type = Type {
    name: "Secret",
    package: CORE,
    fields: &[
        metadata(),
        field("immutable", 5, Bool, Given),
        field("data", 2, Map(&Bytes), NonEmpty),
        field("stringData", 4, Map(&Text), NonEmpty),
        field("type", 3, Text, NonEmpty),
    ],
};

/// `v1 Namespace`.
pub static NAMESPACE: Type = Type {
    name: "Namespace",
    package: CORE,
    fields: &[
        metadata(),
        field("spec", 2, Struct(&NAMESPACE_SPEC), Always),
        field("status", 3, Struct(&NAMESPACE_STATUS), Always),
    ],
};

static NAMESPACE_SPEC: Type =
    Type { name: "NamespaceSpec", package: CORE, fields: &[field("finalizers", 1, List(&Text), NonEmpty)] };

static NAMESPACE_STATUS: Type = Type {
    name: "NamespaceStatus",
    package: CORE,
    fields: &[
        field("phase", 1, Text, NonEmpty),
        field("conditions", 2, List(&Struct(&NAMESPACE_CONDITION)), NonEmpty),
    ],
};

static NAMESPACE_CONDITION: Type = Type {
    name: "NamespaceCondition",
    package: CORE,
    fields: &[
        field("type", 1, Text, Always),
        field("status", 2, Text, Always),
        field("lastTransitionTime", 4, Time, NonEmpty),
        field("reason", 5, Text, NonEmpty),
        field("message", 6, Text, NonEmpty),
    ],
};
