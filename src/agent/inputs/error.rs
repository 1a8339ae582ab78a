//! What can be wrong with what a container is to be given, in the words of Kubernetes.

/// Why a container cannot be given what its pod asks for.
///
/// Each text reads as Kubernetes' own: it becomes the message of a container's waiting state
/// (`CreateContainerConfigError`) or of an Event (`FailedMount`), which people search for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// An object that the pod needs is not there.
    #[error("{kind} {} not found", api::field_error::quoted(.name))]
    NotFound {
        /// `configmap` or `secret`.
        kind: &'static str,
        /// Its name, in the pod's namespace.
        name: String,
    },
    /// A variable asks for a key that the object does not have.
    #[error("couldn't find key {key} in {kind} {namespace}/{name}")]
    NoSuchKey {
        /// The key.
        key: String,
        /// `ConfigMap` or `Secret`.
        kind: &'static str,
        /// The pod's namespace.
        namespace: String,
        /// The object.
        name: String,
    },
    /// A volume projects a key that its ConfigMap does not have.
    #[error("configmap references non-existent config key: {0}")]
    NoSuchConfigKey(String),
    /// A volume projects a key that its Secret does not have.
    #[error("references non-existent secret key: {0}")]
    NoSuchSecretKey(String),
    /// A field of a version that no pod has.
    #[error("unsupported pod version: {0}")]
    PodVersion(String),
    /// A field that is not offered to containers.
    #[error("field label not supported: {0}")]
    FieldLabel(String),
    /// A field that has no entries, but one is asked for.
    #[error("field label does not support subscript: {0}")]
    FieldSubscript(String),
    /// A field that is no single text.
    #[error("unsupported fieldPath: {0}")]
    FieldPath(String),
    /// An entry of labels or annotations whose key can be none.
    #[error("invalid key subscript in {path}: {why}")]
    FieldKey {
        /// The whole path.
        path: String,
        /// What is wrong with the key.
        why: String,
    },
    /// A resource that is not offered to containers.
    #[error("unsupported container resource : {0}")]
    Resource(String),
    /// A resource field of a container that the pod does not have.
    #[error("container {0} not found")]
    NoSuchContainer(String),
    /// An amount that is no quantity.
    #[error("{amount}: {why}")]
    Quantity {
        /// The text.
        amount: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Where a variable's value would come from is nothing that is known here.
    #[error("environment variable {0} takes its value from a source that this node does not support")]
    VariableSource(String),
    /// A kind of volume that is not known here.
    #[error("volumes of type {0} are not supported by this node")]
    VolumeType(String),
    /// A kind of source in a projected volume that is not known here.
    #[error("projected sources of type {0} are not supported by this node")]
    ProjectedSource(String),
    /// A medium of an emptyDir that is not known here.
    #[error("unknown storage medium {}", api::field_error::quoted(.0))]
    Medium(String),
    /// A path in a payload that would leave its volume.
    #[error("invalid path: {0}")]
    PayloadPath(String),
    /// A hostPath that would be something else than it reads.
    #[error("invalid HostPath `{0}`: must not contain '..'")]
    HostPath(String),
    /// What stands at a hostPath is not what the pod says.
    #[error("{0}")]
    HostPathType(String),
    /// A container mounts what the pod does not have.
    #[error(
        "cannot find volume {} to mount into container {}",
        api::field_error::quoted(.volume),
        api::field_error::quoted(.container)
    )]
    NoSuchVolume {
        /// The volume's name.
        volume: String,
        /// The container's name.
        container: String,
    },
    /// A `subPathExpr` names variables that are unknown or empty.
    #[error("missing value for {0}")]
    MissingValue(String),
    /// A subPath that begins with a slash.
    #[error("error SubPath `{0}` must not be an absolute path")]
    SubPathAbsolute(String),
    /// A subPath that climbs.
    #[error("unable to provision SubPath `{0}`: must not contain '..'")]
    SubPathClimbs(String),
    /// A subPath that could not be made. Why is only logged: it could tell about the host's files.
    #[error(
        "failed to create subPath directory for volumeMount {} of container {}",
        api::field_error::quoted(.volume),
        api::field_error::quoted(.container)
    )]
    SubPathDirectory {
        /// The volume's name.
        volume: String,
        /// The container's name.
        container: String,
    },
    /// A subPath that could not be mounted. Why is only logged: it could tell about the host's files.
    #[error(
        "failed to prepare subPath for volumeMount {} of container {}",
        api::field_error::quoted(.volume),
        api::field_error::quoted(.container)
    )]
    SubPath {
        /// The volume's name.
        volume: String,
        /// The container's name.
        container: String,
    },
    /// A propagation that is not known.
    #[error("invalid MountPropagation mode: {}", api::field_error::quoted(.0))]
    Propagation(String),
    /// The first token of a ServiceAccount could not be had.
    #[error("failed to fetch token: {0}")]
    Token(String),
    /// A ServiceAccount's token ran out, and no other could be had.
    #[error("token {account} expired and refresh failed: {why}")]
    TokenExpired {
        /// The account, as namespace/name.
        account: String,
        /// What the masters said.
        why: String,
    },
    /// A name or uid that cannot be the name of a folder.
    #[error("{0:?} is no file name")]
    FileName(String),
    /// Something is mounted where everything should have been unmounted.
    #[error("{0} is still mounted")]
    StillMounted(String),
    /// A file could not be read or changed.
    #[error("{operation} {path}: {why}")]
    File {
        /// What was tried.
        operation: &'static str,
        /// Where.
        path: String,
        /// What the operating system said.
        why: String,
    },
    /// Several sources of one volume failed.
    #[error("[{}]", listed(.0))]
    Several(Vec<Error>),
}

impl Error {
    /// A file operation that failed.
    pub(crate) fn file(
        operation: &'static str,
        path: impl AsRef<std::path::Path>,
        why: impl Into<std::io::Error>,
    ) -> Self {
        let path = path.as_ref().display().to_string();
        Self::File { operation, path, why: why.into().to_string() }
    }

    /// One error of those of several sources; nothing where there is none.
    pub(crate) fn of_several(mut errors: Vec<Self>) -> Option<Self> {
        match errors.len() {
            0 | 1 => errors.pop(),
            _ => Some(Self::Several(errors)),
        }
    }
}

/// Texts with commas between, each once.
fn listed(errors: &[Error]) -> String {
    let mut texts: Vec<String> = Vec::new();
    for error in errors {
        let text = error.to_string();
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    texts.join(", ")
}

/// A volume that could not be given. Its text is the message of the Event `FailedMount`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("MountVolume.SetUp failed for volume {} : {error}", api::field_error::quoted(.volume))]
pub struct VolumeError {
    /// The volume's name in the pod.
    pub volume: String,
    /// Why.
    pub error: Error,
}
