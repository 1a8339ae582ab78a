//! `certificates.k8s.io/v1 CertificateSigningRequest`: a certificate that is asked for.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::pem::Pem;
use x509_parser::prelude::{FromDer as _, GeneralName, ParsedExtension};
use x509_parser::x509::AttributeTypeAndValue;

use crate::names;
use crate::object::Object;
use crate::resource::{Particular, Strategy, selectable};
use crate::same;
use crate::validate::at::{At, Root};
use crate::validate::signer;

/// What is particular. Who asks is filled in behind: only the server knows.
pub static KIND: Particular = Particular {
    group: "certificates.k8s.io",
    kind: "CertificateSigningRequest",
    selectable: &[selectable!("spec.signerName", "spec", "signerName")],
    strategy: Strategy {
        name: names::path_segment,
        prepare_create: forget_user,
        prepare_update: |new, old| new.fields.clone_from(&old.fields),
        prepare_status: keep_approval,
        stamp,
        validate: |new| validate(new, None),
        validate_update: |new, old| change(new, old, Through::Itself),
        validate_status: |new, old| change(new, old, Through::Status),
        ..Strategy::PLAIN
    },
    ..Particular::NONE
};

const SECONDS_MIN: i64 = 600;

/// What a block of PEM says that it holds.
const BLOCK: &str = "CERTIFICATE REQUEST";

const LEGACY_SIGNER: &str = "kubernetes.io/legacy-unknown";

const USAGES: &[&str] = &[
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

/// Whom a certificate is asked for, and under which names it is to be reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// The request, DER.
    pub der: Vec<u8>,
    /// The last common name, as Go takes it.
    pub common_name: String,
    /// Organizations, in order.
    pub organizations: Vec<String>,
    /// Host names.
    pub hosts: Vec<String>,
    /// Addresses.
    pub addresses: Vec<IpAddr>,
    /// How many e-mail addresses there are.
    pub emails: usize,
    /// How many URIs there are.
    pub uris: usize,
    /// Whether the subject says anything twice, or there are names of other sorts.
    pub is_odd: bool,
}

/// Reads `spec.request`; `None`: it is no request.
pub fn subject(base64: &str) -> Option<Subject> {
    let bytes = STANDARD.decode(base64).ok()?;
    let block = Pem::iter_from_buffer(&bytes).next()?.ok().filter(|block| block.label == BLOCK)?;
    let (_, request) = X509CertificationRequest::from_der(&block.contents).ok()?;
    let name = &request.certification_request_info.subject;
    let text = |part: &AttributeTypeAndValue<'_>| part.as_str().map(str::to_owned);
    let mut subject = Subject {
        common_name: name.iter_common_name().last().map(text).transpose().ok()?.unwrap_or_default(),
        organizations: name.iter_organization().map(text).collect::<Result<_, _>>().ok()?,
        ..Subject::default()
    };
    let mut kinds: Vec<_> = name.iter_attributes().map(|part| part.attr_type().to_id_string()).collect();
    let parts = kinds.len();
    kinds.sort();
    kinds.dedup();
    subject.is_odd = kinds.len() < parts;
    for extension in request.requested_extensions().into_iter().flatten() {
        let ParsedExtension::SubjectAlternativeName(names) = extension else { continue };
        for name in &names.general_names {
            match name {
                GeneralName::DNSName(host) => subject.hosts.push((*host).to_owned()),
                GeneralName::IPAddress(bytes) => {
                    match (<[u8; 4]>::try_from(*bytes), <[u8; 16]>::try_from(*bytes)) {
                        (Ok(v4), _) => subject.addresses.push(v4.into()),
                        (_, Ok(v6)) => subject.addresses.push(v6.into()),
                        _ => return None,
                    }
                }
                GeneralName::RFC822Name(_) => subject.emails += 1,
                GeneralName::URI(_) => subject.uris += 1,
                _ => subject.is_odd = true,
            }
        }
    }
    subject.der = block.contents;
    Some(subject)
}

/// What a change goes through.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Through {
    Approval,
    Itself,
    Status,
}

fn forget_user(object: &mut Object) {
    for field in ["username", "uid", "groups", "extra"] {
        if let Some(spec) = object.spec_mut() {
            spec.shift_remove(field);
        }
    }
    object.fields.insert("status".into(), json!({}));
}

