//! Directory trees as values, to be compared exactly.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};

/// What one entry is: its kind, mode, owner, modification time, names, attributes and contents (or a link's target).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryOf {
    /// File type and permissions.
    pub mode: u32,
    /// User and group.
    pub owner: (u32, u32),
    /// Modification time in nanoseconds.
    pub mtime_ns: i128,
    /// How many names a file has; 1 for a directory, whose count differs between filesystems.
    pub names: u64,
    /// Extended attributes but for the security labels that belong to the host.
    pub attributes: BTreeMap<String, Vec<u8>>,
    /// Inode flags of a file or a directory, of those that archives keep; none where the filesystem has none.
    pub flags: u32,
    /// Contents of a file, target of a link, nothing for others.
    pub contents: Vec<u8>,
    /// The first of the names of a file that has several.
    pub same_as: Option<String>,
}

/// A tree by relative path; the root is the empty path.
pub type Tree = BTreeMap<String, EntryOf>;

/// The tree at a path; `None` if there is none.
pub fn read(root: &Path) -> Option<Tree> {
    fs::symlink_metadata(root).ok()?;
    let (mut tree, mut linked) = (Tree::new(), BTreeMap::new());
    collect(root, "", &mut tree, &mut linked);
    for names in linked.values_mut() {
        names.sort();
        for name in names.iter() {
            tree.get_mut(name).expect("it was collected").same_as = Some(names[0].clone());
        }
    }
    Some(tree)
}

fn collect(path: &Path, name: &str, tree: &mut Tree, linked: &mut BTreeMap<u64, Vec<String>>) {
    let metadata = fs::symlink_metadata(path).expect("an entry is there");
    let contents = if metadata.is_symlink() {
        fs::read_link(path).expect("a link").into_os_string().into_encoded_bytes()
    } else if metadata.is_file() {
        fs::read(path).expect("a file")
    } else {
        Vec::new()
    };
    let mtime_ns = i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
    let entry = EntryOf {
        mode: metadata.mode(),
        owner: (metadata.uid(), metadata.gid()),
        mtime_ns,
        names: if metadata.is_dir() { 1 } else { metadata.nlink() },
        attributes: attributes(path),
        flags: flags(path, &metadata),
        contents,
        same_as: None,
    };
    tree.insert(name.to_string(), entry);
    if !metadata.is_dir() && metadata.nlink() > 1 {
        linked.entry(metadata.ino()).or_default().push(name.to_string());
    }
    if metadata.is_dir() {
        for child in fs::read_dir(path).expect("a directory") {
            let child = child.expect("an entry");
            let child_name = child.file_name().to_string_lossy().into_owned();
            let name = if name.is_empty() { child_name } else { format!("{name}/{child_name}") };
            collect(&child.path(), &name, tree, linked);
        }
    }
}

/// The letters of these are `SDdAcjC`.
const KEPT: IFlags = IFlags::SYNC
    .union(IFlags::DIRSYNC)
    .union(IFlags::NODUMP)
    .union(IFlags::NOATIME)
    .union(IFlags::COMPRESSED)
    .union(IFlags::JOURNALING)
    .union(IFlags::NOCOW);

fn flags(path: &Path, metadata: &fs::Metadata) -> u32 {
    let has_some = metadata.is_file() || metadata.is_dir();
    let file = has_some.then(|| fs::File::open(path).ok()).flatten();
    file.and_then(|file| ioctl_getflags(file).ok()).map_or(0, |flags| flags.intersection(KEPT).bits())
}

/// Gives a file or a directory inode flags besides those that it has; false where the filesystem has no such flags.
pub fn mark(path: &Path, flags: IFlags) -> bool {
    let file = fs::File::open(path).expect("a file or a directory");
    ioctl_getflags(&file).is_ok_and(|now| ioctl_setflags(&file, now | flags).is_ok())
}

/// A filesystem that knows no attributes has none.
fn attributes(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut list = vec![0; 4096];
    let length = rustix::fs::llistxattr(path, list.as_mut_slice()).unwrap_or(0);
    let names = list[..length].split(|byte| *byte == 0).map(|name| String::from_utf8_lossy(name).into_owned());
    let names = names.filter(|name| !name.is_empty() && !name.starts_with("security."));
    let value = |name: &str| {
        let mut value = vec![0; 4096];
        let length = rustix::fs::lgetxattr(path, name, value.as_mut_slice()).expect("an attribute");
        value.truncate(length);
        value
    };
    names.map(|name| (name.clone(), value(&name))).collect()
}

/// Makes a tree of some entries of each kind, with `mark` in its contents.
pub fn make(root: &Path, mark: &str) {
    fs::create_dir_all(root.join("sub/deeper")).expect("directories");
    for i in 0..5 {
        fs::write(root.join(format!("file-{i}")), format!("{mark} {i} {}", "x".repeat(i * 1000))).expect("a file");
        fs::write(root.join(format!("sub/deeper/{mark}-{i}")), mark).expect("a file");
    }
    fs::set_permissions(root.join("file-1"), fs::Permissions::from_mode(0o4750)).expect("a mode");
    fs::set_permissions(root.join("sub"), fs::Permissions::from_mode(0o1777)).expect("a mode");
    fs::set_permissions(root, fs::Permissions::from_mode(0o750)).expect("a mode");
    std::os::unix::fs::symlink("../nowhere", root.join("link")).expect("a link");
    fs::hard_link(root.join("file-2"), root.join("sub/same")).expect("a hard link");
}

/// Empties a directory without replacing it, as an app that rewrites its data would; what a filesystem keeps at its
/// root stays.
pub fn clear(root: &Path) {
    for child in fs::read_dir(root).expect("a directory") {
        let path = child.expect("an entry").path();
        if path.ends_with("lost+found") {
            continue;
        }
        let is_dir = fs::symlink_metadata(&path).expect("an entry").is_dir();
        if is_dir { fs::remove_dir_all(&path) } else { fs::remove_file(&path) }.expect("removed");
    }
}

/// Names in a directory that a restore made.
pub fn litter(parent: &Path) -> Vec<String> {
    let names = fs::read_dir(parent).expect("a directory").map(|e| e.expect("an entry").file_name());
    names.map(|n| n.to_string_lossy().into_owned()).filter(|n| n.starts_with(".volsnap-")).collect()
}
