//! OpenAPI v3, as far as explaining needs it.

use serde_json::Value;

/// The document of one group and version.
#[derive(Debug)]
pub struct Document(Value);

const SCHEMAS: &str = "#/components/schemas/";

impl Document {
    /// A document as the server sends it.
    pub fn new(value: Value) -> Self {
        Self(value)
    }

    /// The schema of a kind.
    pub fn of_kind(&self, api_version: &str, kind: &str) -> Option<&Value> {
        let schemas = self.0["components"]["schemas"].as_object()?;
        schemas.values().find(|schema| is_of_kind(schema, api_version, kind))
    }

    /// What a reference leads to, by itself or as the only one of all; anything else is itself.
    fn resolved<'d>(&'d self, schema: &'d Value) -> &'d Value {
        self.name(schema).map_or(schema, |name| &self.0["components"]["schemas"][name])
    }

    /// The name of the schema that is referred to.
    fn name<'d>(&self, schema: &'d Value) -> Option<&'d str> {
        let reference = schema["$ref"].as_str().or_else(|| schema["allOf"][0]["$ref"].as_str())?;
        reference.strip_prefix(SCHEMAS)
    }

    /// The schema that has the fields: of the items of a list, of the values of a map.
    pub fn structure<'d>(&'d self, schema: &'d Value) -> &'d Value {
        let resolved = self.resolved(schema);
        match (&resolved["items"], &resolved["additionalProperties"]) {
            (items @ Value::Object(_), _) => self.structure(items),
            (_, values @ Value::Object(_)) => self.structure(values),
            _ => resolved,
        }
    }

    /// `[]ContainerPort`, `map[string]string`
    pub fn type_of(&self, schema: &Value) -> String {
        if let Some(name) = self.name(schema) {
            return name.rsplit('.').next().unwrap_or_default().to_owned();
        }
        match (&schema["items"], &schema["additionalProperties"]) {
            (items @ Value::Object(_), _) => format!("[]{}", self.type_of(items)),
            (_, values @ Value::Object(_)) => format!("map[string]{}", self.type_of(values)),
            _ if schema["x-kubernetes-int-or-string"] == true => "IntOrString".to_owned(),
            _ => schema["type"].as_str().unwrap_or("Object").to_owned(),
        }
    }

    /// The values that are allowed, where they are few.
    pub fn values(&self, schema: &Value) -> Vec<String> {
        let values = &self.resolved(schema)["enum"];
        values
            .as_array()
            .into_iter()
            .flatten()
            .map(crate::jsonpath::plain)
            .filter(|value| !value.is_empty())
            .collect()
    }

    /// What a field is for, in a list of fields.
    pub fn summary(&self, schema: &Value) -> String {
        let own = schema["description"].as_str().filter(|own| !own.is_empty());
        own.map_or_else(|| self.description(schema), str::to_owned)
    }

    /// What a field is for, and its type, if that says more.
    pub fn description(&self, schema: &Value) -> String {
        let own = schema["description"].as_str().unwrap_or_default();
        let inner = self.structure(schema)["description"].as_str().unwrap_or_default();
        match (own, inner) {
            ("", "") => "<no description>".to_owned(),
            ("", only) | (only, "") => only.to_owned(),
            (own, inner) if own == inner => own.to_owned(),
            (own, inner) => format!("{own}\n{inner}"),
        }
    }
}

/// Whether a schema is that of a kind.
pub fn is_of_kind(schema: &Value, api_version: &str, kind: &str) -> bool {
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    let mut named = schema["x-kubernetes-group-version-kind"].as_array().into_iter().flatten();
    named.any(|named| named["group"] == group && named["version"] == version && named["kind"] == kind)
}