fn conditions(object: &Object) -> &[Value] {
    let conditions = object.fields.get("status").and_then(|status| status.get("conditions"));
    conditions.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Approvals are not written through `status`: where as many are there as before, they stay as they were.
fn keep_approval(new: &mut Object, old: &Object) {
    for kind in ["Approved", "Denied"] {
        let of_kind = |condition: &&Value| condition["type"] == kind;
        let before: Vec<_> = conditions(old).iter().filter(of_kind).cloned().collect();
        if conditions(new).iter().filter(of_kind).count() != before.len() {
            continue;
        }
        let list = new.fields.get_mut("status").and_then(|status| status.get_mut("conditions"));
        let list = list.and_then(Value::as_array_mut).into_iter().flatten();
        for (now, before) in list.filter(|condition| condition["type"] == kind).zip(before) {
            *now = before;
        }
    }
}

/// Fills in when conditions were written, and since when they hold.
fn stamp(new: &mut Object, old: &Object, now: &str) {
    const SINCE: &str = "lastTransitionTime";
    let list = new.fields.get_mut("status").and_then(|status| status.get_mut("conditions"));
    for condition in list.and_then(Value::as_array_mut).into_iter().flatten() {
        let is_same =
            |before: &&Value| ["type", "status"].iter().all(|field| before[*field] == condition[*field]);
        let since = conditions(old).iter().filter(is_same).find_map(|before| before.get(SINCE).cloned());
        let Some(condition) = condition.as_object_mut() else { continue };
        for (field, time) in [("lastUpdateTime", None), (SINCE, since)] {
            if condition.get(field).is_none_or(Value::is_null) {
                condition.insert(field.to_owned(), time.unwrap_or_else(|| now.into()));
            }
        }
    }
}

/// The rules of a change through `approval`.
pub fn validate_approval(new: Root<'_>, old: Root<'_>) {
    change(new, old, Through::Approval);
}

/// Why a text is no request for a certificate, or not signed by the key that it names.
fn wrong_request(base64: &str) -> Option<&'static str> {
    let bytes = STANDARD.decode(base64).unwrap_or_default();
    let block = Pem::iter_from_buffer(&bytes).next().and_then(Result::ok);
    let Some(block) = block.filter(|block| block.label == BLOCK) else {
        return Some("PEM block type must be CERTIFICATE REQUEST");
    };
    match X509CertificationRequest::from_der(&block.contents) {
        Ok((_, request)) if request.verify_signature().is_ok() => None,
        Ok(_) => Some("x509: signature of the certificate request does not match its key"),
        Err(_) => Some("x509: malformed certificate request"),
    }
}

/// Why a text is no chain of certificates.
fn wrong_certificate(base64: &str) -> Option<String> {
    let bytes = STANDARD.decode(base64).unwrap_or_default();
    let blocks: Vec<_> = Pem::iter_from_buffer(&bytes).map_while(Result::ok).collect();
    if let Some(block) = blocks.iter().find(|block| block.label != "CERTIFICATE") {
        let found = crate::field_error::quoted(&block.label);
        return Some(format!("only CERTIFICATE PEM blocks are allowed, found {found}"));
    }
    let is_odd = |block: &Pem| block.parse_x509().is_err();
    match () {
        () if bytes.is_empty() => None,
        () if blocks.is_empty() => Some("must contain at least one CERTIFICATE PEM block".into()),
        () if blocks.iter().any(is_odd) => Some("x509: malformed certificate".into()),
        () => None,
    }
}

fn has_repeats<'a>(list: At<'a>, text: impl Fn(At<'a>) -> &'a str) -> bool {
    let texts: Vec<_> = list.items().map(text).collect();
    (1..texts.len()).any(|at| texts[..at].contains(&texts[at]))
}

fn kind_of(condition: At<'_>) -> &str {
    condition.field("type").text()
}

