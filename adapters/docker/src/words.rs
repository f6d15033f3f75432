//! Names instead of ids, for people who read what the engine said.

/// Length of a container's id.
const ID_LEN: usize = 64;

/// As much of an id as `docker ps` shows.
const SHORT_LEN: usize = 12;

/// Whether somebody would have to read an id.
pub(crate) fn has_id(message: &str) -> bool {
    parts(message).any(|part| part.is_id)
}

/// The message with each container's name in the place of its id; ids that nobody has any more are shortened.
pub(crate) fn named(message: &str, names: &[(String, String)]) -> String {
    let word = |part: Part<'_>| match names.iter().find(|(id, _)| part.is_id && id == part.text) {
        Some((_, name)) => name.clone(),
        None if part.is_id => part.text[..SHORT_LEN].to_string(),
        None => part.text.to_string(),
    };
    parts(message).map(word).collect()
}

struct Part<'a> {
    text: &'a str,
    is_id: bool,
}

/// The message in words and what is between them. The digest of an image (`sha256:…`) is no id of a container.
fn parts(message: &str) -> impl Iterator<Item = Part<'_>> {
    let is_inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '-' | '_');
    let mut rest = message;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let end = rest.find(|c| is_inside(c) != is_inside(first)).unwrap_or(rest.len());
        let (text, after) = rest.split_at(end);
        // A colon may end the word: `start 0123…: no such image`.
        let colons = text.len() - text.trim_end_matches(':').len();
        let (text, after) = match colons {
            0 => (text, after),
            _ if colons == text.len() => (text, after),
            _ => rest.split_at(end - colons),
        };
        rest = after;
        let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        Some(Part { text, is_id: text.len() == ID_LEN && text.bytes().all(is_hex) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_become_names_and_everything_else_stays() {
        let (web, gone) = ("0123456789abcdef".repeat(4), "fedcba9876543210".repeat(4));
        let names = [(web.clone(), "web".to_string())];
        let of = |message: &str| named(message, &names);
        assert_eq!(
            of(&format!("pause {web}: Container {web} is restarting")),
            "pause web: Container web is restarting"
        );
        assert_eq!(
            of(&format!("start {gone}: No such container: {gone}")),
            "start fedcba987654: No such container: fedcba987654"
        );
        for plain in ["", ": ü :", "no such image sha256:0123", &format!("image sha256:{web}"), &format!("/x-{web}")] {
            assert_eq!(of(plain), plain);
            assert!(!has_id(plain), "{plain}");
        }
        assert!(has_id(&format!("({web})")));
    }
}
