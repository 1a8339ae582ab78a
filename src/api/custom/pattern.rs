//! Regular expressions as Go reads them, on a crate that reads almost the same.

use regex::Regex;

/// A pattern, compiled once.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// As it was given.
    pub text: String,
    regex: Option<Regex>,
}

impl Pattern {
    /// Of a text; one that is no pattern matches nothing.
    pub fn new(text: &str) -> Self {
        Self { text: text.to_owned(), regex: compile(text).ok() }
    }

    /// Whether any part of a text matches.
    pub fn matches(&self, text: &str) -> bool {
        self.regex.as_ref().is_some_and(|regex| regex.is_match(text))
    }
}

/// What is wrong with a pattern, in Go's words.
pub fn error(text: &str) -> Option<String> {
    compile(text).err().map(|why| format!("error parsing regexp: {why}"))
}

fn compile(text: &str) -> Result<Regex, String> {
    let translated = Translation { rest: text, out: String::with_capacity(text.len()) }.run(text)?;
    Regex::new(&translated).map_err(|_| format!("invalid or unsupported Perl syntax: `{text}`"))
}

/// From Go's words into the crate's: classes of ASCII only, `\Q...\E`, braces and brackets that stand for themselves.
struct Translation<'p> {
    rest: &'p str,
    out: String,
}

impl<'p> Translation<'p> {
    fn run(mut self, whole: &str) -> Result<String, String> {
        let mut depth = 0_usize;
        let mut can_repeat = false;
        while let Some(letter) = self.next() {
            let repeats_before = can_repeat;
            can_repeat = true;
            match letter {
                '\\' => self.escape()?,
                '[' => self.class()?,
                '(' => {
                    depth += 1;
                    self.out.push('(');
                    self.group();
                    can_repeat = false;
                }
                ')' if depth == 0 => return Err(format!("unexpected ): `{whole}`")),
                ')' => {
                    depth -= 1;
                    self.out.push(')');
                }
                '|' => {
                    self.out.push('|');
                    can_repeat = false;
                }
                '*' | '+' | '?' if !repeats_before => {
                    return Err(format!("missing argument to repetition operator: `{letter}`"));
                }
                '*' | '+' | '?' => self.repeat(letter.to_string())?,
                '{' => match self.counts() {
                    Some(counts) if repeats_before => self.repeat(counts)?,
                    Some(counts) => {
                        return Err(format!("missing argument to repetition operator: `{counts}`"));
                    }
                    None => self.out.push_str(r"\{"),
                },
                '}' | ']' => self.out.extend(['\\', letter]),
                letter => self.out.push(letter),
            }
        }
        if depth > 0 {
            return Err(format!("missing closing ): `{whole}`"));
        }
        Ok(self.out)
    }

    fn next(&mut self) -> Option<char> {
        let letter = self.rest.chars().next()?;
        self.rest = &self.rest[letter.len_utf8()..];
        Some(letter)
    }

    /// What stands behind a parenthesis: flags or a name.
    fn group(&mut self) {
        if self.rest.starts_with('?') {
            let end = self.rest.find([':', '>', ')']).map_or(self.rest.len(), |at| at);
            let keeps_end = self.rest[end..].starts_with(')');
            let end = if keeps_end { end } else { (end + 1).min(self.rest.len()) };
            self.out.push_str(&self.rest[..end]);
            self.rest = &self.rest[end..];
        }
    }

    /// An operator that repeats what stands before it. Go knows no repetition of a repetition.
    fn repeat(&mut self, operator: String) -> Result<(), String> {
        self.out.push_str(&operator);
        let mut whole = operator;
        if self.rest.starts_with('?') {
            self.next();
            self.out.push('?');
            whole.push('?');
        }
        let again = match self.rest.chars().next() {
            Some(letter @ ('*' | '+' | '?')) => Some(letter.to_string()),
            Some('{') => Translation { rest: &self.rest[1..], out: String::new() }.counts(),
            _ => None,
        };
        again.map_or(Ok(()), |again| Err(format!("invalid nested repetition operator: `{whole}{again}`")))
    }

    /// `{2}`, `{2,}` or `{2,3}`, behind the brace; anything else stands for itself.
    fn counts(&mut self) -> Option<String> {
        let end = self.rest.find('}')?;
        let inner = &self.rest[..end];
        let (least, most) = inner.split_once(',').unwrap_or((inner, ""));
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if least.is_empty() || !is_number(least) || !is_number(most) {
            return None;
        }
        self.rest = &self.rest[end + 1..];
        Some(format!("{{{inner}}}"))
    }

