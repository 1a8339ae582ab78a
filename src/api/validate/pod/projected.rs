//! Projected volumes: files from several sources in one directory.

use super::downward;
use super::paths::local_unreserved;
use super::volumes::mode;
use crate::names;
use crate::validate::at::At;
use crate::validate::internal;
use crate::validate::meta;
use crate::validate::signer;

const TOKEN_SECONDS_MIN: i64 = 600;
const TOKEN_SECONDS_MAX: i64 = 1 << 32;
const CERTIFICATE_SECONDS_MIN: i64 = 3_600;
/// 91 days.
const CERTIFICATE_SECONDS_MAX: i64 = 7_862_400;
/// A day, for signers of Kubernetes itself.
const OWN_CERTIFICATE_SECONDS_MAX: i64 = 86_400;

const KEY_TYPES: &[&str] = &["RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519"];

/// An item of a ConfigMap or Secret, and the file that it becomes.
pub(super) fn key_to_path(item: At<'_>) {
    item.field("key").require_text();
    item.field("path").require_text();
    local_unreserved(item.field("path"));
    mode(item.field("mode"));
}

/// A file that tells something about the pod. Errors about the whole are told about `place`, too: so does Kubernetes.
pub(super) fn downward_file(file: At<'_>, place: At<'_>) {
    let file = place.with(file.value());
    file.field("path").require_text();
    local_unreserved(file.field("path"));
    let (field, resource) = (file.field("fieldRef"), file.field("resourceFieldRef"));
    if field.is_set() {
        downward::field(field, downward::VOLUME_FIELDS);
        if resource.is_set() {
            file.invalid_value(
                "resource",
                "fieldRef and resourceFieldRef can not be specified simultaneously",
            );
        }
    } else if resource.is_set() {
        downward::resource(resource, true);
    } else {
        file.required("one of fieldRef and resourceFieldRef is required");
    }
    mode(file.field("mode"));
}

/// The paths that files have so far.
struct Paths<'a> {
    volume: At<'a>,
    known: Vec<&'a str>,
}

impl<'a> Paths<'a> {
    /// Adds a path; `shown` is what an error about a second file of that path shows.
    fn add(&mut self, path: &'a str, shown: &str) {
        if self.known.contains(&path) {
            self.volume.invalid_value(shown, "conflicting duplicate paths");
        } else {
            self.known.push(path);
        }
    }

    fn add_unless_empty(&mut self, path: &'a str, shown: &str) {
        if !path.is_empty() {
            self.add(path, shown);
        }
    }
}

/// A projected volume.
pub(super) fn projected(volume: At<'_>) {
    mode(volume.field("defaultMode"));
    let mut paths = Paths { volume, known: Vec::new() };
    for source in volume.field("sources").items() {
        for field in
            ["secret", "configMap"].map(|field| source.field(field)).into_iter().filter(|at| at.is_set())
        {
            let name = field.field("name");
            name.require_text();
            for item in field.field("items").items() {
                key_to_path(item);
                paths.add_unless_empty(item.field("path").text(), name.text());
            }
        }
        let downward = source.field("downwardAPI");
        for file in downward.field("items").items() {
            downward_file(file, downward);
            paths.add_unless_empty(file.field("path").text(), file.field("path").text());
        }
        let with = |field: &'static str, check: fn(At<'_>, At<'_>)| {
            if source.field(field).is_set() {
                check(source.field(field), volume);
            }
        };
        with("serviceAccountToken", token);
        with("clusterTrustBundle", |bundle, _| trust_bundle(bundle));
        if source.field("clusterTrustBundle").is_set() {
            let path = source.field("clusterTrustBundle").field("path").text();
            paths.add(path, path);
        }
        if source.field("podCertificate").is_set() {
            certificate(source.field("podCertificate"), &mut paths);
        }
        let kinds = [
            "secret",
            "configMap",
            "downwardAPI",
            "serviceAccountToken",
            "clusterTrustBundle",
            "podCertificate",
        ];
        if kinds.iter().filter(|field| source.field(field).is_set()).count() > 1 {
            source.forbidden("may not specify more than 1 volume type per source");
        }
    }
}

