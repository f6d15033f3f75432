//! Staging that goes on from what a killed process or a power cut left.

use std::{
    collections::BTreeMap,
    ffi::CString,
    fs,
    os::unix::{
        ffi::OsStrExt,
        fs::{FileExt, MetadataExt, PermissionsExt, symlink},
    },
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicU64},
};

use rustix::fs::{CWD, FileType, Mode, XattrFlags};
use volsnap_core::ports::{FsErrorKind, StageJob, Watch};

use super::{
    roundtrip::furnish,
    scene::{Impatient, JOBS, Scene, look_at},
};
use crate::archive::{
    earlier::{Earlier, patch},
    stage,
};

type Damage<'a> = &'a dyn Fn(&Path);

/// An archived volume, and what a killed process left of its staging.
struct Interrupted {
    scene: Scene,
    job: StageJob,
    private: PathBuf,
}

impl Interrupted {
    /// It was killed just before it gave the tree its name.
    fn of(scene: Scene) -> Self {
        let summary = scene.pack();
        let job = StageJob { resume: true, ..scene.job(&summary.digest, Some(0)) };
        scene.stage(&job).unwrap();
        let private = job.private.clone();
        fs::rename(private.join("staged"), private.join("partial")).unwrap();
        Interrupted { scene, job, private }
    }

    fn furnished() -> Self {
        let scene = Scene::new(1);
        furnish(&scene.volume(0));
        Interrupted::of(scene)
    }

    fn with(files: &[(&str, &[u8])]) -> Self {
        let scene = Scene::new(1);
        for (name, contents) in files {
            fs::write(scene.volume(0).join(name), contents).unwrap();
        }
        Interrupted::of(scene)
    }

    fn partial(&self) -> PathBuf {
        self.private.join("partial")
    }

    fn staged(&self) -> PathBuf {
        self.private.join("staged")
    }

    /// Another process goes on: the tree is exact, and nothing else is left.
    #[track_caller]
    fn go_on(&self) {
        self.scene.stage(&self.job).unwrap();
        let (wanted, found) = (look_at(&self.scene.volume(0)), look_at(&self.staged()));
        assert_eq!(wanted.keys().collect::<Vec<_>>(), found.keys().collect::<Vec<_>>());
        for (path, look) in &wanted {
            assert_eq!(look, &found[path], "{}", path.display());
        }
        assert_eq!(names(&self.private), ["staged"]);
    }

    /// The same after something was done to what was left.
    #[track_caller]
    fn go_on_after(&self, damage: impl FnOnce(&Path)) {
        damage(&self.partial());
        self.go_on();
    }
}

