//! Every controller: a folder or a file each, and the table of them.
//!
//! A controller is a row of pure functions ([`projection::Controller`]): which keys a change is about, and what to do
//! about a key. Nothing here acts; [`projection::runner`] does.

mod definition;
mod deployment;
mod dns;
mod endpoints;
mod endpointslice;
mod eventttl;
mod garbage;
mod masters;
mod namespace;
mod nodeipam;
mod nodelifecycle;
mod podgc;
mod protection;
mod replicaset;
mod rootca;
mod serviceaccount;
mod shared;
mod tainteviction;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use projection::Controller;

/// All of them, by name.
pub const CONTROLLERS: &[Controller] = &[
    definition::DEFINITION,
    deployment::DEPLOYMENT,
    dns::DNS,
    endpoints::ENDPOINTS_OF_SERVICES,
    endpointslice::ENDPOINT_SLICE,
    endpointslice::ENDPOINT_SLICE_MIRRORING,
    eventttl::EVENT_TTL,
    garbage::GARBAGE_COLLECTOR,
    masters::MASTERS,
    namespace::NAMESPACE,
    nodelifecycle::NODE_LIFECYCLE,
    nodeipam::NODE_IPAM,
    podgc::POD_GC,
    protection::VOLUME_PROTECTION,
    protection::CLAIM_PROTECTION,
    replicaset::REPLICA_SET,
    replicaset::REPLICATION_CONTROLLER,
    rootca::ROOT_CA,
    serviceaccount::SERVICE_ACCOUNT,
    tainteviction::TAINT_EVICTION,
];
