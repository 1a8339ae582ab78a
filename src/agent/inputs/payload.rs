//! The files of volumes that show objects, the pod itself, or tokens.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    ConfigMap, ConfigMapVolumeSource, DownwardAPIVolumeFile, DownwardAPIVolumeSource, KeyToPath,
    ProjectedVolumeSource, Secret, SecretVolumeSource, ServiceAccountTokenProjection, VolumeProjection,
};

use crate::error::Error;
use crate::fields;
use crate::pod::{PodContext, common_user, list};
use crate::tokens::{Issued, request_for};

/// What files get where the pod does not say: the API's default.
const DEFAULT_MODE: i32 = 0o644;

/// What a token gets that is for one user or group only.
const TOKEN_MODE: u32 = 0o600;

/// The longest path of a file, and the longest name of one.
const PATH_BYTES_MAX: usize = 4096;
const NAME_BYTES_MAX: usize = 255;

/// One file.
#[derive(Clone, PartialEq, Eq)]
pub struct File {
    /// What it holds.
    pub data: Vec<u8>,
    /// Its permission bits.
    pub mode: u32,
    /// Its owner, where that is not the agent.
    pub owner: Option<u32>,
}

/// Shows no content: it may be secret.
impl std::fmt::Debug for File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes, {:o}", self.data.len(), self.mode)?;
        self.owner.map_or(Ok(()), |owner| write!(f, ", of {owner}"))
    }
}

/// Files by their path in the volume.
pub type Payload = BTreeMap<String, File>;

/// The files of a configMap volume.
pub(crate) fn of_config_map(
    source: &ConfigMapVolumeSource,
    context: &PodContext<'_>,
) -> Result<Payload, Error> {
    let object = context.objects.config_map(&source.name, source.optional)?;
    config_map_files(object, source.items.as_ref(), source.default_mode, source.optional)
}

fn config_map_files(
    object: Option<&ConfigMap>,
    items: Option<&Vec<KeyToPath>>,
    default_mode: Option<i32>,
    optional: Option<bool>,
) -> Result<Payload, Error> {
    let mut data: BTreeMap<&str, &[u8]> = BTreeMap::new();
    if let Some(object) = object {
        let binary = object.binary_data.iter().flatten();
        data.extend(binary.map(|(key, value)| (key.as_str(), value.0.as_slice())));
        let texts = object.data.iter().flatten();
        data.extend(texts.map(|(key, value)| (key.as_str(), value.as_bytes())));
    }
    projected_keys(&data, items, default_mode, optional).map_err(Error::NoSuchConfigKey)
}

/// The files of a secret volume.
pub(crate) fn of_secret(source: &SecretVolumeSource, context: &PodContext<'_>) -> Result<Payload, Error> {
    let name = source.secret_name.as_deref().unwrap_or_default();
    let object = context.objects.secret(name, source.optional)?;
    secret_files(object, source.items.as_ref(), source.default_mode, source.optional)
}

fn secret_files(
    object: Option<&Secret>,
    items: Option<&Vec<KeyToPath>>,
    default_mode: Option<i32>,
    optional: Option<bool>,
) -> Result<Payload, Error> {
    let data = object.and_then(|object| object.data.as_ref()).into_iter().flatten();
    let data = data.map(|(key, value)| (key.as_str(), value.0.as_slice())).collect();
    projected_keys(&data, items, default_mode, optional).map_err(Error::NoSuchSecretKey)
}

/// All keys as files of their names, or those of `items` at their paths; the first key that is missing and
/// must not.
fn projected_keys(
    data: &BTreeMap<&str, &[u8]>,
    items: Option<&Vec<KeyToPath>>,
    default_mode: Option<i32>,
    optional: Option<bool>,
) -> Result<Payload, String> {
    let items = list(items);
    if items.is_empty() {
        let files = data.iter().map(|(key, value)| ((*key).to_owned(), file(value, None, default_mode)));
        return Ok(files.collect());
    }
    let mut payload = Payload::new();
    for item in items {
        match data.get(item.key.as_str()) {
            Some(value) => {
                payload.insert(item.path.clone(), file(value, item.mode, default_mode));
            }
            None if optional == Some(true) => {}
            None => return Err(item.key.clone()),
        }
    }
    Ok(payload)
}

fn file(data: &[u8], mode: Option<i32>, default_mode: Option<i32>) -> File {
    let mode = mode.or(default_mode).unwrap_or(DEFAULT_MODE);
    File { data: data.to_vec(), mode: mode.cast_unsigned(), owner: None }
}

/// The files of a downwardAPI volume.
pub(crate) fn of_downward_api(
    source: &DownwardAPIVolumeSource,
    context: &PodContext<'_>,
) -> Result<Payload, Error> {
    downward_api_files(source.items.as_ref(), source.default_mode, context)
}