fn names(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

/// Regular files that have one name, by their paths.
fn inodes(root: &Path) -> BTreeMap<PathBuf, u64> {
    let looks = look_at(root);
    let files = looks.keys().map(|path| (path.clone(), fs::symlink_metadata(root.join(path)).unwrap()));
    files.filter(|(_, meta)| meta.is_file() && meta.nlink() == 1).map(|(path, meta)| (path, meta.ino())).collect()
}

fn inode(path: impl AsRef<Path>) -> u64 {
    fs::symlink_metadata(path).unwrap().ino()
}

#[test]
fn what_was_staged_is_moved_and_not_written_again() {
    let interrupted = Interrupted::furnished();
    let (before, root) = (inodes(&interrupted.partial()), inode(interrupted.partial()));
    assert!(before.len() > 5, "{before:?}");
    interrupted.go_on();
    assert_eq!(inodes(&interrupted.staged()), before);
    assert_ne!(inode(interrupted.staged()), root, "directories are made anew");
}

#[test]
fn a_file_that_is_right_is_not_written_to() {
    let contents = vec![7; 1 << 20];
    let interrupted = Interrupted::with(&[("file", &contents)]);
    let file = fs::File::options().read(true).write(true).open(interrupted.partial().join("file")).unwrap();
    let modified = || file.metadata().unwrap().modified().unwrap();
    let before = modified();
    patch(&file.try_clone().unwrap().into(), 0, &contents).unwrap();
    assert_eq!(modified(), before);
    patch(&file.try_clone().unwrap().into(), 0, &[8]).unwrap();
    assert_ne!(modified(), before, "a write shows");
}

#[test]
fn without_being_asked_for_it_begins_again() {
    let interrupted = Interrupted::with(&[("file", b"contents")]);
    // Held open, so that its inode is not given out again.
    let earlier = fs::File::open(interrupted.partial().join("file")).unwrap();
    let job = StageJob { resume: false, ..interrupted.job.clone() };
    interrupted.scene.stage(&job).unwrap();
    assert_ne!(inode(interrupted.staged().join("file")), earlier.metadata().unwrap().ino());
}

#[test]
fn contents_that_a_power_cut_took_come_back() {
    let mut noise = vec![0; 5 << 20];
    blake3::Hasher::new().update(b"seed").finalize_xof().fill(&mut noise);
    let open = |path: &Path| fs::File::options().write(true).open(path.join("file")).unwrap();
    let damages: [(&str, Damage<'_>); 8] = [
        ("empty", &|partial| open(partial).set_len(0).unwrap()),
        ("cut short", &|partial| open(partial).set_len(3_000_001).unwrap()),
        ("longer", &|partial| open(partial).set_len(9 << 20).unwrap()),
        ("zeros", &|partial| {
            open(partial).set_len(0).unwrap();
            open(partial).set_len(5 << 20).unwrap();
        }),
        ("zeros at the end", &|partial| {
            open(partial).set_len(4096).unwrap();
            open(partial).set_len(5 << 20).unwrap();
        }),
        ("torn", &|partial| open(partial).write_all_at(&[0; 4096], 2 << 20).unwrap()),
        ("another last byte", &|partial| open(partial).write_all_at(b"x", (5 << 20) - 1).unwrap()),
        ("gone", &|partial| fs::remove_file(partial.join("file")).unwrap()),
    ];
    for (what, damage) in damages {
        println!("{what}");
        Interrupted::with(&[("file", &noise), ("beside", b"it")]).go_on_after(damage);
    }
}

#[test]
fn a_sparse_file_that_was_filled_is_sparse_again() {
    Interrupted::furnished().go_on_after(|partial| {
        let sparse = fs::File::options().write(true).open(partial.join("sparse")).unwrap();
        sparse.write_all_at(&[1; 70_000], 1 << 20).unwrap();
        fs::write(partial.join("all hole"), [2; 100]).unwrap();
    });
}

#[test]
fn nothing_that_an_earlier_tree_has_besides_survives() {
    Interrupted::furnished().go_on_after(|partial| {
        fs::write(partial.join("extra"), "x").unwrap();
        fs::create_dir_all(partial.join("a/extra/deeper")).unwrap();
        fs::write(partial.join("a/extra/deeper/file"), "x").unwrap();
        let deep = partial.join("a/b/c/deep");
        rustix::fs::setxattr(&deep, "user.extra", b"x", XattrFlags::empty()).unwrap();
        let acl = super::super::acl::from_text(b"user::rwx,user:70:rwx,group::r-x,mask::rwx,other::---").unwrap();
        rustix::fs::setxattr(&deep, "system.posix_acl_access", &acl, XattrFlags::empty()).unwrap();
        fs::set_permissions(&deep, fs::Permissions::from_mode(0o4777)).unwrap();
        super::roundtrip::set_times(&deep, 5, 5);
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&deep, Some(33), Some(33)).unwrap();
        }
    });
}

