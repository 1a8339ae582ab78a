//! Whether a text names an image: the grammar of registries, with their words for what is wrong.

use std::sync::LazyLock;

use regex::Regex;

/// The registry of names that begin with none.
const DEFAULT_REGISTRY: &str = "docker.io";

/// The longest path of an image in its registry.
const PATH_MAX: usize = 255;

/// `registry:port/path:tag@digest`; the path is the group.
static NAME: LazyLock<Regex> = LazyLock::new(|| {
    let host = "(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])";
    let registry = format!(r"(?:{host}(?:\.{host})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?");
    let part = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*";
    let tag = "[0-9A-Za-z_][0-9A-Za-z_.-]{0,127}";
    let digest = "[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}";
    let name = format!(r"^{registry}/({part}(?:/{part})*)(?::{tag})?(?:@{digest})?$");
    Regex::new(&name).expect("a pattern that compiles")
});

/// An image's id is no name.
static ID: LazyLock<Regex> = LazyLock::new(|| Regex::new("^[a-f0-9]{64}$").expect("a pattern that compiles"));

/// Whether an engine can be asked for this.
///
/// # Errors
/// When the text is no name of an image: what is wrong with it.
pub(crate) fn check(text: &str) -> Result<(), String> {
    if ID.is_match(text) {
        return Err(format!("invalid repository name ({text}), cannot specify 64-byte hexadecimal strings"));
    }
    let is_registry = |first: &str| {
        first.contains(['.', ':']) || first == "localhost" || first.chars().any(char::is_uppercase)
    };
    let (registry, rest) = match text.split_once('/') {
        Some((first, rest)) if is_registry(first) => (first, rest.to_owned()),
        Some(_) => (DEFAULT_REGISTRY, text.to_owned()),
        // What is in no folder is one of the registry's own.
        None => (DEFAULT_REGISTRY, format!("library/{text}")),
    };
    let path = rest.split(':').next().unwrap_or_default();
    if path.chars().any(char::is_uppercase) {
        return Err(format!("invalid reference format: repository name ({path}) must be lowercase"));
    }
    let whole = format!("{registry}/{rest}");
    let path = NAME.captures(&whole).and_then(|found| found.get(1)).ok_or("invalid reference format")?;
    if path.len() > PATH_MAX {
        return Err(format!("repository name must not be more than {PATH_MAX} characters"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_images_are_told_from_other_texts() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for good in [
            "app",
            "app:1",
            "team/app_b--c.d:V1.0-rc",
            "registry.example:5000/a/b",
            "localhost/app",
            "Registry/app",
            "[fd00::1]:5000/app:1",
            &format!("app@{digest}"),
            &format!("registry.example/app:1@{digest}"),
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        let format = "invalid reference format";
        for (bad, why) in [
            ("", format),
            (" app", format),
            ("app:", format),
            ("app:1:2", format),
            ("app//b", format),
            ("-app", format),
            ("app@sha256:12", format),
            ("http://registry.example/app", format),
            ("App", "invalid reference format: repository name (library/App) must be lowercase"),
            ("registry.example/A/b:1", "invalid reference format: repository name (A/b) must be lowercase"),
        ] {
            assert_eq!(check(bad), Err(why.to_owned()), "{bad}");
        }
        let long = "repository name must not be more than 255 characters";
        assert_eq!(check(&format!("registry.example/{}", "a".repeat(256))), Err(long.to_owned()));
        let id = "a".repeat(64);
        let why = format!("invalid repository name ({id}), cannot specify 64-byte hexadecimal strings");
        assert_eq!(check(&id), Err(why));
    }
}