fn downward_api_files(
    items: Option<&Vec<DownwardAPIVolumeFile>>,
    default_mode: Option<i32>,
    context: &PodContext<'_>,
) -> Result<Payload, Error> {
    let (mut payload, mut errors) = (Payload::new(), Vec::new());
    for item in list(items) {
        let value = match (&item.field_ref, &item.resource_field_ref) {
            (Some(field), _) => fields::of_volume(&field.field_path, context.pod),
            (None, Some(field)) => fields::resource_of_volume(field, context),
            (None, None) => Ok(String::new()),
        };
        match value {
            Ok(value) => {
                payload.insert(item.path.clone(), file(value.as_bytes(), item.mode, default_mode));
            }
            Err(error) => errors.push(error),
        }
    }
    Error::of_several(errors).map_or(Ok(payload), Err)
}

/// The files of a projected volume: all its sources together, later ones over earlier ones.
pub(crate) fn of_projected(
    source: &ProjectedVolumeSource,
    context: &PodContext<'_>,
    issued: &Issued,
) -> Result<Payload, Error> {
    let (mut payload, mut errors) = (Payload::new(), Vec::new());
    for one in list(source.sources.as_ref()) {
        match of_projection(one, source.default_mode, context, issued) {
            Ok(files) => payload.extend(files),
            Err(error) => errors.push(error),
        }
    }
    Error::of_several(errors).map_or(Ok(payload), Err)
}

fn of_projection(
    source: &VolumeProjection,
    default_mode: Option<i32>,
    context: &PodContext<'_>,
    issued: &Issued,
) -> Result<Payload, Error> {
    if let Some(secret) = &source.secret {
        let object = context.objects.secret(&secret.name, secret.optional)?;
        return secret_files(object, secret.items.as_ref(), default_mode, secret.optional);
    }
    if let Some(config_map) = &source.config_map {
        let object = context.objects.config_map(&config_map.name, config_map.optional)?;
        return config_map_files(object, config_map.items.as_ref(), default_mode, config_map.optional);
    }
    if let Some(downward_api) = &source.downward_api {
        return downward_api_files(downward_api.items.as_ref(), default_mode, context);
    }
    if let Some(token) = &source.service_account_token {
        let token_file = token_file(token, default_mode, context, issued)?;
        return Ok(Payload::from([(token.path.clone(), token_file)]));
    }
    let kind = if source.cluster_trust_bundle.is_some() { "clusterTrustBundle" } else { "podCertificate" };
    Err(Error::ProjectedSource(kind.to_owned()))
}

/// A token is for the one user of the pod or for its group, where there is one, and for nobody else.
fn token_file(
    source: &ServiceAccountTokenProjection,
    default_mode: Option<i32>,
    context: &PodContext<'_>,
    issued: &Issued,
) -> Result<File, Error> {
    let request = request_for(context.pod, source);
    let token = issued.tokens.get(&request).cloned();
    let token = token.unwrap_or_else(|| Err(Error::Token("it was not asked for".to_owned())))?;
    let owner = context.pod.spec.as_ref().and_then(common_user);
    let plain = file(token.as_bytes(), None, default_mode);
    let is_private = owner.is_some() || context.fs_group().is_some();
    Ok(File { mode: if is_private { TOKEN_MODE } else { plain.mode }, owner, ..plain })
}

/// The payload with its paths in one form.
///
/// # Errors
/// A path that would leave the volume, or meet the writer's own names.
pub fn checked(payload: Payload) -> Result<Payload, Error> {
    payload.into_iter().map(|(path, file)| Ok((checked_path(&path)?, file))).collect()
}

fn checked_path(path: &str) -> Result<String, Error> {
    let wrong = |why: String| Err(Error::PayloadPath(why));
    if path.is_empty() {
        return wrong("must not be empty: \"\"".to_owned());
    }
    if path.starts_with('/') {
        return wrong(format!("must be relative path: {path}"));
    }
    if path.len() > PATH_BYTES_MAX {
        return wrong(format!("must be less than or equal to {PATH_BYTES_MAX} characters"));
    }
    let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty() && *name != ".").collect();
    if names.contains(&"..") {
        return wrong(format!("must not contain '..': {path}"));
    }
    if names.iter().any(|name| name.len() > NAME_BYTES_MAX) {
        return wrong(format!("filenames must be less than or equal to {NAME_BYTES_MAX} characters"));
    }
    match names.first() {
        None => wrong(format!("must name a file: {path}")),
        Some(first) if first.starts_with("..") => wrong(format!("must not start with '..': {path}")),
        Some(_) if path.contains('\0') => wrong(format!("must not contain NUL: {path:?}")),
        Some(_) => Ok(names.join("/")),
    }
}
