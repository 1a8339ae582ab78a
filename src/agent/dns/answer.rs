//! From a question to its answer, by Kubernetes' specification of DNS-based service discovery, 1.1.0.

use std::net::IpAddr;

use hickory_proto::op::{Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, PTR, SOA, SRV, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use crate::records::{Endpoint, Entry, Port, Records, dashed};

/// How long an answer may be kept, in seconds, that there is no such name included.
pub const TTL_S: u32 = 5;

/// The version of the specification, told at `dns-version` in the zone.
const SPECIFICATION: &str = "1.1.0";

/// Aliases of aliases that are followed: more lead round in a circle.
const ALIASES_MAX: usize = 8;

/// What becomes of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It is answered here.
    Answer(Answer),
    /// It is about names of others: an upstream server is asked.
    Forward,
}

/// An answer with authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Whether there is such a name.
    pub code: ResponseCode,
    /// What was asked for.
    pub answers: Vec<Record>,
    /// Without answers: how long that may be kept.
    pub authorities: Vec<Record>,
    /// Addresses of what the answers name.
    pub additionals: Vec<Record>,
    /// The name, not of this zone, at which the answers end: its records belong to the answer.
    pub chase: Option<Name>,
}

/// What a name stands for.
enum Meaning<'a> {
    /// No such name.
    Nothing,
    /// There are names below it.
    Between,
    Apex,
    Version,
    Addresses(Vec<IpAddr>),
    Services(Vec<(u16, Name, Vec<IpAddr>)>),
    Alias(&'a str),
}

/// The zone of a cluster.
#[derive(Clone, Debug)]
pub struct Zone {
    name: Name,
}

impl Zone {
    /// The zone below `domain`, mostly `cluster.local`; `None` if that is no name.
    pub fn new(domain: &str) -> Option<Self> {
        let mut name = Name::from_ascii(domain).ok()?.to_lowercase();
        name.set_fqdn(true);
        Some(Self { name })
    }

    /// Whether the question is about this zone's names or addresses, and so waits until they are known.
    pub fn has(&self, query: &Query) -> bool {
        self.name.zone_of(query.name()) || address_of(query.name()).is_some()
    }

    /// Answers what is this cluster's. Depends on nothing else.
    pub fn answer(&self, records: &Records, query: &Query) -> Reply {
        if let Some(address) = address_of(query.name()) {
            let names = self.names_of(records, address);
            if names.is_empty() {
                return Reply::Forward;
            }
            let names = names.into_iter().filter(|_| asks_for(query, RecordType::PTR));
            let answers = names.map(|name| record(query.name(), RData::PTR(PTR(name)))).collect();
            return Reply::Answer(self.positive(records, answers));
        }
        if !self.name.zone_of(query.name()) {
            return Reply::Forward;
        }
        let meaning = self.meaning(records, query.name());
        Reply::Answer(self.spoken(records, query, meaning))
    }

