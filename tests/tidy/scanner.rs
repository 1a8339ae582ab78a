//! Finds functions in source text and counts their lines of code.

/// A function with a body.
pub struct Function {
    pub name: String,
    pub lines: usize,
}

/// All functions of a source file, nested ones too, in order.
pub fn functions(source: &str) -> Vec<Function> {
    let code = blank_out(source);
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let starts_word = at == 0 || !is_word(code.as_bytes()[at - 1]);
        let name: String = code[at + 3..].chars().take_while(|c| c.is_ascii() && is_word(*c as u8)).collect();
        if !starts_word || name.is_empty() {
            continue;
        }
        if let Some(end) = body_end(&code.as_bytes()[at..]) {
            let lines = code[at..at + end].lines().filter(|line| !line.trim().is_empty()).count();
            found.push(Function { name, lines });
        }
    }
    found
}

/// Where the body of the function that `code` begins with ends; `None` when it has none.
fn body_end(code: &[u8]) -> Option<usize> {
    let mut parentheses = 0_usize;
    let mut braces = 0_usize;
    for (at, byte) in code.iter().enumerate() {
        match byte {
            b'(' | b'[' => parentheses += 1,
            b')' | b']' => parentheses = parentheses.saturating_sub(1),
            b';' if parentheses == 0 && braces == 0 => return None,
            b'{' if parentheses == 0 || braces > 0 => braces += 1,
            b'}' if braces == 1 => return Some(at + 1),
            b'}' => braces = braces.saturating_sub(1),
            _ => {}
        }
    }
    None
}

/// The source with comments and the insides of strings and characters replaced by spaces, so that
/// braces and words in what remains are code. Line ends stay where they are outside of strings.
fn blank_out(source: &str) -> String {
    let bytes = source.as_bytes();
    let mut code = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let length = opaque_length(&bytes[at..], code.last().copied());
        if length == 0 {
            code.push(bytes[at]);
            at += 1;
        } else {
            let is_comment = bytes[at] == b'/';
            let filler = if is_comment { b' ' } else { b'_' };
            code.extend(
                bytes[at..at + length].iter().map(|byte| if *byte == b'\n' { b'\n' } else { filler }),
            );
            at += length;
        }
    }
    String::from_utf8_lossy(&code).into_owned()
}

/// How many bytes of `rest` are one comment, string or character; 0 when it begins with code.
fn opaque_length(rest: &[u8], before: Option<u8>) -> usize {
    let starts_word = !before.is_some_and(is_word);
    match rest {
        [b'/', b'/', ..] => rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len()),
        [b'/', b'*', ..] => comment_length(rest),
        [b'"', ..] => quoted_length(rest, b'"'),
        [b'r', b'"' | b'#', ..] if starts_word => raw_length(rest),
        [b'b' | b'c', b'r', b'"' | b'#', ..] if starts_word => 1 + raw_length(&rest[1..]),
        // A lifetime is a quote and a word without a quote behind it.
        [b'\'', b'\\', ..] => quoted_length(rest, b'\''),
        [b'\'', tail @ ..] => {
            let width = std::str::from_utf8(&tail[..tail.len().min(4)])
                .map_or_else(|error| error.valid_up_to(), str::len)
                .min(tail.len());
            let character = String::from_utf8_lossy(&tail[..width]).chars().next().map_or(0, char::len_utf8);
            if tail.get(character) == Some(&b'\'') { character + 2 } else { 0 }
        }
        _ => 0,
    }
}

fn comment_length(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at + 1 < rest.len() {
        match &rest[at..at + 2] {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" if depth == 1 => return at + 2,
            b"*/" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    rest.len()
}

fn quoted_length(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

/// The length of `r"..."` or `r#"..."#`; 0 for a raw identifier (`r#type`).
fn raw_length(rest: &[u8]) -> usize {
    let hashes = rest[1..].iter().take_while(|byte| **byte == b'#').count();
    if rest.get(1 + hashes) != Some(&b'"') {
        return 0;
    }
    let close = [b"\"".as_slice(), &vec![b'#'; hashes]].concat();
    let body = &rest[2 + hashes..];
    let end = body.windows(close.len()).position(|window| window == close);
    end.map_or(rest.len(), |end| 2 + hashes + end + close.len())
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

#[test]
fn the_scanner_counts_code_and_skips_what_only_looks_like_it() {
    let source = r##"
fn short() { let brace = '{'; }

/// fn commented() {
fn generic<'a, const N: usize>(lines: &'a [[u8; 4]; N]) -> [u8; 2]
where
    (): Sized,
{
    // a comment with a brace {

    let text = "} \" }"; /* } */
    let raw = r#"} " }"#;
    fn inner() {
    }
}
trait T { fn declared(&self); fn pointer(&self, f: fn(u8) -> u8); }
"##;
    let counted: Vec<(String, usize)> =
        functions(source).into_iter().map(|function| (function.name, function.lines)).collect();
    let expected = [("short", 1), ("generic", 9), ("inner", 2)];
    assert_eq!(counted, expected.map(|(name, lines)| (name.to_owned(), lines)));
}
