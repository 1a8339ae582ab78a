//! Volumes, and claims of them, stay for as long as they are used: a finalizer keeps each from its beginning. A controller
//! takes it away.

use api::{Object, Status};

use crate::chain::admission::{Attempt, Operation};

/// Kinds that are kept, and by which finalizer.
const KEPT: &[(&str, &str)] = &[
    ("PersistentVolume", "kubernetes.io/pv-protection"),
    ("PersistentVolumeClaim", "kubernetes.io/pvc-protection"),
];

/// Keeps a new volume or claim.
pub(crate) fn keep(attempt: &Attempt<'_>, object: &mut Object) -> Result<(), Status> {
    let is_kept =
        |(kind, _): &&(&str, &str)| attempt.resource.group.is_empty() && attempt.resource.kind == *kind;
    let kept = KEPT.iter().find(is_kept).filter(|_| attempt.operation == Operation::Create);
    if let Some((_, finalizer)) = kept
        && !object.meta.finalizers.iter().any(|name| name == finalizer)
    {
        object.meta.finalizers.push((*finalizer).to_owned());
    }
    Ok(())
}