    fn escape(&mut self) -> Result<(), String> {
        let Some(letter) = self.next() else {
            return Err("trailing backslash at end of expression: ``".into());
        };
        match letter {
            'd' => self.out.push_str("[0-9]"),
            'D' => self.out.push_str("[^0-9]"),
            'w' => self.out.push_str("[0-9A-Za-z_]"),
            'W' => self.out.push_str("[^0-9A-Za-z_]"),
            's' => self.out.push_str(r"[\t\n\f\r ]"),
            'S' => self.out.push_str(r"[^\t\n\f\r ]"),
            'b' => self.out.push_str("(?-u:\\b)"),
            'B' => self.out.push_str("(?-u:\\B)"),
            'Q' => {
                let end = self.rest.find(r"\E").unwrap_or(self.rest.len());
                self.out.push_str(&regex::escape(&self.rest[..end]));
                self.rest = self.rest[end..].strip_prefix(r"\E").unwrap_or_default();
            }
            'A' | 'z' | 'a' | 'f' | 'n' | 'r' | 't' | 'v' | 'x' | 'p' | 'P' | '0'..='7' => {
                self.out.extend(['\\', letter]);
            }
            letter if letter.is_ascii_alphanumeric() || !letter.is_ascii() => {
                return Err(format!(r"invalid escape sequence: `\{letter}`"));
            }
            letter => self.out.push_str(&regex::escape(letter.encode_utf8(&mut [0; 4]))),
        }
        Ok(())
    }

    /// Behind the bracket that opens a class.
    fn class(&mut self) -> Result<(), String> {
        let unclosed = format!("missing closing ]: `[{}`", self.rest);
        self.out.push('[');
        if self.rest.starts_with('^') {
            self.next();
            self.out.push('^');
        }
        let mut is_first = true;
        loop {
            let Some(letter) = self.next() else { return Err(unclosed) };
            match letter {
                ']' if !is_first => break,
                '[' if self.rest.starts_with(':') => {
                    let end = self.rest.find(":]").map_or(0, |at| at + 2);
                    self.out.push('[');
                    self.out.push_str(&self.rest[..end]);
                    self.rest = &self.rest[end..];
                }
                '\\' => match self.next() {
                    Some('d') => self.out.push_str("0-9"),
                    Some('D') => self.out.push_str("[^0-9]"),
                    Some('w') => self.out.push_str("0-9A-Za-z_"),
                    Some('W') => self.out.push_str("[^0-9A-Za-z_]"),
                    Some('s') => self.out.push_str(r"\t\n\f\r "),
                    Some('S') => self.out.push_str(r"[^\t\n\f\r ]"),
                    Some(letter) => self.out.extend(['\\', letter]),
                    None => return Err(unclosed),
                },
                letter @ ('[' | ']' | '&' | '~') => self.out.extend(['\\', letter]),
                // Two of them would be a difference of classes.
                '-' if self.rest.starts_with(']') || is_first => self.out.push_str(r"\-"),
                letter => self.out.push(letter),
            }
            is_first = false;
        }
        self.out.push(']');
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_as_go_reads_them() {
        let cases = [
            (r"^\d+$", "12", true),
            (r"^\d+$", "\u{664}", false),
            (r"^\w+$", "\u{e4}", false),
            ("^[a-z[]+$", "a[", true),
            ("^[]a]+$", "]a", true),
            ("^a{,2}$", "a{,2}", true),
            ("^a{$", "a{", true),
            ("^a{2}$", "aa", true),
            (r"^\Qa.b\E+$", "a.bb", true),
            (r"^[\w.-]+$", "a-b.c", true),
            (r"^[[:alpha:]]+$", "ab", true),
            (r"^(?i)abc$", "ABC", true),
            (r"^(?P<x>a|b)$", "b", true),
            (r"^(?:a)+?$", "aa", true),
            (r"a\/b", "a/b", true),
            ("^[a&&b]+$", "&", true),
        ];
        for (pattern, text, expect) in cases {
            assert_eq!(error(pattern), None, "{pattern}");
            assert_eq!(Pattern::new(pattern).matches(text), expect, "{pattern} {text}");
        }
    }

    #[test]
    fn what_is_no_pattern() {
        let cases = [
            ("(", "missing closing ): `(`"),
            ("a)", "unexpected ): `a)`"),
            ("[a", "missing closing ]: `[a`"),
            ("*a", "missing argument to repetition operator: `*`"),
            ("a**", "invalid nested repetition operator: `**`"),
            (r"a\", "trailing backslash at end of expression: ``"),
            (r"\y", r"invalid escape sequence: `\y`"),
        ];
        for (pattern, expect) in cases {
            assert_eq!(error(pattern), Some(format!("error parsing regexp: {expect}")), "{pattern}");
        }
    }
}
