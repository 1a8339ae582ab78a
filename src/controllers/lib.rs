//! Every controller: a folder each, and the table of them.
//!
//! A controller is a row of pure functions ([`projection::Controller`]): which keys a change is about, and what to do
//! about a key. Nothing here acts; [`projection::runner`] does.

mod deployment;
mod endpoints;
mod endpointslice;
mod garbage;
mod masters;
mod namespace;
mod protection;
mod replicaset;
mod rootca;
mod serviceaccount;
mod shared;
#[cfg(test)]
mod testing;

use projection::Controller;

/// All of them, by name.
pub const CONTROLLERS: &[Controller] = &[
    deployment::DEPLOYMENT,
    endpoints::ENDPOINTS_OF_SERVICES,
    endpointslice::ENDPOINT_SLICE,
    garbage::GARBAGE_COLLECTOR,
    masters::MASTERS,
    namespace::NAMESPACE,
    protection::VOLUME_PROTECTION,
    protection::CLAIM_PROTECTION,
    replicaset::REPLICA_SET,
    replicaset::REPLICATION_CONTROLLER,
    rootca::ROOT_CA,
    serviceaccount::SERVICE_ACCOUNT,
];
