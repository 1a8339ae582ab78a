//! Who a data directory belongs to, and what a start does with it.
//!
//! # Flow
//! [`decide`] compares what is in the directory with what the command line asks for: a pure function
//! over a closed set of answers. A directory that is new, half-made or whole each has one way on;
//! everything else is refused with the way out.
//!
//! # Guarantees
//! An id is bound to the log that voted under it: a directory that knows its id but lost its store is
//! never started, because it would vote again as if it had forgotten what it promised.

use apiserver::bootstrap::Settings;
use base::ids::{ClusterId, NodeId};
use serde::{Deserialize, Serialize};

use crate::address::HostPort;
use crate::data_dir::DataDir;
use crate::pki::AuthorityHash;
use crate::token::Token;

/// The version of `identity.json` that this program writes and reads.
pub const IDENTITY_FORMAT: u32 = 1;

/// `identity.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// [`IDENTITY_FORMAT`].
    pub format: u32,
    /// The cluster, 16 hex digits.
    pub cluster: String,
    /// The id in Raft.
    pub node: NodeId,
    /// The name in the membership.
    pub name: String,
    /// Where the API is served.
    pub api: HostPort,
    /// Where other masters reach this one.
    pub peer: HostPort,
    /// Further names of the API server's certificate.
    pub names: Vec<String>,
    /// How far it has come.
    pub stage: Stage,
    /// What the cluster is told when it is made.
    #[serde(default, skip_serializing_if = "is_default")]
    pub settings: Settings,
    /// Whether its Raft was ever started: from then on the store must be there.
    pub started: bool,
}

fn is_default(settings: &Settings) -> bool {
    *settings == Settings::default()
}

/// How far a master has come on its way into the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Stage {
    /// It makes the cluster; the log may still be empty.
    Init,
    /// It has an id but does not vote yet; the store may still be missing.
    Join {
        /// A master to ask for admission.
        through: HostPort,
    },
    /// It votes.
    Member,
}

impl Identity {
    /// The cluster.
    pub fn cluster(&self) -> Result<ClusterId, Refused> {
        self.cluster.parse().map_err(|_| Refused::Damaged { what: "the cluster id is not 16 hex digits" })
    }
}

/// What a directory holds.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// `identity.json`.
    pub identity: Option<Identity>,
    /// Hash of the authority's certificate.
    pub authority: Option<AuthorityHash>,
    /// Whether there is a store.
    pub store: bool,
}

/// What the command line asks for.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// `--name`
    pub name: Option<String>,
    /// `--api`
    pub api: Option<HostPort>,
    /// `--peer`
    pub peer: Option<HostPort>,
    /// `--san`
    pub names: Vec<String>,
    /// `--init`, `--join` or neither.
    pub bootstrap: Option<Bootstrap>,
}

/// How a new master begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bootstrap {
    /// Make a cluster, under this id if given.
    Init {
        /// Chosen by `keelson up`, whose names on the host carry it.
        cluster: Option<ClusterId>,
        /// What it is told once.
        settings: Settings,
    },
    /// Join one.
    Join {
        /// Any of its masters.
        through: HostPort,
        /// From `kctl cluster add`.
        token: Token,
    },
}

/// What a start does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// Make a cluster.
    Init(NewMaster, Option<ClusterId>, Settings),
    /// Ask for an id, then go on as a member that joins.
    Join(NewMaster, HostPort, Token),
    /// Go on as what the directory says.
    Resume(Identity),
}

/// The names and addresses of a master without an id yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMaster {
    /// Unique among members.
    pub name: String,
    /// Where its API is served.
    pub api: HostPort,
    /// Where other masters reach it.
    pub peer: HostPort,
    /// Further names of the API server's certificate.
    pub names: Vec<String>,
}

