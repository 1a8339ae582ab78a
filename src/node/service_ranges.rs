//! Where the Services of a new cluster get their addresses and node ports.

use apiserver::bootstrap::{Settings, SettingsError};
use apiserver::{Cidr, NodePorts};
use clap::Args;

/// What is said when ranges are given to a cluster that has its own.
pub const ONLY_FOR_NEW: &str = "--service-cluster-ip-range and --service-node-port-range are for a new cluster: \
     leave them out, and give one that is there more addresses by a ServiceCIDR";

/// The flags. Nothing given: the defaults of [`Settings`].
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceRanges {
    /// Where the new cluster's Services get their addresses: one range, or one of each family.
    #[arg(long, value_name = "CIDR[,CIDR]", value_delimiter = ',')]
    service_cluster_ip_range: Vec<Cidr>,
    /// Where the new cluster's Services get their node ports [default: 30000-32767].
    #[arg(long, value_name = "FIRST-LAST")]
    service_node_port_range: Option<NodePorts>,
}

impl ServiceRanges {
    /// What the cluster begins with.
    ///
    /// # Errors
    /// When there are several ranges of a family.
    pub fn settings(self) -> Result<Settings, SettingsError> {
        let node_ports = self.service_node_port_range.unwrap_or_default();
        Settings { service_cidrs: self.service_cluster_ip_range, node_ports }.checked()
    }

    /// The same flags for another process.
    pub fn arguments(&self) -> Vec<String> {
        let cidrs = self.service_cluster_ip_range.iter().map(|cidr| ("cluster-ip", cidr.to_string()));
        let ports = self.service_node_port_range.iter().map(|ports| ("node-port", ports.to_string()));
        let flag = |(what, range): (&str, String)| format!("--service-{what}-range={range}");
        cidrs.chain(ports).map(flag).collect()
    }
}

#[cfg(test)]
impl ServiceRanges {
    /// From a command line.
    pub fn of(flags: &str) -> Self {
        #[derive(clap::Parser)]
        struct Flags {
            #[command(flatten)]
            ranges: ServiceRanges,
        }
        <Flags as clap::Parser>::parse_from(std::iter::once("flags").chain(flags.split_whitespace())).ranges
    }
}
