//! What Go's decoder says about a text that is no JSON, or not the JSON that is wanted.

use serde_json::Value;

const END: &str = "unexpected end of JSON input";

/// How deep Go lets objects and lists nest.
const DEPTH_MAX: usize = 10_000;

/// Why a text cannot be read as a map; nothing when it can.
pub fn map_error(text: &[u8]) -> Option<String> {
    if let Some(broken) = syntax_error(text) {
        return Some(broken);
    }
    let found = match text.trim_ascii_start().first() {
        Some(b'{' | b'n') => return None,
        Some(b'[') => "array",
        Some(b'"') => "string",
        Some(b't' | b'f') => "bool",
        _ => "number",
    };
    Some(format!("json: cannot unmarshal {found} into Go value of type map[string]interface {{}}"))
}

/// Why a text is not one JSON value; nothing when it is.
pub fn syntax_error(text: &[u8]) -> Option<String> {
    let mut scan = Scan { text, at: 0 };
    let whole = scan.value().and_then(|()| match scan.space() {
        None => Ok(()),
        Some(byte) => Err(scan.odd(byte, "after top-level value")),
    });
    whole.err()
}

/// What Go calls the type of a value that was decoded without one.
pub fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

struct Scan<'t> {
    text: &'t [u8],
    at: usize,
}

type Told = Result<(), String>;

