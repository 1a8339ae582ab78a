//! Who owns which fields of an object: `metadata.managedFields`, read.

use std::borrow::Cow;

use super::entry::{Entry, FIELDS_TYPE};
use super::fields_v1;
use super::set::Set;
use crate::encode::Members;
use crate::time;

/// How a manager came to own fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operation {
    Apply,
    Update,
}

/// How many managers may own fields by updates; the oldest are joined.
pub(super) const UPDATERS_MAX: usize = 10;

/// Who owns what the oldest managers owned.
const ANCIENT: &str = "ancient-changes";

/// One owner with its fields.
#[derive(Clone, Debug)]
pub(super) struct Owner<'a> {
    pub(super) manager: Cow<'a, str>,
    pub(super) operation: Operation,
    pub(super) api_version: Cow<'a, str>,
    pub(super) subresource: Cow<'a, str>,
    pub(super) time: Option<Cow<'a, str>>,
    pub(super) set: Set<'a>,
}

/// All owners of an object's fields. No two are the same manager.
pub(super) type Owners<'a> = Vec<Owner<'a>>;

/// The owners that an object's entries tell.
///
/// # Errors
/// Says which entry is none.
pub(super) fn owners(entries: &[Entry]) -> Result<Owners<'_>, String> {
    let mut owners: Owners<'_> = Vec::with_capacity(entries.len());
    for (at, entry) in entries.iter().enumerate() {
        let owner = owner(at, entry)?;
        match owners.iter_mut().find(|known| known.is_same(&owner)) {
            Some(known) => *known = owner,
            None => owners.push(owner),
        }
    }
    Ok(owners)
}

fn owner(at: usize, entry: &Entry) -> Result<Owner<'_>, String> {
    let operation = match entry.operation.as_str() {
        "Apply" => Operation::Apply,
        "Update" => Operation::Update,
        _ => return Err("operation must be `Apply` or `Update`".to_owned()),
    };
    if entry.api_version.is_empty() {
        return Err("apiVersion must not be empty".to_owned());
    }
    match entry.fields_type.as_str() {
        FIELDS_TYPE => {}
        "" => return Err(format!("missing fieldsType in managed fields entry {at}")),
        other => return Err(format!("invalid fieldsType {other:?} in managed fields entry {at}")),
    }
    let set = entry.fields.as_deref().map_or(Ok(Set::EMPTY), fields_v1::read)?;
    Ok(Owner {
        manager: Cow::Borrowed(&entry.manager),
        operation,
        api_version: Cow::Borrowed(&entry.api_version),
        subresource: Cow::Borrowed(&entry.subresource),
        time: entry.time.as_deref().map(Cow::Borrowed),
        set,
    })
}

impl Owner<'_> {
    /// Whether both are one manager: one that applies is the same in any version.
    pub(super) fn is_same(&self, other: &Owner<'_>) -> bool {
        self.manager == other.manager
            && self.operation == other.operation
            && self.subresource == other.subresource
            && (self.operation == Operation::Apply || self.api_version == other.api_version)
    }

    /// What sorts managers where Kubernetes sorts them by the JSON of what makes them one.
    pub(super) fn identity(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut members = Members::open(&mut out);
        members.text("manager", &self.manager);
        members.text("operation", self.operation.word());
        if self.operation == Operation::Update {
            members.text("apiVersion", &self.api_version);
        }
        members.text("subresource", &self.subresource);
        members.close();
        out
    }

    fn epoch_s(&self) -> i64 {
        epoch_s(self.time.as_deref())
    }

    fn entry(self) -> Entry {
        Entry {
            manager: self.manager.into_owned(),
            operation: self.operation.word().to_owned(),
            api_version: self.api_version.into_owned(),
            time: self.time.map(Cow::into_owned),
            fields_type: FIELDS_TYPE.to_owned(),
            fields: Some(fields_v1::write(&self.set)),
            subresource: self.subresource.into_owned(),
        }
    }
}

impl Operation {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

fn epoch_s(time: Option<&str>) -> i64 {
    time.and_then(time::parse).unwrap_or_default().div_euclid(1_000_000)
}

/// The entries of owners, in order.
pub(super) fn entries(owners: Owners<'_>) -> Vec<Entry> {
    let mut entries: Vec<_> = owners.into_iter().map(Owner::entry).collect();
    sort(&mut entries);
    entries
}

/// Puts entries into the order in which Kubernetes keeps them.
pub(super) fn sort(entries: &mut [Entry]) {
    entries.sort_by_cached_key(|entry| {
        let Entry { operation, manager, api_version, subresource, .. } = entry;
        (
            operation.clone(),
            epoch_s(entry.time.as_deref()),
            [manager, api_version, subresource].map(String::clone),
        )
    });
}

/// Joins the oldest managers of updates when there are too many: those of one version become one.
pub(super) fn cap(owners: &mut Owners<'_>) {
    let updaters = owners.iter().filter(|owner| owner.operation == Operation::Update);
    let mut oldest: Vec<_> =
        updaters.map(|owner| (owner.epoch_s(), owner.identity(), owner.api_version.clone())).collect();
    let mut count = oldest.len();
    if count <= UPDATERS_MAX {
        return;
    }
    oldest.sort();
    let mut firsts: Vec<(Cow<'_, str>, Vec<u8>)> = Vec::new();
    for (_, identity, version) in oldest {
        if count <= UPDATERS_MAX {
            return;
        }
        let Some((_, first)) = firsts.iter().find(|(known, _)| *known == version) else {
            firsts.push((version, identity));
            continue;
        };
        join(owners, first, &identity, &version);
        count -= 1;
    }
}

/// Gives the fields of `identity` to the manager of ancient changes, which is made of `first` where there is none.
fn join(owners: &mut Owners<'_>, first: &[u8], identity: &[u8], version: &str) {
    let is_ancient = |owner: &Owner<'_>| {
        owner.operation == Operation::Update
            && owner.manager == ANCIENT
            && owner.api_version == version
            && owner.subresource.is_empty()
    };
    let find =
        |owners: &Owners<'_>, identity: &[u8]| owners.iter().position(|owner| owner.identity() == identity);
    if !owners.iter().any(is_ancient) {
        let Some(at) = find(owners, first) else { return };
        let owner = &mut owners[at];
        (owner.manager, owner.subresource, owner.time) = (ANCIENT.into(), Cow::default(), None);
    }
    let Some(at) = find(owners, identity) else { return };
    let joined = owners.remove(at);
    if let Some(bucket) = owners.iter_mut().find(|owner| is_ancient(owner)) {
        bucket.set = bucket.set.union(&joined.set);
        bucket.time = joined.time;
    }
}
