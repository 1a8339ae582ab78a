//! Links of what is seen through a proxy: those that would lead past it lead through it.

/// How links are to be read.
#[derive(Clone, Debug)]
pub(super) struct Links {
    /// The path up to what is proxied: `/api/v1/namespaces/a/pods/b/proxy`.
    pub(super) prefix: String,
    /// What the other end is called: `10.42.0.5:8080`.
    pub(super) backend: String,
    /// What the client calls the server that it asked.
    pub(super) host: String,
}

impl Links {
    /// A link as the client must follow it. Relative ones, and those to elsewhere, stay what they are.
    pub(super) fn rewrite(&self, link: &str) -> String {
        let Some((host, rest)) = split(link) else { return link.to_owned() };
        let is_elsewhere = !host.is_empty() && host != self.backend && host != self.host;
        if is_elsewhere || !rest.starts_with('/') {
            return link.to_owned();
        }
        let start = if !host.is_empty() && host == self.host { &link[..link.len() - rest.len()] } else { "" };
        let is_inside = rest
            .strip_prefix(&self.prefix)
            .is_some_and(|behind| behind.is_empty() || behind.starts_with(['/', '?', '#']));
        let prefix = if is_inside { "" } else { &self.prefix };
        format!("{start}{prefix}{rest}")
    }
}

/// The host of a link, empty for none, and what follows it. `None` where there is no path: `mailto:...`
fn split(link: &str) -> Option<(&str, &str)> {
    let behind_scheme = match link.split_once(':') {
        Some((scheme, rest)) if is_scheme(scheme) => Some(rest),
        _ => None,
    };
    match behind_scheme.unwrap_or(link).strip_prefix("//") {
        Some(rest) => Some(rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()))),
        None if behind_scheme.is_some() => None,
        None => Some(("", link)),
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.chars().all(|char| char.is_ascii_alphanumeric() || "+-.".contains(char))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_through_the_proxy() {
        let links = Links {
            prefix: "/api/v1/namespaces/a/pods/b/proxy".to_owned(),
            backend: "10.42.0.5:8080".to_owned(),
            host: "api:6443".to_owned(),
        };
        let cases = [
            ("/x?y=/z#w", "/api/v1/namespaces/a/pods/b/proxy/x?y=/z#w"),
            ("/", "/api/v1/namespaces/a/pods/b/proxy/"),
            ("http://10.42.0.5:8080/x", "/api/v1/namespaces/a/pods/b/proxy/x"),
            ("//10.42.0.5:8080/x", "/api/v1/namespaces/a/pods/b/proxy/x"),
            ("https://api:6443/x", "https://api:6443/api/v1/namespaces/a/pods/b/proxy/x"),
            ("/api/v1/namespaces/a/pods/b/proxy/x", "/api/v1/namespaces/a/pods/b/proxy/x"),
            (
                "/api/v1/namespaces/a/pods/b/proxying",
                "/api/v1/namespaces/a/pods/b/proxy/api/v1/namespaces/a/pods/b/proxying",
            ),
            ("x/y", "x/y"),
            ("", ""),
            ("#top", "#top"),
            ("?q=1:2", "?q=1:2"),
            ("http://elsewhere/x", "http://elsewhere/x"),
            ("mailto:a@b", "mailto:a@b"),
            ("javascript:go()", "javascript:go()"),
        ];
        for (link, expected) in cases {
            assert_eq!(links.rewrite(link), expected, "{link}");
        }
    }
}