fn token(token: At<'_>, volume: At<'_>) {
    let seconds = token.field("expirationSeconds");
    match seconds.int() {
        None => seconds.required(""),
        Some(given) if given < TOKEN_SECONDS_MIN => {
            seconds.invalid("may not specify a duration less than 10 minutes");
        }
        Some(given) if given > TOKEN_SECONDS_MAX => {
            seconds.invalid("may not specify a duration larger than 2^32 seconds");
        }
        Some(_) => {}
    }
    let path = volume.field("path").with(token.field("path").value());
    if path.require_text() {
        local_unreserved(path);
    }
}

fn trust_bundle(bundle: At<'_>) {
    let (name, signer, selector) =
        (bundle.field("name"), bundle.field("signerName"), bundle.field("labelSelector"));
    match (name.is_set(), signer.is_set()) {
        (true, true) => bundle
            .invalid_value(internal::trust_bundle(bundle), "only one of name and signerName may be used"),
        (true, false) => {
            if name.text().is_empty() {
                name.required("must be a valid object name");
            }
            for wrong in signer::trust_bundle_name(name.text()) {
                name.invalid(&format!("not a valid clustertrustbundlename: {wrong}"));
            }
            if selector.is_set() {
                selector.invalid("labelSelector must be unset if name is specified");
            }
        }
        (false, true) => {
            if signer.text().is_empty() {
                signer.required("must be a valid signer name");
            }
            signer::name(signer);
            selector.label_selector();
        }
        (false, false) => bundle.required("either name or signerName must be specified"),
    }
    bundle.field("path").require_text();
    local_unreserved(bundle.field("path"));
}

fn certificate<'a>(certificate: At<'a>, paths: &mut Paths<'a>) {
    let signer_name = certificate.field("signerName");
    signer::name(signer_name);
    user_annotations(certificate.field("userAnnotations"));
    certificate.field("keyType").one_of(KEY_TYPES);
    let seconds = certificate.field("maxExpirationSeconds");
    let most = if signer::is_own(signer_name.text()) {
        OWN_CERTIFICATE_SECONDS_MAX
    } else {
        CERTIFICATE_SECONDS_MAX
    };
    if let Some(given) = seconds.int() {
        if given < CERTIFICATE_SECONDS_MIN {
            seconds
                .invalid(&format!("if provided, maxExpirationSeconds must be >= {CERTIFICATE_SECONDS_MIN}"));
        }
        if given > most {
            seconds.invalid(&format!("if provided, maxExpirationSeconds must be <= {most}"));
        }
    }
    let files =
        ["credentialBundlePath", "keyPath", "certificateChainPath"].map(|field| certificate.field(field));
    for file in files.iter().filter(|file| !file.text().is_empty()) {
        local_unreserved(*file);
        paths.add(file.text(), file.text());
    }
    if files.iter().all(|file| file.text().is_empty()) {
        certificate
            .required("specify at least one of credentialBundlePath, keyPath, and certificateChainPath");
    }
}

/// Keys of the form `example.com/name`.
fn user_annotations(annotations: At<'_>) {
    for (key, _) in annotations.entries() {
        let key = key.to_lowercase();
        let wrong = names::qualified(&key);
        let is_prefixed = key.split('/').count() == 2;
        if key.is_empty() {
            annotations.required("");
        } else if wrong.is_empty() && !is_prefixed {
            let rule = "must be a domain-prefixed key (such as \"acme.io/foo\")";
            annotations.invalid_value(key.as_str(), rule);
        } else {
            wrong.iter().for_each(|wrong| annotations.invalid_value(key.as_str(), wrong));
        }
    }
    meta::annotations_size(annotations);
}
