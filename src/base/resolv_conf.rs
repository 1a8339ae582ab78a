//! Which resolvers this host asks.

use std::net::IpAddr;
use std::path::Path;

use crate::files;

/// What everybody reads, and what systemd's own resolver asks, which puts itself into the former.
const FILES: [&str; 2] = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];

/// The text of the file that names the host's resolvers, in the form of `resolv.conf(5)`. One on loopback is another in
/// each network namespace, so the first file counts that names a different one; else the first.
pub fn of_host() -> String {
    choose(FILES.map(|file| files::read(Path::new(file)).ok().flatten().unwrap_or_default()))
}

fn choose(texts: [String; 2]) -> String {
    let [first, second] = texts;
    let leads_elsewhere = |text: &str| nameservers(text).any(|address| !address.is_loopback());
    if !leads_elsewhere(&first) && leads_elsewhere(&second) { second } else { first }
}

/// The addresses of the resolvers that a text names.
pub fn nameservers(text: &str) -> impl Iterator<Item = IpAddr> {
    let lines = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    let words =
        lines.filter(|rest| rest.starts_with([' ', '\t'])).filter_map(|rest| rest.split_whitespace().next());
    // Behind a percent sign stands an interface, which an answer's way does not need.
    words.filter_map(|word| word.split('%').next()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resolver_on_loopback_is_the_last_resort() {
        let (stub, real) = ("nameserver 127.0.0.53\n", "search a\nnameserver ::1\nnameserver 192.0.2.1\n");
        for (first, second, chosen) in [
            (stub, real, real),
            (real, "nameserver 192.0.2.2", real),
            (stub, "", stub),
            ("", stub, ""),
            ("", real, real),
        ] {
            assert_eq!(choose([first, second].map(str::to_owned)), chosen, "{first:?} and {second:?}");
        }
    }
}
