//! `$(VAR)` in commands, arguments, values of variables and subPaths.

/// The text with each `$(NAME)` replaced by what `lookup` gives for it.
///
/// `$$` is a dollar sign that begins nothing. What `lookup` does not know, and what is not closed, stays as
/// it stands. What was put in is not looked through again.
pub fn expand(text: &str, mut lookup: impl FnMut(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        rest = after;
        if let Some(unescaped) = after.strip_prefix('$') {
            out.push('$');
            rest = unescaped;
        } else if let Some((name, behind)) = after.strip_prefix('(').and_then(|open| open.split_once(')')) {
            match lookup(name) {
                Some(value) => out.push_str(&value),
                None => out.extend(["$(", name, ")"]),
            }
            rest = behind;
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_replaced() {
        let known = |name: &str| match name {
            "A" => Some("a".to_owned()),
            "EMPTY" => Some(String::new()),
            "REF" => Some("$(A)".to_owned()),
            "DOLLARS" => Some("$$$$".to_owned()),
            _ => None,
        };
        let cases = [
            ("", ""),
            ("plain", "plain"),
            ("$(A)", "a"),
            ("-$(A)-$(A)-", "-a-a-"),
            ("$(EMPTY)", ""),
            // Unknown ones stay.
            ("$(B)", "$(B)"),
            ("$()", "$()"),
            ("$(A B)", "$(A B)"),
            // A value is not looked through again.
            ("$(REF)", "$(A)"),
            ("$(DOLLARS)", "$$$$"),
            // Escapes: each pair is one sign, and what follows an odd one is a reference.
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$a"),
            ("$$$$(A)", "$$(A)"),
            ("$$$$$(A)", "$$a"),
            ("$$", "$"),
            // What begins nothing.
            ("$", "$"),
            ("a$", "a$"),
            ("$A", "$A"),
            ("$ü(A)", "$ü(A)"),
            ("$\\(A)", "$\\(A)"),
            // What is not closed; what follows it counts again.
            ("$(A", "$(A"),
            ("$(", "$("),
            ("$(A$$", "$(A$"),
            ("$(A$(A)", "$(A$(A)"),
            // The first bracket closes.
            ("$($(A))", "$($(A))"),
            ("$(A))", "a)"),
            ("$(A)(B)", "a(B)"),
            ("f00-$(A", "f00-$(A"),
        ];
        for (text, expect) in cases {
            assert_eq!(expand(text, known), expect, "{text}");
        }
    }
}
