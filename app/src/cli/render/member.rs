//! Members of a snapshot, a line for each, as `ls -l` shows files.

use volsnap::model::{Member, MemberKind, member::printable};

use super::table::time;

/// A line of `ls`. No name makes more than one line of it, or disturbs a terminal.
pub fn member(target: &str, member: &Member) -> String {
    let (mark, size, leads_to) = match &member.kind {
        MemberKind::Directory => ('d', "-".to_string(), String::new()),
        MemberKind::File { bytes } => ('-', bytes.to_string(), String::new()),
        MemberKind::HardLink { target: file } => ('h', "-".to_string(), format!(" link to {}", place(target, file))),
        MemberKind::Symlink { target } => ('l', "-".to_string(), format!(" -> {}", printable(target))),
        MemberKind::Fifo => ('p', "-".to_string(), String::new()),
        MemberKind::Device { block: true, major, minor } => ('b', format!("{major},{minor}"), String::new()),
        MemberKind::Device { block: false, major, minor } => ('c', format!("{major},{minor}"), String::new()),
    };
    let (mode, uid, gid) = (permissions(member.mode), member.uid, member.gid);
    let mtime = member.mtime().map_or_else(|| "beyond all calendars".to_string(), time);
    format!("{mark}{mode} {uid:>5} {gid:>5} {size:>12} {mtime} {}{leads_to}", place(target, &member.path))
}

/// Path and target in one, as `ls` takes it.
pub fn place(target: &str, path: &[u8]) -> String {
    let target = printable(target.as_bytes());
    match path {
        [] => target,
        path => format!("{}/{}", target.trim_end_matches('/'), printable(path)),
    }
}

/// `rwsr-xr-t`.
fn permissions(mode: u32) -> String {
    let mut text = String::with_capacity(9);
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = mode >> shift;
        text.push(if bits & 4 == 0 { '-' } else { 'r' });
        text.push(if bits & 2 == 0 { '-' } else { 'w' });
        text.push(match (bits & 1 != 0, mode & special != 0) {
            (true, true) => letter,
            (false, true) => letter.to_ascii_uppercase(),
            (true, false) => 'x',
            (false, false) => '-',
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(target: &str, path: &str, kind: MemberKind, mode: u32) -> String {
        let (uid, gid, mtime_seconds, mtime_nanoseconds) = (1000, 7, 1_700_000_000, 0);
        let (xattrs, flags, contents, path) = (Vec::new(), None, None, path.into());
        let all = Member { path, kind, mode, uid, gid, mtime_seconds, mtime_nanoseconds, xattrs, flags, contents };
        member(target, &all)
    }

    #[test]
    fn lines_read_like_those_of_ls() {
        assert_eq!(
            line("/data", "a/b", MemberKind::File { bytes: 42 }, 0o4751),
            "-rwsr-x--x  1000     7           42 2023-11-14 22:13:20Z /data/a/b"
        );
        assert_eq!(
            line("/", "l\n", MemberKind::Symlink { target: b"\x1b[2J".to_vec() }, 0o777),
            "lrwxrwxrwx  1000     7            - 2023-11-14 22:13:20Z /l%0A -> %1B[2J"
        );
        assert_eq!(
            line("web:/srv", "", MemberKind::Directory, 0o3707),
            "drwx--Srwt  1000     7            - 2023-11-14 22:13:20Z web:/srv"
        );
        assert!(line("/data", "b", MemberKind::HardLink { target: b"a".to_vec() }, 0).ends_with("/b link to /data/a"));
        assert!(line("/d", "n", MemberKind::Device { block: true, major: 8, minor: 1 }, 0).contains(" 8,1 "));
    }
}
