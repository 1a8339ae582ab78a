//! Which representation a client accepts.

use api::discovery::Aggregated;
use api::table::Include;
use api::{Reason, Status};

use crate::request::Query;

/// The representations that can be made of objects, as error texts list them.
const AVAILABLE: &[&str] = &["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];

/// The same of watches.
const STREAMS: &[&str] =
    &["application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch"];

/// The media type of protobuf.
pub const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// The media type of YAML.
pub const YAML: &str = "application/yaml";

/// In what a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// JSON.
    Json,
    /// Protobuf.
    Protobuf,
    /// YAML: made of JSON when an answer is done.
    Yaml,
}

/// How objects are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Representation {
    /// The objects themselves.
    Plain,
    /// The objects themselves, in protobuf.
    Protobuf,
    /// Only their metadata, as `PartialObjectMetadata`.
    Partial,
    /// The same, in protobuf.
    PartialProtobuf,
    /// As rows of a table.
    Table {
        /// How much of each object goes with its row.
        include: Include,
        /// `v1`, or `v1beta1` for old clients.
        version: &'static str,
    },
}

impl Representation {
    /// Whether it is written in protobuf.
    pub fn is_protobuf(self) -> bool {
        matches!(self, Self::Protobuf | Self::PartialProtobuf)
    }
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

    fn encoding(&self) -> Option<Encoding> {
        match self.media {
            PROTOBUF => Some(Encoding::Protobuf),
            YAML => Some(Encoding::Yaml),
            media => is_json(media).then_some(Encoding::Json),
        }
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

/// In what to write what has one form only: in the first that is accepted and can be made, else in JSON.
pub fn encoding(accept: &str) -> Encoding {
    clauses(accept).find_map(|clause| clause.encoding()).unwrap_or(Encoding::Json)
}

/// Refuses what accepts none of the media types that a path has, whatever is said about their parameters. `streams`: it
/// has those of watches as well.
///
/// # Errors
/// 406 for it.
pub fn route(accept: &str, streams: bool) -> Result<(), Status> {
    let available = AVAILABLE.iter().chain(if streams { STREAMS } else { &[] }).copied();
    // Wildcards of a part are not known here.
    let is_available = |media: &str| media == "*/*" || available.clone().any(|one| one == media);
    if accept.is_empty() || clauses(accept).any(|clause| is_available(clause.media)) {
        return Ok(());
    }
    let listed: Vec<_> = available.clone().collect();
    let text = format!("406: Not Acceptable\n\nAvailable representations: {}", listed.join(", "));
    Err(Status::failure(406, Reason::NotAcceptable, text).with_details())
}

/// Refuses a client that takes streams in YAML alone: one document does not end where the next begins.
///
/// # Errors
/// 406 for it.
pub fn stream(accept: &str) -> Result<(), Status> {
    if encoding(accept) == Encoding::Yaml { Err(Status::not_acceptable(AVAILABLE)) } else { Ok(()) }
}

/// What can be made of objects besides JSON and YAML.
#[derive(Clone, Copy, Debug)]
pub struct Offer {
    /// Rows of a table.
    pub tables: bool,
    /// Messages of protobuf: objects of definitions have none.
    pub messages: bool,
}

/// Chooses among the accepted representations, first come first served.
///
/// # Errors
/// 406 when none can be made, 400 for an `includeObject` that is no word of it.
pub fn objects(accept: &str, query: &Query, offer: Offer) -> Result<Representation, Status> {
    let include = Include::parse(query.get("includeObject"))
        .ok_or_else(|| Status::bad_request("includeObject must be one of Metadata, None, Object"))?;
    let form = |clause: Clause<'_>| {
        let is_protobuf = clause.encoding()? == Encoding::Protobuf;
        match (clause.get("as"), clause.get("g"), clause.get("v")) {
            _ if is_protobuf && !offer.messages => None,
            ("", ..) if is_protobuf => Some(Representation::Protobuf),
            ("", ..) => Some(Representation::Plain),
            ("Table", "meta.k8s.io", version) if offer.tables && !is_protobuf => {
                let version = ["v1", "v1beta1"].into_iter().find(|known| *known == version)?;
                Some(Representation::Table { include, version })
            }
            ("PartialObjectMetadata" | "PartialObjectMetadataList", "meta.k8s.io", "v1") => {
                Some(if is_protobuf { Representation::PartialProtobuf } else { Representation::Partial })
            }
            _ => None,
        }
    };
    clauses(accept).find_map(form).ok_or_else(|| Status::not_acceptable(AVAILABLE))
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
        let of = |accept: &str| {
            objects(accept, &Query::default(), Offer { tables: true, messages: true })
                .map_err(|status| status.code)
        };
        let table = |version| Ok(Representation::Table { include: Include::Metadata, version });
        assert_eq!(of(""), Ok(Representation::Plain));
        assert_eq!(of("application/vnd.kubernetes.protobuf,application/json"), Ok(Representation::Protobuf));
        assert_eq!(of("application/json,application/vnd.kubernetes.protobuf"), Ok(Representation::Plain));
        assert_eq!(
            of("application/vnd.kubernetes.protobuf;as=Table;g=meta.k8s.io;v=v1,application/json"),
            Ok(Representation::Plain)
        );
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
        assert_eq!(of("application/yaml"), Ok(Representation::Plain));
        assert_eq!(of("application/yaml;as=Table;v=v1;g=meta.k8s.io"), table("v1"));
        assert_eq!(
            of("application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"),
            Ok(Representation::PartialProtobuf)
        );
    }

    #[test]
    fn what_no_path_has() {
        let of = |accept: &str, streams| route(accept, streams).map_err(|status| status.message);
        for accept in ["", "*/*", "text/html, application/yaml;q=0.5", "application/json;as=Nothing"] {
            assert_eq!(of(accept, false), Ok(()), "{accept}");
        }
        let three = "application/json, application/yaml, application/vnd.kubernetes.protobuf";
        let expect = format!("406: Not Acceptable\n\nAvailable representations: {three}");
        assert_eq!(of("application/*", false), Err(expect.clone()));
        let streams = "application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch";
        assert_eq!(of("text/html", true), Err(format!("{expect}, {streams}")));
    }

    #[test]
    fn what_has_no_table() {
        let of = |accept: &str| {
            objects(accept, &Query::default(), Offer { tables: false, messages: true })
                .map_err(|status| status.code)
        };
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
        assert_eq!(of(table), Err(406));
        assert_eq!(of(&format!("{table},application/json")), Ok(Representation::Plain));
    }

    #[test]
    fn what_bodies_are_written_in() {
        let cases = [
            ("", Encoding::Json),
            ("text/html", Encoding::Json),
            ("application/yaml", Encoding::Yaml),
            ("application/vnd.kubernetes.protobuf,application/json", Encoding::Protobuf),
            ("text/html, application/json;as=Table, application/yaml", Encoding::Json),
        ];
        for (accept, expect) in cases {
            assert_eq!(encoding(accept), expect, "{accept}");
        }
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