/// Why a directory is not started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Nothing there, and not told how to begin.
    #[error(
        "the data directory is empty: make a new cluster with --init, or join one with --join https://ADDRESS \
         --token TOKEN (printed by `kctl cluster add`). If this directory was a master before, its data is gone: \
         run `kctl cluster remove NAME` and join again"
    )]
    Empty,
    /// A new master lacks a flag.
    #[error("a new master needs {flag}")]
    Missing {
        /// The flag.
        flag: &'static str,
    },
    /// Not a name.
    #[error(
        "{name:?} is no name for a master: lower-case letters, digits and dashes, at most 63, like master-1"
    )]
    BadName {
        /// What was given.
        name: String,
    },
    /// An identity without its store.
    #[error(
        "the store of master {name} is gone but its identity is still there: started again it could break promises \
         that it made before. Run `kctl cluster remove {name}`, empty the data directory, and join as a new master"
    )]
    Wiped {
        /// The master.
        name: String,
    },
    /// A store without an identity.
    #[error(
        "the data directory holds a store but no identity.json: put the file back, or empty the directory \
         and join as a new master after `kctl cluster remove NAME`"
    )]
    Anonymous,
    /// Another master's directory.
    #[error(
        "the data directory belongs to master {found}, not to {wanted}: give each master a directory of its own"
    )]
    OtherMaster {
        /// Whose it is.
        found: String,
        /// Who was asked for.
        wanted: String,
    },
    /// Another cluster's directory.
    #[error(
        "the data directory belongs to cluster {found}, not to the one asked for: start it without --init and --join \
         to go on there, or give an empty directory"
    )]
    OtherCluster {
        /// Whose it is.
        found: String,
    },
    /// An address that the others do not know.
    #[error(
        "master {name} is known to the others at {flag} {found}, not at {wanted}: start it with the old address, or \
         run `kctl cluster remove {name}`, empty the directory, and join with the new one"
    )]
    OtherAddress {
        /// The master.
        name: String,
        /// `--api` or `--peer`.
        flag: &'static str,
        /// In the directory.
        found: HostPort,
        /// On the command line.
        wanted: HostPort,
    },
    /// Written by a later version.
    #[error(
        "identity.json has format {found}, this program reads {IDENTITY_FORMAT}: start the newer program"
    )]
    OtherFormat {
        /// Its format.
        found: u32,
    },
    /// Cannot be read.
    #[error(
        "identity.json is damaged: {what}. Put back a copy of the file, or run `kctl cluster remove NAME`, empty the \
         data directory, and join as a new master"
    )]
    Damaged {
        /// What is wrong.
        what: &'static str,
    },
}

/// What a start does with `found` when `wanted` was asked for.
pub fn decide(found: Found, wanted: Wanted) -> Result<Start, Refused> {
    match found.identity {
        Some(identity) => resume(identity, found.authority, found.store, &wanted),
        None if found.store => Err(Refused::Anonymous),
        None => begin(wanted),
    }
}

fn begin(wanted: Wanted) -> Result<Start, Refused> {
    let Some(bootstrap) = wanted.bootstrap else { return Err(Refused::Empty) };
    let missing = |flag| move || Refused::Missing { flag };
    let name = wanted.name.ok_or_else(missing("--name"))?;
    if !is_name(&name) {
        return Err(Refused::BadName { name });
    }
    let master = NewMaster {
        name,
        api: wanted.api.ok_or_else(missing("--api"))?,
        peer: wanted.peer.ok_or_else(missing("--peer"))?,
        names: wanted.names,
    };
    Ok(match bootstrap {
        Bootstrap::Init { cluster, settings } => Start::Init(master, cluster, settings),
        Bootstrap::Join { through, token } => Start::Join(master, through, token),
    })
}

fn resume(
    mut identity: Identity,
    authority: Option<AuthorityHash>,
    store: bool,
    wanted: &Wanted,
) -> Result<Start, Refused> {
    if identity.format != IDENTITY_FORMAT {
        return Err(Refused::OtherFormat { found: identity.format });
    }
    let cluster = identity.cluster()?;
    let authority = authority.ok_or(Refused::Damaged { what: "pki/ca.crt is missing beside it" })?;
    if let Some(name) = wanted.name.as_ref().filter(|name| **name != identity.name) {
        return Err(Refused::OtherMaster { found: identity.name, wanted: name.clone() });
    }
    let same_cluster = match &wanted.bootstrap {
        Some(Bootstrap::Join { token, .. }) => token.authority == authority,
        Some(Bootstrap::Init { cluster: Some(wanted), .. }) => *wanted == cluster,
        Some(Bootstrap::Init { cluster: None, .. }) | None => true,
    };
    if !same_cluster {
        return Err(Refused::OtherCluster { found: identity.cluster });
    }
    same_address(&identity, "--api", &identity.api, wanted.api.as_ref())?;
    same_address(&identity, "--peer", &identity.peer, wanted.peer.as_ref())?;
    if identity.started && !store {
        return Err(Refused::Wiped { name: identity.name });
    }
    if let (Stage::Join { through }, Some(Bootstrap::Join { through: wanted, .. })) =
        (&mut identity.stage, &wanted.bootstrap)
    {
        through.clone_from(wanted);
    }
    Ok(Start::Resume(identity))
}

