//! Takes the descriptions of types and fields out of the published schemas of `k8s-openapi`.
//!
//! They are wanted as text, not as code that builds schemas: so the crate with its schemas is a dependency of this
//! script alone, and what goes into the program is one file.

use std::collections::BTreeMap;
use std::path::Path;

/// By type, then by field; what is said of the type itself stands under the empty name.
type Texts = BTreeMap<String, BTreeMap<String, String>>;

/// Adds the schemas of kinds, and of all that they are made of.
#[cfg(feature = "descriptions")]
macro_rules! add {
    ($generator:ident, $($($part:ident)::+ { $($kind:ident),* })*) => {
        $({
            use $($part)::+::{$($kind),*};
            $( $generator.subschema_for::<$kind>(); )*
        })*
    };
}

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let folder = std::env::var("OUT_DIR").expect("cargo names a folder for what is generated");
    let json = serde_json::to_vec(&published()).expect("maps of text are JSON");
    std::fs::write(Path::new(&folder).join("descriptions.json"), json).expect("the folder can be written");
}

#[cfg(not(feature = "descriptions"))]
fn published() -> Texts {
    Texts::new()
}

#[cfg(feature = "descriptions")]
fn published() -> Texts {
    use k8s_openapi::api;
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions;
    use k8s_openapi::apimachinery::pkg::apis::meta;
    use k8s_openapi::kube_aggregator::pkg::apis::apiregistration;
    use k8s_openapi::schemars::SchemaGenerator;

    let mut generator = SchemaGenerator::default();
    add!(generator,
        api::admissionregistration::v1 {
            MutatingAdmissionPolicy, MutatingAdmissionPolicyBinding, MutatingWebhookConfiguration,
            ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding, ValidatingWebhookConfiguration
        }
        api::apps::v1 { ControllerRevision, DaemonSet, Deployment, ReplicaSet, StatefulSet }
        api::authentication::v1 { SelfSubjectReview, TokenRequest, TokenReview }
        api::authorization::v1 {
            LocalSubjectAccessReview, SelfSubjectAccessReview, SelfSubjectRulesReview, SubjectAccessReview
        }
        api::autoscaling::v1 { HorizontalPodAutoscaler, Scale }
        api::autoscaling::v2 { HorizontalPodAutoscaler }
        api::batch::v1 { CronJob, Job }
        api::certificates::v1 { CertificateSigningRequest, ClusterTrustBundle, PodCertificateRequest }
        api::coordination::v1 { Lease }
        api::core::v1 {
            Binding, ComponentStatus, ConfigMap, Endpoints, Event, LimitRange, Namespace, Node, PersistentVolume,
            PersistentVolumeClaim, Pod, PodTemplate, ReplicationController, ResourceQuota, Secret, Service,
            ServiceAccount
        }
        api::discovery::v1 { EndpointSlice }
        api::events::v1 { Event }
        api::flowcontrol::v1 { FlowSchema, PriorityLevelConfiguration }
        api::networking::v1 { IPAddress, Ingress, IngressClass, NetworkPolicy, ServiceCIDR }
        api::node::v1 { RuntimeClass }
        api::policy::v1 { Eviction, PodDisruptionBudget }
        api::rbac::v1 { ClusterRole, ClusterRoleBinding, Role, RoleBinding }
        api::resource::v1 { DeviceClass, DeviceTaintRule, ResourceClaim, ResourceClaimTemplate, ResourceSlice }
        api::scheduling::v1 { PriorityClass }
        api::storage::v1 {
            CSIDriver, CSINode, CSIStorageCapacity, StorageClass, VolumeAttachment, VolumeAttributesClass
        }
        api::storagemigration::v1 { StorageVersionMigration }
        apiextensions::v1 { CustomResourceDefinition }
        apiregistration::v1 { APIService }
        meta::v1 { APIResourceList, DeleteOptions, Status }
    );
    let mut found = Texts::new();
    for (model, schema) in generator.take_definitions(true) {
        let text = |of: &serde_json::Value| of["description"].as_str().map(str::to_owned);
        let of_type = found.entry(model).or_default();
        of_type.extend(text(&schema).map(|text| (String::new(), text)));
        let fields = schema["properties"].as_object().into_iter().flatten();
        of_type.extend(fields.filter_map(|(name, field)| Some((name.clone(), text(field)?))));
    }
    found
}
