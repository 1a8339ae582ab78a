//! Names of container images: `registry.example.com:5000/team/app:1.2@sha256:...`.

const TAG_BYTES_MAX: usize = 128;
const NAME_BYTES_MAX: usize = 255;
const DIGEST_DIGITS_MIN: usize = 32;

/// The tag of an image: `latest` when neither a tag nor a digest is named; empty when only a digest is, or when the
/// text names no image.
pub fn tag(image: &str) -> &str {
    let (named, digest) =
        image.split_once('@').map_or((image, None), |(named, digest)| (named, Some(digest)));
    let tagged = named.rsplit_once(':').filter(|(_, tag)| !tag.contains('/'));
    let (name, tag) = tagged.map_or((named, None), |(name, tag)| (name, Some(tag)));
    if !is_name(name) || !tag.is_none_or(is_tag) || !digest.is_none_or(is_digest) {
        return "";
    }
    tag.unwrap_or(if digest.is_some() { "" } else { "latest" })
}

fn is_name(name: &str) -> bool {
    let is_domain = |first: &str| {
        first.contains(['.', ':'])
            || first == "localhost"
            || first.bytes().any(|byte| byte.is_ascii_uppercase())
    };
    let (domain, path) = match name.split_once('/') {
        Some((first, rest)) if is_domain(first) => (Some(first), rest),
        _ => (None, name),
    };
    // Alone, so many digits would be the id of an image.
    let is_id = name.len() == 64 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    name.len() <= NAME_BYTES_MAX && !is_id && domain.is_none_or(is_host) && path.split('/').all(is_component)
}

fn is_host(domain: &str) -> bool {
    let (host, port) = domain.split_once(':').map_or((domain, None), |(host, port)| (host, Some(port)));
    let is_label = |label: &str| {
        let bytes = label.as_bytes();
        bytes.first().is_some_and(u8::is_ascii_alphanumeric)
            && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
            && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
    };
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    host.split('.').all(is_label) && port.is_none_or(is_port)
}

/// Small letters and digits; between them a dot, one or two underscores, or dashes.
fn is_component(part: &str) -> bool {
    let is_plain = |byte: char| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let between = part.split(is_plain).filter(|between| !between.is_empty());
    let is_separator = |text: &str| matches!(text, "." | "_" | "__") || text.bytes().all(|byte| byte == b'-');
    part.starts_with(is_plain) && part.ends_with(is_plain) && between.into_iter().all(is_separator)
}

fn is_tag(tag: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    tag.len() <= TAG_BYTES_MAX
        && tag.bytes().next().is_some_and(is_word)
        && tag.bytes().all(|byte| is_word(byte) || byte == b'.' || byte == b'-')
}

fn is_digest(digest: &str) -> bool {
    let Some((algorithm, digits)) = digest.split_once(':') else { return false };
    let is_part = |part: &str| {
        part.starts_with(|letter: char| letter.is_ascii_alphabetic())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    algorithm.split(['-', '_', '+', '.']).all(is_part)
        && digits.len() >= DIGEST_DIGITS_MIN
        && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags() {
        let digest = format!("app@sha256:{}", "0".repeat(64));
        let cases = [
            ("nginx", "latest"),
            ("nginx:1.27", "1.27"),
            ("registry.example.com:5000/team/app", "latest"),
            ("Registry/team/app:a", "a"),
            ("a__b/c--d", "latest"),
            (digest.as_str(), ""),
            ("", ""),
            ("A", ""),
            ("a-", ""),
            ("../a", ""),
            ("a b", ""),
            ("a:", ""),
            ("::1", ""),
        ];
        for (image, expect) in cases {
            assert_eq!(tag(image), expect, "{image}");
        }
    }
}