    fn spoken<'r>(&self, records: &'r Records, query: &Query, meaning: Meaning<'r>) -> Answer {
        let mut additionals = Vec::new();
        let answers = match meaning {
            Meaning::Nothing => return self.negative(records, ResponseCode::NXDomain),
            Meaning::Between => Vec::new(),
            Meaning::Apex if asks_for(query, RecordType::SOA) => vec![self.authority(records)],
            Meaning::Version if asks_for(query, RecordType::TXT) => {
                vec![record(query.name(), RData::TXT(TXT::new(vec![SPECIFICATION.into()])))]
            }
            Meaning::Apex | Meaning::Version => Vec::new(),
            Meaning::Addresses(addresses) => addresses
                .into_iter()
                .map(|address| record(query.name(), address_data(address)))
                .filter(|one| asks_for(query, one.record_type()))
                .collect(),
            Meaning::Services(services) if asks_for(query, RecordType::SRV) => {
                // Every target is as good as the other.
                let weight = (100 / services.len().max(1)).max(1) as u16;
                let mut answers = Vec::new();
                for (port, target, addresses) in services {
                    additionals
                        .extend(addresses.into_iter().map(|address| record(&target, address_data(address))));
                    answers.push(record(query.name(), RData::SRV(SRV::new(0, weight, port, target))));
                }
                answers
            }
            Meaning::Services(_) => Vec::new(),
            Meaning::Alias(target) => return self.followed(records, query, target),
        };
        let mut answer = self.positive(records, answers);
        answer.additionals = additionals;
        answer
    }

    /// An alias is the answer to any question; where it leads within the zone, so does the answer.
    fn followed<'r>(&self, records: &'r Records, query: &Query, mut target: &'r str) -> Answer {
        let (mut answers, mut name) = (Vec::new(), query.name().clone());
        for _ in 0..ALIASES_MAX {
            let Ok(mut to) = Name::from_ascii(target) else { break };
            to.set_fqdn(true);
            answers.push(record(&name, RData::CNAME(CNAME(to.clone()))));
            if query.query_type() == RecordType::CNAME {
                return self.positive(records, answers);
            }
            if !self.name.zone_of(&to) {
                return Answer { chase: Some(to), ..self.positive(records, answers) };
            }
            match self.meaning(records, &to) {
                Meaning::Alias(next) => (name, target) = (to, next),
                meaning => {
                    let query = Query::query(to, query.query_type());
                    answers.extend(self.spoken(records, &query, meaning).answers);
                    return self.positive(records, answers);
                }
            }
        }
        self.negative(records, ResponseCode::ServFail)
    }

    fn meaning<'a>(&self, records: &'a Records, name: &Name) -> Meaning<'a> {
        let below = usize::from(name.num_labels().saturating_sub(self.name.num_labels()));
        let labels: Option<Vec<String>> = name
            .iter()
            .take(below)
            .map(|label| Some(std::str::from_utf8(label).ok()?.to_ascii_lowercase()))
            .collect();
        let Some(labels) = labels else { return Meaning::Nothing };
        let labels: Vec<&str> = labels.iter().rev().map(String::as_str).collect();
        match labels[..] {
            [] => Meaning::Apex,
            ["dns-version"] => Meaning::Version,
            ["svc"] | ["pod"] | ["pod", _] => Meaning::Between,
            ["svc", namespace] if records.has_namespace(namespace) => Meaning::Between,
            ["pod", _, pod] => {
                undashed(pod).map_or(Meaning::Nothing, |address| Meaning::Addresses(vec![address]))
            }
            ["svc", namespace, service, ref rest @ ..] => {
                self.service_meaning(records, namespace, service, rest)
            }
            _ => Meaning::Nothing,
        }
    }

    fn service_meaning<'a>(
        &self,
        records: &'a Records,
        namespace: &str,
        service: &str,
        rest: &[&str],
    ) -> Meaning<'a> {
        let Some(entry) = records.service(namespace, service) else { return Meaning::Nothing };
        match (entry, rest) {
            (Entry::Alias(target), []) => Meaning::Alias(target),
            (Entry::Alias(_), _) => Meaning::Nothing,
            (Entry::Cluster { ips, .. }, []) => Meaning::Addresses(ips.clone()),
            (Entry::Headless { not_ready_too }, []) => {
                let mut addresses: Vec<IpAddr> = records
                    .endpoints(namespace, service, *not_ready_too)
                    .iter()
                    .map(|one| one.address)
                    .collect();
                addresses.dedup();
                Meaning::Addresses(addresses)
            }
            (entry, [protocol]) if protocol.starts_with('_') => {
                let targets = self.targets(records, namespace, service, entry);
                let known = targets.iter().any(|(port, ..)| port.protocol == protocol[1..]);
                if known { Meaning::Between } else { Meaning::Nothing }
            }
            (Entry::Headless { not_ready_too }, [label]) => {
                let endpoints = records.endpoints(namespace, service, *not_ready_too);
                let named = endpoints.iter().filter(|endpoint| endpoint.label() == **label);
                let addresses: Vec<IpAddr> = named.map(|endpoint| endpoint.address).collect();
                if addresses.is_empty() { Meaning::Nothing } else { Meaning::Addresses(addresses) }
            }
            (entry, [protocol, port]) => {
                let targets = self.targets(records, namespace, service, entry);
                let named = targets.into_iter().filter(|(of, ..)| {
                    Some(&*of.name) == port.strip_prefix('_')
                        && Some(&*of.protocol) == protocol.strip_prefix('_')
                });
                let services: Vec<_> = named.map(|(port, name, ips)| (port.number, name, ips)).collect();
                if services.is_empty() { Meaning::Nothing } else { Meaning::Services(services) }
            }
            _ => Meaning::Nothing,
        }
    }

    /// Named ports of a Service, each with the name and the addresses where it is.
    fn targets<'a>(
        &self,
        records: &'a Records,
        namespace: &str,
        service: &str,
        entry: &'a Entry,
    ) -> Vec<(&'a Port, Name, Vec<IpAddr>)> {
        match entry {
            Entry::Alias(_) => Vec::new(),
            Entry::Cluster { ips, ports } => {
                let name = self.service_name(namespace, service);
                let ports = ports.iter().filter(|port| !port.name.is_empty());
                ports.filter_map(|port| Some((port, name.clone()?, ips.clone()))).collect()
            }
            Entry::Headless { not_ready_too } => {
                let pairs = records.endpoint_ports(namespace, service, *not_ready_too).into_iter();
                let pairs = pairs.filter(|(port, _)| !port.name.is_empty());
                let target = |endpoint: &Endpoint| self.endpoint_name(namespace, service, endpoint);
                pairs.filter_map(|(port, one)| Some((port, target(one)?, vec![one.address]))).collect()
            }
        }
    }

    fn names_of(&self, records: &Records, address: IpAddr) -> Vec<Name> {
        let mut names = Vec::new();
        for ((namespace, service), entry) in records.by_address(address) {
            match entry {
                Entry::Cluster { ips, .. } if ips.contains(&address) => {
                    names.extend(self.service_name(namespace, service));
                }
                Entry::Headless { not_ready_too } => {
                    let endpoints = records.endpoints(namespace, service, *not_ready_too).into_iter();
                    let here = endpoints.filter(|endpoint| endpoint.address == address);
                    names
                        .extend(here.filter_map(|endpoint| self.endpoint_name(namespace, service, endpoint)));
                }
                _ => {}
            }
        }
        names
    }

    fn service_name(&self, namespace: &str, service: &str) -> Option<Name> {
        Name::from_labels([service, namespace, "svc"]).ok()?.append_domain(&self.name).ok()
    }

    fn endpoint_name(&self, namespace: &str, service: &str, endpoint: &Endpoint) -> Option<Name> {
        self.service_name(namespace, service)?.prepend_label(endpoint.label()).ok()
    }

    /// An answer; without records, that there are none of this type.
    fn positive(&self, records: &Records, answers: Vec<Record>) -> Answer {
        let authorities = if answers.is_empty() { vec![self.authority(records)] } else { Vec::new() };
        Answer { code: ResponseCode::NoError, answers, authorities, additionals: Vec::new(), chase: None }
    }

    fn negative(&self, records: &Records, code: ResponseCode) -> Answer {
        Answer { code, ..self.positive(records, Vec::new()) }
    }

    fn authority(&self, records: &Records) -> Record {
        let at = |label: &str| self.name.prepend_label(label).unwrap_or_else(|_too_long| self.name.clone());
        let server = at("dns").prepend_label("ns").unwrap_or_else(|_too_long| self.name.clone());
        let soa = SOA::new(server, at("hostmaster"), records.serial(), 7_200, 1_800, 86_400, TTL_S);
        record(&self.name, RData::SOA(soa))
    }
}

fn asks_for(query: &Query, kind: RecordType) -> bool {
    query.query_type() == kind || query.query_type() == RecordType::ANY
}

fn record(name: &Name, data: RData) -> Record {
    Record::from_rdata(name.clone(), TTL_S, data)
}

fn address_data(address: IpAddr) -> RData {
    match address {
        IpAddr::V4(address) => RData::A(A(address)),
        IpAddr::V6(address) => RData::AAAA(AAAA(address)),
    }
}

/// The address whose name is asked for.
fn address_of(name: &Name) -> Option<IpAddr> {
    let net = name.parse_arpa_name().ok()?;
    (net.prefix_len() == net.max_prefix_len()).then(|| net.addr())
}

/// The address of a pod, from its name. Whether there is such a pod is not asked, as in CoreDNS's default.
fn undashed(label: &str) -> Option<IpAddr> {
    let v4 = label.replace('-', ".").parse().ok().map(IpAddr::V4);
    let address = v4.or_else(|| label.replace('-', ":").parse().ok().map(IpAddr::V6))?;
    (dashed(address) == label).then_some(address)
}