#[test]
fn names_that_hold_something_else_are_made_anew_and_what_they_lead_to_is_not_touched() {
    let interrupted = Interrupted::with(&[("file", b"contents"), ("other", b"contents")]);
    let precious = interrupted.scene.path().join("precious");
    let file = interrupted.partial().join("file");
    let plants: [(&str, Damage<'_>); 5] = [
        ("a symbolic link", &|name| symlink(&precious, name).unwrap()),
        ("another name of a file elsewhere", &|name| fs::hard_link(&precious, name).unwrap()),
        ("a FIFO", &|name| {
            rustix::fs::mknodat(CWD, name, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        }),
        ("a directory", &|name| {
            fs::create_dir(name).unwrap();
            fs::write(name.join("x"), "x").unwrap();
        }),
        ("a socket", &|name| drop(std::os::unix::net::UnixListener::bind(name).unwrap())),
    ];
    for (what, plant) in plants {
        println!("{what}");
        fs::write(&precious, "precious").unwrap();
        fs::remove_file(&file).unwrap();
        plant(&file);
        interrupted.go_on();
        assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
        assert_eq!(fs::metadata(&precious).unwrap().nlink(), 1);
        fs::rename(interrupted.staged(), interrupted.partial()).unwrap();
    }
}

#[test]
fn a_directory_that_is_a_link_now_is_not_followed() {
    let scene = Scene::new(1);
    fs::create_dir(scene.volume(0).join("dir")).unwrap();
    fs::write(scene.volume(0).join("dir/file"), "contents").unwrap();
    let interrupted = Interrupted::of(scene);
    let precious = interrupted.scene.path().join("precious");
    interrupted.go_on_after(|partial| {
        fs::rename(partial.join("dir"), &precious).unwrap();
        symlink(&precious, partial.join("dir")).unwrap();
    });
    assert!(precious.join("file").exists(), "a file outside was moved");
}

#[test]
fn one_file_under_two_names_does_not_become_two_files() {
    let interrupted = Interrupted::with(&[("one", b"contents"), ("two", b"contents")]);
    interrupted.go_on_after(|partial| {
        fs::remove_file(partial.join("two")).unwrap();
        fs::hard_link(partial.join("one"), partial.join("two")).unwrap();
    });
    assert_ne!(inode(interrupted.staged().join("one")), inode(interrupted.staged().join("two")));
}

#[test]
fn what_several_crashes_left_comes_together() {
    let names: Vec<String> = (0..9).map(|n| format!("file-{n}")).collect();
    let files: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), name.as_bytes())).collect();
    let interrupted = Interrupted::with(&files);
    let before = inodes(&interrupted.partial());
    for (number, dir) in ["earlier-1", "earlier-3"].into_iter().enumerate() {
        let dir = interrupted.private.join(dir);
        fs::create_dir(&dir).unwrap();
        for name in &names[3 * number..3 * number + 3] {
            fs::rename(interrupted.partial().join(name), dir.join(name)).unwrap();
        }
    }
    interrupted.go_on();
    assert_eq!(inodes(&interrupted.staged()), before);
}

#[test]
fn crashes_without_end_leave_no_trees_without_end() {
    let interrupted = Interrupted::with(&[("file", b"contents")]);
    for number in 1..=8 {
        let dir = interrupted.private.join(format!("earlier-{number}"));
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("old"), "x").unwrap();
    }
    let before = inodes(&interrupted.partial());
    interrupted.go_on();
    assert_eq!(inodes(&interrupted.staged()), before);
}

#[test]
fn a_failure_removes_what_was_set_aside_too() {
    let interrupted = Interrupted::furnished();
    let impatient: Watch = Arc::new(Impatient(AtomicU64::new(1)));
    let error = stage(&interrupted.scene.archive(), &interrupted.job, JOBS, &impatient).unwrap_err();
    assert_eq!(error.kind, FsErrorKind::Cancelled);
    assert_eq!(names(&interrupted.private), Vec::<String>::new());
}

#[test]
fn a_file_is_looked_for_only_where_its_own_directory_stood() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("earlier/a")).unwrap();
    fs::create_dir(dir.path().join("new")).unwrap();
    fs::write(dir.path().join("earlier/file"), "of the root").unwrap();
    fs::write(dir.path().join("earlier/a/inner"), "of a").unwrap();
    let open = |name: &str| fs::File::open(dir.path().join(name)).unwrap();
    let mut earlier = Earlier::new(vec![open("earlier").into()]);
    let new = open("new");
    let adopt = |earlier: &mut Earlier, depth, name: &str| {
        let name = CString::new(Path::new(name).as_os_str().as_bytes()).unwrap();
        earlier.adopt(depth, &name, std::os::fd::AsFd::as_fd(&new), |_| true).is_some()
    };
    earlier.enter(0, c"missing");
    assert!(!adopt(&mut earlier, 1, "file"), "the root's file stands in for one of a directory that did not exist");
    earlier.enter(1, c"a");
    assert!(!adopt(&mut earlier, 2, "inner"));
    earlier.climb(0);
    earlier.enter(0, c"a");
    assert!(adopt(&mut earlier, 1, "inner"));
    earlier.climb(0);
    assert!(adopt(&mut earlier, 0, "file"));
    assert_eq!(earlier.adopted(), 2);
}
