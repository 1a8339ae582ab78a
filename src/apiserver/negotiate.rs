//! Which representation a client accepts.

use api::Status;
use api::discovery::Aggregated;
use api::table::Include;

use crate::request::Query;

/// The representations that can be made of objects, as error texts list them.
const AVAILABLE: &[&str] = &["application/json"];

/// How objects are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Representation {
    /// The objects themselves.
    Plain,
    /// Only their metadata, as `PartialObjectMetadata`.
    Partial,
    /// As rows of a table.
    Table {
        /// How much of each object goes with its row.
        include: Include,
        /// `v1`, or `v1beta1` for old clients.
        version: &'static str,
    },
}

/// One clause of an Accept header.
struct Clause<'h> {
    media: &'h str,
    parameters: Vec<(&'h str, &'h str)>,
}

impl Clause<'_> {
    fn get(&self, name: &str) -> &str {
        self.parameters.iter().find(|pair| pair.0 == name).map_or("", |pair| pair.1)
    }
}

fn clauses(header: &str) -> impl Iterator<Item = Clause<'_>> {
    let header = if header.trim().is_empty() { "*/*" } else { header };
    header.split(',').map(|clause| {
        let mut parts = clause.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        let pair = |part| str::split_once(part, '=').unwrap_or((part, ""));
        Clause { media, parameters: parts.map(pair).collect() }
    })
}

fn is_json(media: &str) -> bool {
    matches!(media, "application/json" | "application/*" | "*/*")
}

/// Chooses among the accepted representations, first come first served.
///
/// # Errors
/// 406 when none can be made, 400 for an `includeObject` that is no word of it.
pub fn objects(accept: &str, query: &Query) -> Result<Representation, Status> {
    let include = Include::parse(query.get("includeObject"))
        .ok_or_else(|| Status::bad_request("includeObject must be one of Metadata, None, Object"))?;
    clauses(accept)
        .filter(|clause| is_json(clause.media))
        .find_map(|clause| match (clause.get("as"), clause.get("g"), clause.get("v")) {
            ("", ..) => Some(Representation::Plain),
            ("Table", "meta.k8s.io", "v1") => Some(Representation::Table { include, version: "v1" }),
            ("Table", "meta.k8s.io", "v1beta1") => {
                Some(Representation::Table { include, version: "v1beta1" })
            }
            ("PartialObjectMetadata" | "PartialObjectMetadataList", "meta.k8s.io", "v1") => {
                Some(Representation::Partial)
            }
            _ => None,
        })
        .ok_or_else(|| Status::not_acceptable(AVAILABLE))
}

/// The aggregated form of discovery that is accepted before the plain one, if any.
pub fn discovery(accept: &str) -> Option<Aggregated> {
    let wanted = clauses(accept).filter(|clause| is_json(clause.media)).find_map(|clause| {
        match (clause.get("as"), clause.get("g"), clause.get("v")) {
            ("", ..) => Some(None),
            ("APIGroupDiscoveryList", "apidiscovery.k8s.io", "v2") => Some(Some(Aggregated::V2)),
            ("APIGroupDiscoveryList", "apidiscovery.k8s.io", "v2beta1") => Some(Some(Aggregated::V2Beta1)),
            _ => None,
        }
    });
    wanted.flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_clause_that_can_be_made() {
        let of = |accept: &str| objects(accept, &Query::default()).map_err(|status| status.code);
        let table = |version| Ok(Representation::Table { include: Include::Metadata, version });
        assert_eq!(of(""), Ok(Representation::Plain));
        assert_eq!(of("application/vnd.kubernetes.protobuf,application/json"), Ok(Representation::Plain));
        assert_eq!(
            of(
                "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"
            ),
            table("v1")
        );
        assert_eq!(of("application/json;as=Table;v=v1beta1;g=meta.k8s.io"), table("v1beta1"));
        assert_eq!(
            of("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"),
            Ok(Representation::Partial)
        );
        assert_eq!(of("application/json;as=Table;v=v9;g=meta.k8s.io"), Err(406));
        assert_eq!(of("text/html"), Err(406));
    }

    #[test]
    fn forms_of_discovery() {
        assert_eq!(
            discovery(
                "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
            ),
            Some(Aggregated::V2)
        );
        assert_eq!(
            discovery(
                "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"
            ),
            Some(Aggregated::V2Beta1)
        );
        assert_eq!(discovery("application/json, */*"), None);
        assert_eq!(discovery(""), None);
    }
}