fn status_conditions(root: Root<'_>) -> At<'_> {
    root.field("status").field("conditions")
}

fn certificate(root: Root<'_>) -> At<'_> {
    root.field("status").field("certificate")
}

fn validate(new: Root<'_>, old: Option<Root<'_>>) {
    let spec = new.field("spec");
    let (request, usages, seconds) =
        (spec.field("request"), spec.field("usages"), spec.field("expirationSeconds"));
    if let Some(wrong) = wrong_request(request.text()) {
        request.invalid_value(request.value().cloned().unwrap_or_default(), wrong);
    }
    let before = old.map(|old| old.field("spec").field("usages"));
    if usages.count() == 0 {
        usages.required("");
    }
    if !before.is_some_and(|before| before.items().any(|usage| !USAGES.contains(&usage.text()))) {
        usages.items().for_each(|usage| usage.one_of(USAGES));
    }
    if !before.is_some_and(|before| has_repeats(before, At::text)) {
        for (at, usage) in usages.items().enumerate() {
            if usages.list()[..at].iter().any(|earlier| Some(earlier) == usage.value()) {
                usage.duplicate();
            }
        }
    }
    let name = spec.field("signerName");
    let was_legacy = old.is_some_and(|old| old.field("spec").field("signerName").text() == LEGACY_SIGNER);
    if name.text() == LEGACY_SIGNER && !was_legacy {
        name.invalid("the legacy signerName is not allowed via this API version");
    } else {
        signer::name(name);
    }
    if seconds.int().is_some_and(|seconds| seconds < SECONDS_MIN) {
        seconds.invalid("may not specify a duration less than 600 seconds (10 minutes)");
    }
    check_conditions(status_conditions(new), old.map(status_conditions));
    let is_kept = old.is_some_and(|old| {
        certificate(new).equals(certificate(old)) || wrong_certificate(certificate(old).text()).is_some()
    });
    if let Some(wrong) = wrong_certificate(certificate(new).text()).filter(|_| !is_kept) {
        certificate(new).invalid_value("<certificate data>", &wrong);
    }
}

fn check_conditions(list: At<'_>, old: Option<At<'_>>) {
    let has = |list: At<'_>, kind: &str| list.items().any(|condition| kind_of(condition) == kind);
    let had_both = old.is_some_and(|old| has(old, "Approved") && has(old, "Denied"));
    let had_repeats = old.is_some_and(|old| has_repeats(old, kind_of));
    let had_empty = old.is_some_and(|old| has(old, ""));
    let mut known = Vec::new();
    for condition in list.items() {
        let (kind, status) = (condition.field("type"), condition.field("status"));
        if !had_empty {
            kind.require_text();
        }
        let only_true = matches!(kind.text(), "Approved" | "Denied" | "Failed");
        status.require_one_of(if only_true { &["True"] } else { &["False", "True", "Unknown"] });
        if !had_repeats && known.contains(&kind.text()) {
            kind.duplicate();
        }
        known.push(kind.text());
    }
    if !had_both && has(list, "Approved") && has(list, "Denied") {
        // As the rules put it that Kubernetes declares.
        const BOTH: [&str; 2] = [r#"conditions[{"type": "Approved"}]"#, r#"conditions[{"type": "Denied"}]"#];
        let rule = format!("must specify at most one of: `{}`", BOTH.join("`, `"));
        list.invalid_value(format!("{{{}}}", BOTH.join(", ")), &rule);
    }
}

fn change(new: Root<'_>, old: Root<'_>, through: Through) {
    validate(new, Some(old));
    let of = |root: Root<'_>, kind: &str| -> Vec<Value> {
        let of_kind = status_conditions(root).items().filter(|condition| kind_of(*condition) == kind);
        of_kind.filter_map(|condition| condition.value().cloned()).collect()
    };
    for kind in ["Approved", "Denied", "Failed"] {
        let (now, before) = (of(new, kind), of(old, kind));
        let what = match () {
            () if now.len() < before.len() => "remove",
            () if through == Through::Approval || kind == "Failed" => continue,
            () if now.len() > before.len() => "add",
            () if !are_same(&now, &before) => "modify",
            () => continue,
        };
        status_conditions(new).forbidden(&format!("updates may not {what} a condition of type \"{kind}\""));
    }
    let (now, before) = (certificate(new), certificate(old));
    if !now.equals(before) {
        if through != Through::Status {
            now.forbidden("updates may not set certificate content");
        } else if !before.is_empty() {
            now.forbidden("updates may not modify existing certificate content");
        }
    }
}

fn are_same(now: &[Value], before: &[Value]) -> bool {
    let list = |conditions: &[Value]| Value::Array(conditions.to_vec());
    let model = "certificates.v1.CertificateSigningRequestStatus";
    same::field_of(model, "conditions", Some(&list(now)), Some(&list(before)))
}
