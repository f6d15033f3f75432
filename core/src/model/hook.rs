//! Words of a command, as a person would type them.

/// A command as a shell would have to be given it: words that mean something to a shell are in single quotes.
#[must_use]
pub fn quoted<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    let quote = |word: &str| match !word.is_empty() && word.chars().all(plain) {
        true => word.to_string(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    };
    words.into_iter().map(quote).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_would_read_them_differently() {
        for (words, text) in [
            (&["redis-cli", "save"][..], "redis-cli save"),
            (&["sh", "-c", "echo $A"], "sh -c 'echo $A'"),
            (&["echo", "it's"], r"echo 'it'\''s'"),
            (&["a", ""], "a ''"),
            (&["~", "*"], "'~' '*'"),
        ] {
            assert_eq!(quoted(words.iter().copied()), text);
        }
    }
}