fn same_address(
    identity: &Identity,
    flag: &'static str,
    found: &HostPort,
    wanted: Option<&HostPort>,
) -> Result<(), Refused> {
    match wanted {
        Some(wanted) if wanted != found => Err(Refused::OtherAddress {
            name: identity.name.clone(),
            flag,
            found: found.clone(),
            wanted: wanted.clone(),
        }),
        _ => Ok(()),
    }
}

/// Whether `name` may name a master: a DNS label, because it becomes a host name and a namespace.
pub fn is_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (1..=63).contains(&bytes.len())
        && bytes.iter().all(|byte| plain(byte) || *byte == b'-')
        && bytes.first().is_some_and(plain)
        && bytes.last().is_some_and(plain)
}

/// Reads what [`decide`] needs from a directory.
pub fn look(directory: &DataDir) -> anyhow::Result<Found> {
    let identity = match base::files::read(&directory.identity())? {
        None => None,
        Some(text) => Some(parse(&text)?),
    };
    let authority = directory.authority_certificate()?.map(|certificate| AuthorityHash::of(&certificate));
    Ok(Found { identity, authority, store: directory.has_store()? })
}

fn parse(text: &str) -> Result<Identity, Refused> {
    let value: serde_json::Value =
        serde_json::from_str(text).map_err(|_| Refused::Damaged { what: "it is not JSON" })?;
    // The format first: a later one may have other fields.
    match value["format"].as_u64() {
        Some(format) if format == u64::from(IDENTITY_FORMAT) => {}
        Some(format) => {
            return Err(Refused::OtherFormat { found: u32::try_from(format).unwrap_or(u32::MAX) });
        }
        None => return Err(Refused::Damaged { what: "it has no format" }),
    }
    serde_json::from_value(value)
        .map_err(|_| Refused::Damaged { what: "a field is missing or of another type" })
}

#[cfg(test)]
mod tests {
    use super::*;

    const AUTHORITY: AuthorityHash = AuthorityHash([1; 32]);
    const FOREIGN: AuthorityHash = AuthorityHash([2; 32]);

    fn address(text: &str) -> HostPort {
        text.parse().expect("address")
    }

    fn identity(stage: Stage) -> Identity {
        Identity {
            format: IDENTITY_FORMAT,
            cluster: ClusterId(7).to_string(),
            node: 3,
            name: "master-1".to_owned(),
            api: address("10.0.0.1:6443"),
            peer: address("10.0.0.1:6444"),
            names: vec![],
            settings: Settings::default(),
            started: stage == Stage::Member,
            stage,
        }
    }

    fn joining() -> Stage {
        Stage::Join { through: address("10.0.0.9:6443") }
    }

    fn found(stage: Stage, store: bool) -> Found {
        Found { identity: Some(identity(stage)), authority: Some(AUTHORITY), store }
    }

    fn join(authority: AuthorityHash) -> Option<Bootstrap> {
        Some(Bootstrap::Join { through: address("10.0.0.2:6443"), token: Token::random(authority) })
    }

    fn init(cluster: Option<u64>) -> Option<Bootstrap> {
        Some(Bootstrap::Init { cluster: cluster.map(ClusterId), settings: Settings::default() })
    }

    fn wanted(bootstrap: Option<Bootstrap>) -> Wanted {
        Wanted {
            name: Some("master-1".to_owned()),
            api: Some(address("10.0.0.1:6443")),
            peer: Some(address("10.0.0.1:6444")),
            names: vec![],
            bootstrap,
        }
    }

