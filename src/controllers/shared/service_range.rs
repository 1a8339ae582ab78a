//! Addresses of Services that everybody knows.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use projection::World;

use crate::shared::stored;

/// The nth address of the range of Services: certificates of masters name the first. `None`: there is no range, or it is
/// too small.
pub(crate) fn nth(world: &World, n: u8) -> Option<IpAddr> {
    let range = world.state.get("networking.k8s.io/servicecidrs/kubernetes")?;
    let cidrs = stored::list(range, &["spec", "cidrs"]);
    let (first, length) = cidrs.first()?.as_str()?.split_once('/')?;
    let (first, length) = (first.parse::<IpAddr>().ok()?, length.parse::<u32>().ok()?);
    let bits: u32 = if first.is_ipv4() { 32 } else { 128 };
    let is_inside = bits.checked_sub(length).is_some_and(|host| host >= 8 || u32::from(n) < 1_u32 << host);
    is_inside.then(|| match first {
        IpAddr::V4(first) => Ipv4Addr::from_bits(first.to_bits() + u32::from(n)).into(),
        IpAddr::V6(first) => Ipv6Addr::from_bits(first.to_bits() + u128::from(n)).into(),
    })
}
