//! Words of others, such as notes and names in archives, so that none disturbs a terminal.

/// Control characters as `%XX`, in the way of `ls`; a `%` stays, since nobody reads this back.
pub fn text(text: &str) -> String {
    // Line ends and tabs are part of what several lines say.
    escaped(text, |c| c.is_control() && !matches!(c, '\n' | '\t'))
}

/// The same for what has no more than its place in a line.
pub fn line(text: &str) -> String {
    escaped(text, char::is_control)
}

fn escaped(text: &str, is_odd: impl Fn(char) -> bool) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match is_odd(c) {
            true => plain.extend(c.encode_utf8(&mut [0; 4]).bytes().map(|byte| format!("%{byte:02X}"))),
            false => plain.push(c),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_control_characters_are_escaped() {
        assert_eq!(line("50% of\u{fc} \u{1b}[2J\n\t\u{9b}\u{7f}"), "50% of\u{fc} %1B[2J%0A%09%C2%9B%7F");
        assert_eq!(text("one\n\ttwo\r\u{1b}"), "one\n\ttwo%0D%1B");
    }
}