    #[test]
    fn a_new_directory_begins_as_told() {
        let empty = Found::default;
        assert!(matches!(decide(empty(), wanted(init(Some(7)))), Ok(Start::Init(_, Some(ClusterId(7)), _))));
        assert!(matches!(decide(empty(), wanted(join(AUTHORITY))), Ok(Start::Join(..))));
        assert_eq!(decide(empty(), wanted(None)), Err(Refused::Empty));
        let nameless = Wanted { name: None, ..wanted(init(None)) };
        assert_eq!(decide(empty(), nameless), Err(Refused::Missing { flag: "--name" }));
        let misnamed = Wanted { name: Some("Master_1".to_owned()), ..wanted(init(None)) };
        assert_eq!(decide(empty(), misnamed), Err(Refused::BadName { name: "Master_1".to_owned() }));
    }

    #[test]
    fn a_known_directory_goes_on_whatever_the_flags() {
        for stage in [Stage::Init, joining(), Stage::Member] {
            for bootstrap in [None, init(None), init(Some(7)), join(AUTHORITY)] {
                let start = decide(found(stage.clone(), true), wanted(bootstrap.clone()));
                assert!(matches!(start, Ok(Start::Resume(_))), "{stage:?} {bootstrap:?}");
            }
            let bare = decide(found(stage.clone(), true), Wanted::default());
            assert_eq!(bare, Ok(Start::Resume(identity(stage))));
        }
    }

    #[test]
    fn a_crash_before_the_store_was_made_is_no_loss() {
        for stage in [Stage::Init, joining()] {
            assert!(decide(found(stage, false), wanted(None)).is_ok());
        }
    }

    #[test]
    fn a_second_try_to_join_uses_the_address_it_was_given() {
        let start = decide(found(joining(), false), wanted(join(AUTHORITY)));
        let Ok(Start::Resume(identity)) = start else { panic!("{start:?}") };
        assert_eq!(identity.stage, Stage::Join { through: address("10.0.0.2:6443") });
    }

    #[test]
    fn what_is_refused() {
        let name = || "master-1".to_owned();
        let other_name = Wanted { name: Some("master-2".to_owned()), ..wanted(None) };
        let other_api = Wanted { api: Some(address("10.0.0.5:6443")), ..wanted(None) };
        let other_cluster = || Refused::OtherCluster { found: ClusterId(7).to_string() };
        let cases = [
            (found(Stage::Member, false), wanted(None), Refused::Wiped { name: name() }),
            (Found { store: true, ..Found::default() }, wanted(init(None)), Refused::Anonymous),
            (
                found(Stage::Member, true),
                other_name,
                Refused::OtherMaster { found: name(), wanted: "master-2".to_owned() },
            ),
            (found(Stage::Member, true), wanted(join(FOREIGN)), other_cluster()),
            (found(Stage::Member, true), wanted(init(Some(8))), other_cluster()),
            (
                found(Stage::Member, true),
                other_api,
                Refused::OtherAddress {
                    name: name(),
                    flag: "--api",
                    found: address("10.0.0.1:6443"),
                    wanted: address("10.0.0.5:6443"),
                },
            ),
            (
                Found { authority: None, ..found(Stage::Member, true) },
                wanted(None),
                Refused::Damaged { what: "pki/ca.crt is missing beside it" },
            ),
        ];
        for (found, wanted, expected) in cases {
            assert_eq!(decide(found, wanted), Err(expected));
        }
    }

    #[test]
    fn identity_json_is_fixed() {
        let text = serde_json::to_string(&identity(joining())).expect("json");
        let golden = r#"{"format":1,"cluster":"0000000000000007","node":3,"name":"master-1","api":"10.0.0.1:6443","peer":"10.0.0.1:6444","names":[],"stage":{"join":{"through":"10.0.0.9:6443"}},"started":false}"#;
        assert_eq!(text, golden);
        assert_eq!(parse(golden), Ok(identity(joining())));
    }

    #[test]
    fn a_damaged_or_newer_file_is_told_apart() {
        let damaged = |what| Err(Refused::Damaged { what });
        assert_eq!(parse("{"), damaged("it is not JSON"));
        assert_eq!(parse("{}"), damaged("it has no format"));
        assert_eq!(parse(r#"{"format":1}"#), damaged("a field is missing or of another type"));
        assert_eq!(parse(r#"{"format":2}"#), Err(Refused::OtherFormat { found: 2 }));
    }
}
