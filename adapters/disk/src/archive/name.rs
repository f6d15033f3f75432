//! Names of members: how they are checked, ordered and written where only text can stand.

pub(super) use volsnap_core::model::member::{escape, order, unescape};

/// Bytes of a member's name at the most.
pub(super) const NAME_MAX: usize = 64 * 1024;
/// Bytes of one component at the most, as on every filesystem of Linux.
const COMPONENT_MAX: usize = 255;

/// The first member of every archive.
pub(super) const MANIFEST: &[u8] = b"volsnap.json";

/// The name of a volume's root in the archive, without a slash at its end.
pub(super) fn volume_root(index: usize) -> Vec<u8> {
    format!("volumes/{index}").into_bytes()
}

/// The name in the archive of a path below a volume's root; the empty path is the root itself.
pub(super) fn in_volume(root: &[u8], path: &[u8]) -> Vec<u8> {
    match path {
        [] => root.to_vec(),
        _ => [root, b"/", path].concat(),
    }
}

/// The path below a volume's root that a member's name stands for; says what is wrong with the name.
pub(super) fn below<'a>(root: &[u8], name: &'a [u8]) -> Result<&'a [u8], &'static str> {
    if name.len() > NAME_MAX {
        return Err("has a name that is too long");
    }
    let name = name.strip_suffix(b"/").unwrap_or(name);
    let path = match name.strip_prefix(root) {
        Some([]) => return Ok(&[]),
        Some([b'/', path @ ..]) => path,
        _ => return Err("lies outside its volume"),
    };
    for component in path.split(|&byte| byte == b'/') {
        match component {
            b"" => return Err("has an empty component in its name"),
            b"." | b".." => return Err("has `.` or `..` in its name"),
            _ if component.contains(&0) => return Err("has a NUL in its name"),
            _ if component.len() > COMPONENT_MAX => return Err("has a component in its name that is too long"),
            _ => {}
        }
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use super::*;

    #[test]
    fn only_names_beneath_the_volume_are_taken() {
        let root = volume_root(3);
        assert_eq!(below(&root, b"volumes/3"), Ok(&b""[..]));
        assert_eq!(below(&root, b"volumes/3/"), Ok(&b""[..]));
        assert_eq!(below(&root, b"volumes/3/a/b"), Ok(&b"a/b"[..]));
        assert_eq!(below(&root, b"volumes/3/a/"), Ok(&b"a"[..]));
        for bad in [
            &b"/volumes/3/a"[..],
            b"volumes/30",
            b"volumes/3x/a",
            b"volumes/3/../a",
            b"volumes/3/.",
            b"volumes/3/a//b",
            b"volumes/3//",
            b"volumes/3/a\0b",
            b"a",
            b"",
            b"volumes/3/..",
        ] {
            assert!(below(&root, bad).is_err(), "{:?}", String::from_utf8_lossy(bad));
        }
        assert!(below(&root, &[b"volumes/3/", &[b'x'; 256][..]].concat()).is_err());
    }

    #[test]
    fn a_directory_comes_before_what_it_holds_and_names_go_by_bytes() {
        assert_eq!(order(b"a", b"a/b"), Ordering::Less);
        assert_eq!(order(b"a/b", b"a.b"), Ordering::Less, "`a.b` sorts before `a/b` by plain bytes only");
        assert_eq!(order(b"a/b", b"a/b"), Ordering::Equal);
        assert_eq!(order(b"", b"a"), Ordering::Less);
    }
}
