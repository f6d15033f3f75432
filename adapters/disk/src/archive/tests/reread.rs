//! A tree that is read back is the volume it was made of, or the first member is named in which it is not.

use std::{
    fs::{self, File},
    os::unix::fs::{FileExt, PermissionsExt},
    path::Path,
};

use volsnap_core::ports::ReadBack;

use super::{
    copy::job,
    roundtrip::furnish,
    scene::{Scene, quiet},
};

fn read_back(scene: &Scene, digest: &str, root: &Path) -> ReadBack {
    let archive = job(scene, digest, &[]).archive;
    crate::archive::read_back(&scene.archive(), &archive, 0, root, &quiet()).unwrap()
}

#[test]
fn what_was_staged_is_read_back_as_the_same_and_every_change_is_noticed_where_it_is() {
    let scene = Scene::new(1);
    furnish(&scene.volume(0));
    fs::write(scene.volume(0).join("b large"), (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>())
        .unwrap();
    let summary = scene.pack();
    let staged = scene.path().join("staged");
    let stage = || {
        let _ = fs::remove_dir_all(&staged);
        let job = scene.job(&summary.digest, Some(0));
        scene.stage(&job).unwrap();
        fs::rename(job.private.join("staged"), &staged).unwrap();
    };
    stage();
    let back = read_back(&scene, &summary.digest, &staged);
    let totals = &summary.totals[0];
    assert_eq!(
        (back.bytes, back.entries, &back.digest, &back.difference),
        (totals.bytes, totals.entries, &totals.digest, &None)
    );

    type Change = fn(&Path);
    let changes: [(&str, Change); 6] = [
        ("volumes/0/b large", |root| {
            let file = File::options().write(true).open(root.join("b large")).unwrap();
            file.write_all_at(b"!", 11_000_000).unwrap();
        }),
        ("volumes/0/a/b/c/deep", |root| fs::write(root.join("a/b/c/deep"), vec![7; 99_999]).unwrap()),
        ("volumes/0/empty", |root| {
            fs::set_permissions(root.join("empty"), fs::Permissions::from_mode(0o600)).unwrap();
        }),
        ("volumes/0/long link", |root| fs::write(root.join("long added"), "").unwrap()),
        ("volumes/0/zz", |root| fs::remove_file(root.join("zz")).unwrap()),
        ("volumes/0/zz", |root| fs::create_dir(root.join("zzz")).unwrap()),
    ];
    for (member, change) in changes {
        stage();
        // Not what a change of a directory's entries does to its time.
        let before = fs::metadata(&staged).unwrap().modified().unwrap();
        change(&staged);
        File::open(&staged).unwrap().set_modified(before).unwrap();
        let back = read_back(&scene, &summary.digest, &staged);
        assert_ne!(back.digest, totals.digest, "{member}");
        let difference = back.difference.unwrap();
        let near = [member, "volumes/0/long added", "volumes/0/sparse", "volumes/0/zzz"];
        assert!(near.iter().any(|near| difference.contains(near)), "{member}: {difference}");
    }
}

#[test]
fn holes_that_a_filesystem_does_not_keep_are_no_difference_and_what_is_in_them_is() {
    let scene = Scene::new(1);
    furnish(&scene.volume(0));
    let summary = scene.pack();
    let job = scene.job(&summary.digest, Some(0));
    scene.stage(&job).unwrap();
    let staged = job.private.join("staged");
    let fill = |bytes: &[u8]| {
        let path = staged.join("all hole");
        let before = fs::metadata(&path).unwrap().modified().unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        file.write_all_at(bytes, 4096).unwrap();
        file.set_modified(before).unwrap();
        file.sync_all().unwrap();
    };
    fill(&[0; 8192]);
    let back = read_back(&scene, &summary.digest, &staged);
    assert_eq!((back.digest, back.difference), (summary.totals[0].digest.clone(), None));
    fill(&[0, 0, 1]);
    let difference = read_back(&scene, &summary.digest, &staged).difference.unwrap();
    assert!(difference.contains("volumes/0/all hole"), "{difference}");
}
