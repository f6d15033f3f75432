//! Rust source as tokens, without comments and what stands in strings: enough to see which paths are used.

/// A token: an identifier, `::`, one character of punctuation, or a literal as `""`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'a> {
    /// Its text.
    pub text: &'a str,
    /// Its line, from 1.
    pub line: usize,
}

/// The tokens of a file.
pub fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let (mut at, mut line) = (0, 1);
    while let Some(rest) = source.get(at..).filter(|rest| !rest.is_empty()) {
        let (length, text) = first(rest);
        if let Some(text) = text {
            tokens.push(Token { text, line });
        }
        line += rest[..length].matches('\n').count();
        at += length;
    }
    tokens
}

/// How long the first piece of `rest` is, and its token if it is one. `rest` is not empty.
fn first(rest: &str) -> (usize, Option<&str>) {
    let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    if rest.starts_with("//") {
        return (rest.find('\n').unwrap_or(rest.len()), None);
    }
    if rest.starts_with("/*") {
        return (block_comment(rest), None);
    }
    if let Some(length) = raw_string(rest).or_else(|| string(rest)).or_else(|| character(rest)) {
        return (length, Some("\"\""));
    }
    if word > 0 {
        return (word, Some(&rest[..word]));
    }
    if rest.starts_with("::") {
        return (2, Some("::"));
    }
    let length = rest.chars().next().map_or(1, char::len_utf8);
    let blank = rest.starts_with(char::is_whitespace);
    (length, (!blank).then_some(&rest[..length]))
}

/// Block comments nest.
fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        let here = &rest.as_bytes()[at..];
        if here.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if here.starts_with(b"*/") {
            depth -= 1;
            at += 2;
        } else {
            at += 1;
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// `r"…"`, `r#"…"#`, `br"…"`, `cr"…"`.
fn raw_string(rest: &str) -> Option<usize> {
    let body = rest.strip_prefix(['b', 'c']).unwrap_or(rest).strip_prefix('r')?;
    let hashes = body.bytes().take_while(|b| *b == b'#').count();
    let inner = body[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let close = inner.find(&end).map_or(inner.len(), |at| at + end.len());
    Some(rest.len() - inner.len() + close)
}

/// `"…"`, `b"…"`, `c"…"`.
fn string(rest: &str) -> Option<usize> {
    let inner = rest.strip_prefix(['b', 'c']).unwrap_or(rest).strip_prefix('"')?;
    Some(rest.len() - inner.len() + until(inner, b'"'))
}

/// `'x'`, `'\n'`, `b'x'`; but `'a` is a lifetime.
fn character(rest: &str) -> Option<usize> {
    let inner = rest.strip_prefix('b').unwrap_or(rest).strip_prefix('\'')?;
    let mut chars = inner.chars();
    let (first, second) = (chars.next()?, chars.next()?);
    (first == '\\' || second == '\'').then(|| rest.len() - inner.len() + until(inner, b'\''))
}

/// How far it is to behind the closing quote, escapes passed over.
fn until(inner: &str, quote: u8) -> usize {
    let mut escaped = false;
    for (at, byte) in inner.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            _ if byte == quote => return at + 1,
            _ => {}
        }
    }
    inner.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(source: &str, expected: &[&str]) {
        let found: Vec<&str> = tokens(source).iter().map(|t| t.text).collect();
        assert_eq!(found, expected, "{source}");
    }

    #[test]
    fn comments_and_strings_hold_no_tokens() {
        check("a // use b::c;\n/* d /* e */ f */ g", &["a", "g"]);
        check(
            r##"x("use a::b; \" c", r#"d " e"#, b"f", br"g")"##,
            &["x", "(", "\"\"", ",", "\"\"", ",", "\"\"", ",", "\"\"", ")"],
        );
        check("//! crate::engine\nmod m;", &["mod", "m", ";"]);
    }

    #[test]
    fn a_lifetime_is_not_the_beginning_of_a_character() {
        check(
            "&'a str, 'b', '\\'', '\"', b'x'",
            &["&", "'", "a", "str", ",", "\"\"", ",", "\"\"", ",", "\"\"", ",", "\"\""],
        );
    }

    #[test]
    fn a_token_knows_its_line_behind_strings_and_comments_of_several_lines() {
        let found = tokens("a\n\"b\nc\" /* d\n */ e::f");
        let lines: Vec<(&str, usize)> = found.iter().map(|t| (t.text, t.line)).collect();
        assert_eq!(lines, [("a", 1), ("\"\"", 2), ("e", 4), ("::", 4), ("f", 4)]);
    }

    #[test]
    fn a_file_that_is_cut_off_ends() {
        for source in ["\"abc", "r#\"abc", "/* a", "'\\", "b'", "ä"] {
            let _ = tokens(source);
        }
    }
}
