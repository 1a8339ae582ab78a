//! `certificates.k8s.io`.

use super::{Cell, Cells, Kinds, Row};
use crate::time;
use Cell::{Age, Code, Labels, Name, Text};

const GROUP: &str = "certificates.k8s.io";

pub(super) static KINDS: Kinds = &[
    (
        GROUP,
        "CertificateSigningRequest",
        &[Name, Age, Code(signer), Text(&["spec", "username"]), Code(requested_duration), Code(status)],
    ),
    (GROUP, "ClusterTrustBundle", &[Name, Code(signer)]),
    (
        GROUP,
        "PodCertificateRequest",
        &[
            Name,
            Text(&["spec", "podName"]),
            Text(&["spec", "serviceAccountName"]),
            Text(&["spec", "nodeName"]),
            Text(&["spec", "signerName"]),
            Code(state),
            Labels(&["spec", "unverifiedUserAnnotations"]),
        ],
    ),
];

fn signer(row: Row<'_>, cells: &mut Cells<'_>) {
    cells.same_or(row.object.at(&["spec", "signerName"]), "<none>");
}

fn requested_duration(row: Row<'_>, cells: &mut Cells<'_>) {
    let seconds = row.object.at(&["spec", "expirationSeconds"]).number();
    cells.text(&seconds.map_or_else(|| "<none>".to_owned(), |seconds| time::span(seconds * 1_000_000)));
}

fn status(row: Row<'_>, cells: &mut Cells<'_>) {
    let [conditions, certificate] = row.object.get("status").pick(["conditions", "certificate"]);
    let has = |kind| conditions.items().any(|one| one.get("type").is(kind));
    let decision = match () {
        () if has("Denied") => "Denied",
        () if has("Approved") => "Approved",
        () => "Pending",
    };
    let failed = if has("Failed") { ",Failed" } else { "" };
    let issued = if certificate.text().is_empty() { "" } else { ",Issued" };
    cells.text(&[decision, failed, issued].concat());
}

fn state(row: Row<'_>, cells: &mut Cells<'_>) {
    let kinds = row.object.at(&["status", "conditions"]).items().map(|one| one.get("type").text());
    let last = kinds.filter(|kind| ["Issued", "Denied", "Failed"].contains(&&**kind)).last();
    cells.text(&last.unwrap_or("Pending".into()));
}
