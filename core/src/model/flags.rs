//! Inode flags that a restored tree could not be given.

/// Entries whose inode flags (how they are stored and treated: without copy-on-write, compressed, …) are not as in the
/// snapshot, because the filesystem or the process's rights do not allow it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlagsLeft {
    /// How many.
    pub count: u64,
    /// The first of them, at most [`FlagsLeft::NAMED_MAX`], each with the letters of `chattr` or the attribute's name.
    pub names: Vec<String>,
}

impl FlagsLeft {
    /// Names at the most.
    pub const NAMED_MAX: usize = 3;

    /// Counts one more, which is named only while there is room.
    pub fn add(&mut self, name: impl FnOnce() -> String) {
        if self.names.len() < Self::NAMED_MAX {
            self.names.push(name());
        }
        self.count += 1;
    }

    /// Counts those of another tree, too.
    pub fn join(&mut self, other: FlagsLeft) {
        self.count += other.count;
        self.names.extend(other.names);
        self.names.truncate(Self::NAMED_MAX);
    }

    /// A sentence without its subject's volume; `None` if there are none.
    #[must_use]
    pub fn told(&self) -> Option<String> {
        let names = self.names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let more = if self.count > self.names.len() as u64 { ", …" } else { "" };
        match self.count {
            0 => None,
            1 => Some(format!("1 entry is without its inode flags, which cannot be set there: {names}")),
            count => {
                Some(format!("{count} entries are without their inode flags, which cannot be set there: {names}{more}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_is_told_by_count_and_first_names() {
        let mut left = FlagsLeft::default();
        assert_eq!(left.told(), None);
        left.add(|| "db (C)".into());
        assert!(left.told().unwrap().ends_with("set there: `db (C)`"));
        let other = FlagsLeft { count: 9, names: vec!["a (C)".into(), "b (C)".into(), "c (C)".into()] };
        left.join(other);
        let told = left.told().unwrap();
        assert!(told.starts_with("10 entries") && told.ends_with("`db (C)`, `a (C)`, `b (C)`, …"), "{told}");
    }
}
