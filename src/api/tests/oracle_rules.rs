//! Valid objects of each kind, changed at random, and what Kubernetes makes of their creates and updates: the same
//! refusals, or the same objects stored.

mod common;

use common::mutate::{Pieces, mutate};
use common::oracle::Oracle;
use common::rules::{self, Told, rounds};
use common::{Dice, samples};

macro_rules! kinds {
    ($($name:ident: $file:literal;)*) => {$(
        #[test]
        fn $name() {
            check($file);
        }
    )*};
}

kinds! {
    api_services: "apiservices";
    certificate_signing_requests: "certificatesigningrequests";
    cluster_role_bindings: "clusterrolebindings";
    cluster_roles: "clusterroles";
    config_maps: "configmaps";
    configuration: "configuration";
    csi_drivers: "csidrivers";
    csi_nodes: "csinodes";
    csi_storage_capacities: "csistoragecapacities";
    device_taint_rules: "devicetaintrules";
    endpoint_slices: "endpointslices";
    endpoints: "endpoints";
    events: "events";
    events_of_the_new_group: "events.events";
    flow_schemas: "flowschemas";
    ingress_classes: "ingressclasses";
    ingresses: "ingresses";
    ip_addresses: "ipaddresses";
    jobs: "jobs";
    leases: "leases";
    limit_ranges: "limitranges";
    mutating_webhooks: "mutatingwebhookconfigurations";
    namespaces: "namespaces";
    network_policies: "networkpolicies";
    nodes: "nodes";
    persistent_volume_claims: "persistentvolumeclaims";
    persistent_volumes: "persistentvolumes";
    pods: "pods";
    priority_classes: "priorityclasses";
    priority_levels: "prioritylevelconfigurations";
    resource_quotas: "resourcequotas";
    role_bindings: "rolebindings";
    roles: "roles";
    runtime_classes: "runtimeclasses";
    secrets: "secrets";
    service_accounts: "serviceaccounts";
    service_cidrs: "servicecidrs";
    services: "services";
    storage_classes: "storageclasses";
    storage_version_migrations: "storageversionmigrations";
    validating_webhooks: "validatingwebhookconfigurations";
    volume_attachments: "volumeattachments";
    volume_attributes_classes: "volumeattributesclasses";
    workloads: "workloads";
}

fn check(file: &str) {
    let Some(mut oracle) = Oracle::start() else { return };
    let samples = samples::of(file);
    let pieces = Pieces::of(samples.iter().map(|sample| &sample.object));
    let mut told = Told::default();
    for (at, sample) in samples.iter().enumerate() {
        let (row, given) = (&sample.row, &sample.object);
        let old = rules::create(&mut oracle, given, row).stored();
        let (create, update) = (format!("{} create", row.kind), format!("{} update", row.kind));
        for seed in 0..rounds() {
            let mut dice = Dice::new(seed * 1_000 + at as u64 + 1);
            let mut new = given.clone();
            mutate(&mut new, &row.schema, "", &mut dice, &pieces);
            told.note(&create, seed, &rules::create(&mut oracle, &new, row), &new, given);
            let mut new = old.clone();
            mutate(&mut new, &row.schema, "", &mut dice, &pieces);
            rules::keep_name(&mut new, &old);
            told.note(&update, seed, &rules::update(&mut oracle, &new, &old, row, None), &new, &old);
        }
    }
    told.must_agree();
}