impl Scan<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// The next byte that is no space.
    fn space(&mut self) -> Option<u8> {
        while self.peek().is_some_and(|byte| b" \t\r\n".contains(&byte)) {
            self.at += 1;
        }
        self.peek()
    }

    fn odd(&self, byte: u8, place: &str) -> String {
        let shown = match byte {
            b'\'' => r"'\''".to_owned(),
            b'"' => r#"'"'"#.to_owned(),
            b'\n' => r"'\n'".to_owned(),
            b'\t' => r"'\t'".to_owned(),
            b'\r' => r"'\r'".to_owned(),
            0x20..0x7f => format!("'{}'", char::from(byte)),
            0x80..0xa0 | 0..0x20 | 0x7f if byte < 0x80 => format!(r"'\x{byte:02x}'"),
            0x80..0xa0 | 0xad => format!(r"'\u{byte:04x}'"),
            _ => format!("'{}'", char::from(byte)),
        };
        format!("invalid character {shown} {place}")
    }

    /// One value. What is open is kept in a list: a call for each level could use up the stack.
    fn value(&mut self) -> Told {
        let mut ends = Vec::new();
        loop {
            match self.space().ok_or(END)? {
                byte @ (b'{' | b'[') => {
                    if ends.len() == DEPTH_MAX {
                        return Err(self.odd(byte, "exceeded max depth"));
                    }
                    let end = if byte == b'{' { b'}' } else { b']' };
                    self.at += 1;
                    if self.space().ok_or(END)? != end {
                        ends.push(end);
                        self.before_value(end)?;
                        continue;
                    }
                    self.at += 1;
                }
                byte => self.scalar(byte)?,
            }
            while let Some(&end) = ends.last() {
                match self.space().ok_or(END)? {
                    b',' => {
                        self.at += 1;
                        self.before_value(end)?;
                        break;
                    }
                    byte if byte == end => {
                        self.at += 1;
                        ends.pop();
                    }
                    byte if end == b'}' => return Err(self.odd(byte, "after object key:value pair")),
                    byte => return Err(self.odd(byte, "after array element")),
                }
            }
            if ends.is_empty() {
                return Ok(());
            }
        }
    }

    /// The name of a member, if it is an object that ends with `end`.
    fn before_value(&mut self, end: u8) -> Told {
        if end != b'}' {
            return Ok(());
        }
        match self.space().ok_or(END)? {
            b'"' => self.string()?,
            byte => return Err(self.odd(byte, "looking for beginning of object key string")),
        }
        match self.space().ok_or(END)? {
            b':' => self.at += 1,
            byte => return Err(self.odd(byte, "after object key")),
        }
        Ok(())
    }

    fn scalar(&mut self, first: u8) -> Told {
        match first {
            b'"' => self.string(),
            b't' => self.literal("true"),
            b'f' => self.literal("false"),
            b'n' => self.literal("null"),
            b'-' | b'0'..=b'9' => self.number(),
            byte => Err(self.odd(byte, "looking for beginning of value")),
        }
    }

    fn string(&mut self) -> Told {
        loop {
            self.at += 1;
            match self.peek().ok_or(END)? {
                b'"' => break,
                b'\\' => self.escape()?,
                byte @ 0..0x20 => return Err(self.odd(byte, "in string literal")),
                _ => {}
            }
        }
        self.at += 1;
        Ok(())
    }

    fn escape(&mut self) -> Told {
        self.at += 1;
        match self.peek().ok_or(END)? {
            b'u' => {
                for _ in 0..4 {
                    self.at += 1;
                    let byte = self.peek().ok_or(END)?;
                    if !byte.is_ascii_hexdigit() {
                        return Err(self.odd(byte, r"in \u hexadecimal character escape"));
                    }
                }
                Ok(())
            }
            byte if b"bfnrt\\/\"".contains(&byte) => Ok(()),
            byte => Err(self.odd(byte, "in string escape code")),
        }
    }

    fn literal(&mut self, word: &str) -> Told {
        for expected in word.bytes() {
            let byte = self.peek().ok_or(END)?;
            if byte != expected {
                let place = format!("in literal {word} (expecting '{}')", char::from(expected));
                return Err(self.odd(byte, &place));
            }
            self.at += 1;
        }
        Ok(())
    }

    fn number(&mut self) -> Told {
        if self.peek() == Some(b'-') {
            self.at += 1;
            self.digit("in numeric literal")?;
        }
        if self.peek() == Some(b'0') {
            self.at += 1
        } else {
            self.digits()
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digit("after decimal point in numeric literal")?;
            self.digits();
        }
        if self.peek().is_some_and(|byte| byte.eq_ignore_ascii_case(&b'e')) {
            self.at += 1;
            self.at += usize::from(self.peek().is_some_and(|byte| b"+-".contains(&byte)));
            self.digit("in exponent of numeric literal")?;
            self.digits();
        }
        Ok(())
    }

    fn digit(&self, place: &str) -> Told {
        match self.peek().ok_or(END)? {
            b'0'..=b'9' => Ok(()),
            byte => Err(self.odd(byte, place)),
        }
    }

    fn digits(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_about_json() {
        let cases = [
            ("{}", ""),
            (r#" {"a": [1, -2.5e3, "x\u00e4\n", true, null, {}]} "#, ""),
            ("null", ""),
            ("", "unexpected end of JSON input"),
            ("{", "unexpected end of JSON input"),
            ("a", "invalid character 'a' looking for beginning of value"),
            ("{a", "invalid character 'a' looking for beginning of object key string"),
            (r#"{"a"}"#, "invalid character '}' after object key"),
            (r#"{"a":1 "b"}"#, r#"invalid character '"' after object key:value pair"#),
            ("[1 2]", "invalid character '2' after array element"),
            ("{} x", "invalid character 'x' after top-level value"),
            ("trap", "invalid character 'a' in literal true (expecting 'u')"),
            ("-x", "invalid character 'x' in numeric literal"),
            ("[]", "json: cannot unmarshal array into Go value of type map[string]interface {}"),
            ("1", "json: cannot unmarshal number into Go value of type map[string]interface {}"),
            ("\u{1}", r"invalid character '\x01' looking for beginning of value"),
            ("[1,]", "invalid character ']' looking for beginning of value"),
            ("[{},[]", "unexpected end of JSON input"),
            (r#"{"a":[{}],"b":{}}}"#, "invalid character '}' after top-level value"),
            (r#"{"a":1,}"#, "invalid character '}' looking for beginning of object key string"),
        ];
        for (text, expect) in cases {
            assert_eq!(map_error(text.as_bytes()).unwrap_or_default(), expect, "{text}");
        }
    }

    #[test]
    fn depth_is_bounded_and_takes_no_stack() {
        let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert_eq!(syntax_error(deep(DEPTH_MAX).as_bytes()), None);
        let expect = Some("invalid character '[' exceeded max depth".to_owned());
        assert_eq!(syntax_error(deep(1_000_000).as_bytes()), expect);
        assert_eq!(syntax_error("{\"a\":".repeat(DEPTH_MAX).as_bytes()).as_deref(), Some(END));
    }
}
