//! Kinds of which nothing is particular but that they count the changes of a field.

use crate::resource::Particular;

const fn counting(group: &'static str, kind: &'static str, field: &'static str) -> Particular {
    Particular { group, kind, counted: Some(field), ..Particular::NONE }
}

/// Every one of them.
pub static COUNTING: &[Particular] = &[
    counting("admissionregistration.k8s.io", "MutatingAdmissionPolicy", "spec"),
    counting("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding", "spec"),
    counting("admissionregistration.k8s.io", "ValidatingAdmissionPolicy", "spec"),
    counting("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding", "spec"),
    counting("resource.k8s.io", "DeviceClass", "spec"),
    counting("resource.k8s.io", "ResourceSlice", "spec"),
];
