//! What fields are when nobody says: filled in where they stand, whichever kind they stand in.
//!
//! Three sources, for each object of a type from the outermost in: rules in code for what depends on other fields,
//! values by type ([`VALUES`]), and those that the schema itself names.

mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use crate::quantity::Quantity;
use crate::schema::{Field, Presence, Shape, Type, types};

/// A rule of a type.
type Rule = fn(&mut Map<String, Value>);

/// Fields that have one value when nothing else is said: type, field, JSON.
static VALUES: &[(&str, &str, &str)] = &[
    ("admissionregistration.v1.MatchResources", "matchPolicy", r#""Equivalent""#),
    ("admissionregistration.v1.MatchResources", "namespaceSelector", "{}"),
    ("admissionregistration.v1.MatchResources", "objectSelector", "{}"),
    ("admissionregistration.v1.MutatingAdmissionPolicySpec", "failurePolicy", r#""Fail""#),
    ("admissionregistration.v1.MutatingWebhook", "failurePolicy", r#""Fail""#),
    ("admissionregistration.v1.MutatingWebhook", "matchPolicy", r#""Equivalent""#),
    ("admissionregistration.v1.MutatingWebhook", "namespaceSelector", "{}"),
    ("admissionregistration.v1.MutatingWebhook", "objectSelector", "{}"),
    ("admissionregistration.v1.MutatingWebhook", "reinvocationPolicy", r#""Never""#),
    ("admissionregistration.v1.MutatingWebhook", "timeoutSeconds", "10"),
    ("admissionregistration.v1.NamedRuleWithOperations", "scope", r#""*""#),
    ("admissionregistration.v1.RuleWithOperations", "scope", r#""*""#),
    ("admissionregistration.v1.ServiceReference", "port", "443"),
    ("admissionregistration.v1.ValidatingAdmissionPolicySpec", "failurePolicy", r#""Fail""#),
    ("admissionregistration.v1.ValidatingWebhook", "failurePolicy", r#""Fail""#),
    ("admissionregistration.v1.ValidatingWebhook", "matchPolicy", r#""Equivalent""#),
    ("admissionregistration.v1.ValidatingWebhook", "namespaceSelector", "{}"),
    ("admissionregistration.v1.ValidatingWebhook", "objectSelector", "{}"),
    ("admissionregistration.v1.ValidatingWebhook", "timeoutSeconds", "10"),
    ("apiextensions.v1.CustomResourceDefinitionSpec", "conversion", r#"{"strategy":"None"}"#),
    ("apiextensions.v1.ServiceReference", "port", "443"),
    ("apiregistration.v1.ServiceReference", "port", "443"),
    ("apps.v1.DaemonSetSpec", "revisionHistoryLimit", "10"),
    ("apps.v1.DaemonSetSpec", "updateStrategy", "{}"),
    ("apps.v1.DaemonSetUpdateStrategy", "type", r#""RollingUpdate""#),
    ("apps.v1.DeploymentSpec", "progressDeadlineSeconds", "600"),
    ("apps.v1.DeploymentSpec", "replicas", "1"),
    ("apps.v1.DeploymentSpec", "revisionHistoryLimit", "10"),
    ("apps.v1.DeploymentSpec", "strategy", "{}"),
    ("apps.v1.DeploymentStrategy", "type", r#""RollingUpdate""#),
    ("apps.v1.ReplicaSetSpec", "replicas", "1"),
    ("apps.v1.StatefulSetPersistentVolumeClaimRetentionPolicy", "whenDeleted", r#""Retain""#),
    ("apps.v1.StatefulSetPersistentVolumeClaimRetentionPolicy", "whenScaled", r#""Retain""#),
    ("apps.v1.StatefulSetSpec", "persistentVolumeClaimRetentionPolicy", "{}"),
    ("apps.v1.StatefulSetSpec", "podManagementPolicy", r#""OrderedReady""#),
    ("apps.v1.StatefulSetSpec", "replicas", "1"),
    ("apps.v1.StatefulSetSpec", "revisionHistoryLimit", "10"),
    ("apps.v1.StatefulSetSpec", "updateStrategy", "{}"),
    ("autoscaling.v1.HorizontalPodAutoscalerSpec", "minReplicas", "1"),
    (
        "autoscaling.v2.HorizontalPodAutoscalerSpec",
        "metrics",
        r#"[{"type":"Resource","resource":{"name":"cpu","target":{"type":"Utilization","averageUtilization":80}}}]"#,
    ),
    ("autoscaling.v2.HorizontalPodAutoscalerSpec", "minReplicas", "1"),
    ("batch.v1.CronJobSpec", "concurrencyPolicy", r#""Allow""#),
    ("batch.v1.CronJobSpec", "failedJobsHistoryLimit", "1"),
    ("batch.v1.CronJobSpec", "successfulJobsHistoryLimit", "3"),
    ("batch.v1.CronJobSpec", "suspend", "false"),
    ("batch.v1.PodFailurePolicyOnPodConditionsPattern", "status", r#""True""#),
    ("core.v1.ConfigMapVolumeSource", "defaultMode", "420"),
    ("core.v1.Container", "terminationMessagePath", r#""/dev/termination-log""#),
    ("core.v1.Container", "terminationMessagePolicy", r#""File""#),
    ("core.v1.DownwardAPIVolumeSource", "defaultMode", "420"),
    ("core.v1.EndpointPort", "protocol", r#""TCP""#),
    ("core.v1.EphemeralContainer", "terminationMessagePath", r#""/dev/termination-log""#),
    ("core.v1.EphemeralContainer", "terminationMessagePolicy", r#""File""#),
    ("core.v1.HTTPGetAction", "path", r#""/""#),
    ("core.v1.HTTPGetAction", "scheme", r#""HTTP""#),
    ("core.v1.HostPathVolumeSource", "type", r#""""#),
    ("core.v1.NamespaceStatus", "phase", r#""Active""#),
    ("core.v1.ObjectFieldSelector", "apiVersion", r#""v1""#),
    ("core.v1.PersistentVolumeClaimSpec", "volumeMode", r#""Filesystem""#),
    ("core.v1.PersistentVolumeClaimStatus", "phase", r#""Pending""#),
    ("core.v1.PersistentVolumeStatus", "phase", r#""Pending""#),
    ("core.v1.PodSpec", "dnsPolicy", r#""ClusterFirst""#),
    ("core.v1.PodSpec", "restartPolicy", r#""Always""#),
    ("core.v1.PodSpec", "schedulerName", r#""default-scheduler""#),
    ("core.v1.PodSpec", "securityContext", "{}"),
    ("core.v1.PodSpec", "terminationGracePeriodSeconds", "30"),
    ("core.v1.Probe", "failureThreshold", "3"),
    ("core.v1.Probe", "periodSeconds", "10"),
    ("core.v1.Probe", "successThreshold", "1"),
    ("core.v1.Probe", "timeoutSeconds", "1"),
    ("core.v1.ProjectedVolumeSource", "defaultMode", "420"),
    ("core.v1.Secret", "type", r#""Opaque""#),
    ("core.v1.SecretVolumeSource", "defaultMode", "420"),
    ("core.v1.ServiceAccountTokenProjection", "expirationSeconds", "3600"),
    ("discovery.v1.EndpointPort", "name", r#""""#),
    ("discovery.v1.EndpointPort", "protocol", r#""TCP""#),
    ("flowcontrol.v1.ExemptPriorityLevelConfiguration", "lendablePercent", "0"),
    ("flowcontrol.v1.ExemptPriorityLevelConfiguration", "nominalConcurrencyShares", "0"),
    ("flowcontrol.v1.FlowSchemaSpec", "matchingPrecedence", "1000"),
    ("flowcontrol.v1.LimitedPriorityLevelConfiguration", "lendablePercent", "0"),
    ("flowcontrol.v1.LimitedPriorityLevelConfiguration", "nominalConcurrencyShares", "30"),
    ("flowcontrol.v1.QueuingConfiguration", "handSize", "8"),
    ("flowcontrol.v1.QueuingConfiguration", "queueLengthLimit", "50"),
    ("flowcontrol.v1.QueuingConfiguration", "queues", "64"),
    ("networking.v1.IngressClassParametersReference", "scope", r#""Cluster""#),
    ("networking.v1.NetworkPolicyPort", "protocol", r#""TCP""#),
    ("rbac.v1.RoleRef", "apiGroup", r#""rbac.authorization.k8s.io""#),
    ("resource.v1.DeviceSubRequest", "allocationMode", r#""ExactCount""#),
    ("resource.v1.ExactDeviceRequest", "allocationMode", r#""ExactCount""#),
    ("scheduling.v1.PriorityClass", "preemptionPolicy", r#""PreemptLowerPriority""#),
    ("storage.v1.CSIDriverSpec", "attachRequired", "true"),
    ("storage.v1.CSIDriverSpec", "fsGroupPolicy", r#""ReadWriteOnceWithFSType""#),
    ("storage.v1.CSIDriverSpec", "podInfoOnMount", "false"),
    ("storage.v1.CSIDriverSpec", "preventPodSchedulingIfMissing", "false"),
    ("storage.v1.CSIDriverSpec", "requiresRepublish", "false"),
    ("storage.v1.CSIDriverSpec", "seLinuxMount", "false"),
    ("storage.v1.CSIDriverSpec", "storageCapacity", "false"),
    ("storage.v1.CSIDriverSpec", "volumeLifecycleModes", r#"["Persistent"]"#),
    ("storage.v1.StorageClass", "reclaimPolicy", r#""Delete""#),
    ("storage.v1.StorageClass", "volumeBindingMode", r#""Immediate""#),
];

/// What is filled in for a type.
struct Filling {
    rule: Option<Rule>,
    values: Vec<(&'static Field, Value)>,
    /// The fields with a default of their own, and those in which something is filled in: for these, where among the
    /// fillings that of their type is.
    fields: Vec<(&'static Field, Option<usize>)>,
}

struct Fillings {
    all: Vec<Filling>,
    /// Places in `all`, by where the type lies, which is where it stays.
    by_type: BTreeMap<usize, usize>,
}

/// Of the types that have anything to fill in, themselves or within.
static FILLINGS: LazyLock<Fillings> = LazyLock::new(|| {
    let known: BTreeSet<String> =
        VALUES.iter().map(|row| model(row.0)).chain(rules::RULES.iter().map(|row| model(row.0))).collect();
    let mut reaching: BTreeSet<&str> = BTreeSet::new();
    loop {
        let before = reaching.len();
        for of in types() {
            if known.contains(&of.model) || of.fields().iter().any(|field| is_filled(field, &reaching)) {
                reaching.insert(&of.model);
            }
        }
        if reaching.len() == before {
            break;
        }
    }
    let reached = || types().filter(|of| reaching.contains(&*of.model));
    let by_type = reached().enumerate().map(|(at, of)| (address(of), at)).collect();
    Fillings { all: reached().map(|of| Filling::of(of, &reaching, &by_type)).collect(), by_type }
});

impl Filling {
    fn of(of: &'static Type, reaching: &BTreeSet<&str>, by_type: &BTreeMap<usize, usize>) -> Self {
        let field = |name: &str| of.field(name).unwrap_or_else(|| panic!("{} has no field {name}", of.model));
        let own = VALUES.iter().filter(|row| model(row.0) == of.model);
        let values = own
            .map(|(_, name, text)| (field(name), serde_json::from_str(text).expect("the table holds JSON")));
        let rule = rules::RULES.iter().find(|row| model(row.0) == of.model);
        let fields = of.fields().iter().filter(|field| is_filled(field, reaching));
        let within = |field: &Field| by_type.get(&address(inner(&field.shape)?)).copied();
        Self {
            rule: rule.map(|row| row.1),
            values: values.collect(),
            fields: fields.map(|field| (field, within(field))).collect(),
        }
    }
}

fn address(of: &Type) -> usize {
    std::ptr::from_ref(of).addr()
}

/// Whether a field has a default of its own, or a type in which something is filled in.
fn is_filled(field: &Field, reaching: &BTreeSet<&str>) -> bool {
    let is_within = || inner(&field.shape).is_some_and(|of| reaching.contains(&*of.model));
    field.default.is_some() || is_rounded(field) || is_within()
}

/// What a type is called in OpenAPI: `core.v1.Pod` is `io.k8s.api.core.v1.Pod`.
fn model(name: &str) -> String {
    let package = match name.split('.').next() {
        Some("apiextensions") => "apiextensions-apiserver.pkg.apis",
        Some("apiregistration") => "kube-aggregator.pkg.apis",
        _ => "api",
    };
    format!("io.k8s.{package}.{name}")
}

fn inner(shape: &Shape) -> Option<&Type> {
    match shape {
        Shape::Struct(of) => Some(of),
        Shape::List(of) | Shape::Map(of) => inner(of),
        _ => None,
    }
}

/// Fills in an object of a type, and everything within.
pub fn fill(object: &mut Map<String, Value>, of: &Type) {
    if let Some(at) = FILLINGS.by_type.get(&address(of)) {
        FILLINGS.all[*at].fill(object, &FILLINGS.all);
    }
}

impl Filling {
    fn fill(&self, object: &mut Map<String, Value>, all: &[Self]) {
        if let Some(rule) = self.rule {
            rule(object);
        }
        for (field, value) in &self.values {
            set_default(object, field, value);
        }
        for (field, within) in &self.fields {
            if let Some(value) = &field.default {
                set_default(object, field, value);
            }
            if is_rounded(field) {
                object.get_mut(&field.name).into_iter().for_each(round);
            }
            let Some(within) = within else { continue };
            // What Go holds by value is there even when nobody wrote it.
            if matches!((&field.shape, field.presence), (Shape::Struct(_), Presence::Always)) {
                object.entry(&field.name).or_insert_with(|| json!({}));
            }
            if let Some(value) = object.get_mut(&field.name) {
                all[*within].fill_value(value, all);
            }
        }
    }

    fn fill_value(&self, value: &mut Value, all: &[Self]) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| self.fill_value(item, all)),
            Value::Object(map) => self.fill(map, all),
            _ => {}
        }
    }
}

/// Nothing that is counted is finer than a thousandth.
fn is_rounded(field: &Field) -> bool {
    field.go == "v1.ResourceList"
}

fn round(amounts: &mut Value) {
    for amount in amounts.as_object_mut().into_iter().flat_map(Map::values_mut) {
        let rounded =
            amount.as_str().and_then(|text| Quantity::parse(text).ok()).and_then(Quantity::to_milli);
        if let Some(rounded) = rounded {
            *amount = rounded.to_string().into();
        }
    }
}

/// Sets a field that is absent; or empty, where Go cannot tell the two apart.
fn set_default(object: &mut Map<String, Value>, field: &Field, value: &Value) {
    let is_empty = |given: &Value| {
        *given == "" || given.as_f64() == Some(0.0) || given.as_array().is_some_and(Vec::is_empty)
    };
    let is_missing = match object.get(&field.name) {
        None | Some(Value::Null) => true,
        Some(given) => field.presence != Presence::Given && is_empty(given),
    };
    if is_missing {
        object.insert(field.name.clone(), value.clone());
    }
}
