//! Archives that are not believed, through the real binary: damaged ones end with 9 and `corrupt`, hostile ones, whose
//! digests agree with the index and with the catalog, with 10 and `hostile`; nothing of the app's is touched by either.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's way to fail is to panic")]

mod forge;
#[path = "../support/mod.rs"]
mod support;

use std::{fs, path::PathBuf};

use serde_json::json;
use tar::EntryType;
use volsnap_core::{
    model::{Snapshot, SnapshotId},
    ports::{Archives, Store},
};
use volsnap_disk::Disk;
use volsnap_sqlite::SqliteStore;

use self::{
    forge::{Forged, Parts},
    support::World,
};

/// A workload with the one volume `/data` and a snapshot of it, in which `large` fills more than one frame.
struct Place {
    world: World,
    id: String,
    archive: PathBuf,
    sound: Vec<u8>,
}

impl Place {
    fn new(large: bool) -> Self {
        let world = World::new();
        if large {
            let mut noise = vec![0; 9 << 20];
            blake3::Hasher::new().finalize_xof().fill(&mut noise);
            fs::write(world.live("data").join("large"), noise).unwrap();
        }
        let data = world.declare("/data", "data");
        world.ok(&["workload", "add", "app", "--volume", &data]);
        let id = world.create();
        let archive = world.archive(&id);
        let sound = fs::read(&archive).unwrap();
        fs::write(world.live("data").join("file"), "changed since").unwrap();
        Place { world, id, archive, sound }
    }

    /// Asserts that a command says why it does not believe the archive, what to do, and that nothing else happened.
    #[track_caller]
    fn refuses(&self, code: &str, status: i32, args: &[&str], what: &str) -> String {
        let message = self.world.fails(code, status, args);
        let document = self.world.json_with(status, args);
        let hint = document["error"]["hint"].as_str().unwrap_or_default();
        assert!(!hint.is_empty(), "{what}: {args:?}: {document}");
        assert_eq!(self.world.json(&["status"])["open"], json!([]), "{what}: {args:?}");
        assert!(!self.world.journal(&self.world.workload()).exists(), "{what}: {args:?}: the journal is left");
        message
    }

    fn restore(&self) -> [&str; 4] {
        ["restore", "app", &self.id, "--yes"]
    }

    /// Makes the catalog agree with whatever archive lies there, as one who can write to both would.
    fn catalogue(&self) {
        let id: SnapshotId = self.id.parse().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let store = SqliteStore::open(&self.world.state().join("catalog.db")).await.unwrap();
            let listed = store.snapshots(None).await.unwrap().into_iter().find(|s| s.id() == id).unwrap();
            let disk = Disk::open(&self.world.state()).unwrap();
            let archive = disk.read_archive(listed.workload(), id).await.unwrap();
            store.put_snapshot(&Snapshot::from(archive)).await.unwrap();
            store.close().await;
        });
    }
}

#[test]
fn damage_is_corrupt_whichever_command_meets_it_and_nothing_is_touched() {
    let place = Place::new(true);
    let Parts { index, seek_table, .. } = Parts::of(place.sound.clone());
    let parts = Parts::of(place.sound.clone());
    let (second, length) = (parts.frame(1), place.sound.len());
    let flipped = |at: usize| {
        let mut bytes = place.sound.clone();
        bytes[at] ^= 0x10;
        bytes
    };
    let damages: [(&str, Vec<u8>); 9] = [
        ("a byte of a frame", flipped(second.start + second.len() / 2)),
        ("a byte of the manifest", flipped(parts.frame(0).start + 20)),
        ("a byte of the index", flipped(index.start + index.len() / 2)),
        ("a byte of the index's digest", flipped(index.end + 20)),
        ("a byte of the seek table", flipped(seek_table.start + 12)),
        ("one byte short", place.sound[..length - 1].to_vec()),
        ("half of it", place.sound[..length / 2].to_vec()),
        ("trailing garbage", [&place.sound[..], b"garbage"].concat()),
        ("nothing", Vec::new()),
    ];
    let id = place.id.as_str();
    for (what, bytes) in damages {
        fs::write(&place.archive, bytes).unwrap();
        let message = place.refuses("corrupt", 9, &["verify", id], what);
        let restored = place.refuses("corrupt", 9, &place.restore(), what);
        if what == "a byte of a frame" {
            assert!(message.contains("`volumes/0`"), "it names the member from which on it is damaged: {message}");
            assert!(restored.contains("nothing of it was touched"), "{restored}");
        }
        // What is in the middle of a large file is not read for a list, and not for a plan.
        if what != "a byte of a frame" {
            place.refuses("corrupt", 9, &["ls", id], what);
            place.refuses("corrupt", 9, &["plan", "app", id], what);
        }
        place.refuses("corrupt", 9, &["dump", id, "/data", "file"], what);
    }
    fs::write(&place.archive, &place.sound).unwrap();
    place.world.ok(&["verify", id]);
    assert_eq!(place.world.json(&place.restore())["outcome"], "restored");
}

#[test]
fn an_archive_that_was_replaced_by_another_sound_one_is_corrupt() {
    let place = Place::new(false);
    Forged::rooted().file("volumes/0/planted", b"planted").plant(&place.archive);
    for args in [&["verify", &place.id][..], &["ls", &place.id], &["plan", "app", &place.id], &place.restore()] {
        let message = place.refuses("corrupt", 9, args, "replaced");
        assert!(message.contains(&place.id), "{message}");
    }
}

/// The forge itself: without this, everything below could be refused for a reason that nobody means.
#[test]
fn a_sound_forgery_that_the_catalog_knows_is_restored() {
    let place = Place::new(false);
    Forged::rooted()
        .file("volumes/0/a", b"contents")
        .entry("volumes/0/b", EntryType::Link, "volumes/0/a", b"")
        .entry("volumes/0/c", EntryType::Symlink, "../../etc/passwd", b"")
        .file("volumes/0/d", &vec![0; 9 << 20])
        .file("volumes/0/e", b"behind it")
        .with("volumes/0/f", b"with a record", &[("mtime", "1.5")])
        .plant(&place.archive);
    place.catalogue();
    place.world.ok(&["verify", &place.id]);
    assert_eq!(place.world.json(&place.restore())["outcome"], "restored");
    assert_eq!(fs::read(place.world.live("data").join("b")).unwrap(), b"contents");
}

fn hostile() -> Vec<(&'static str, Forged)> {
    let root = Forged::rooted;
    let device = |kind| {
        root().member("volumes/0/device", kind, "", b"", &[], |head| {
            head.set_device_major(1).unwrap();
            head.set_device_minor(3).unwrap();
        })
    };
    let link_above = root().entry("volumes/0/a", EntryType::Symlink, "../..", b"");
    let a = || root().file("volumes/0/a", b"1");
    let mut many = root();
    for nth in 0..5000 {
        many = many.file(&format!("volumes/0/m{nth:04}"), b"");
    }
    let sized = |size| root().member("volumes/0/a", EntryType::Regular, "", b"x", &[], move |h| h.set_size(size));
    vec![
        ("a name above", root().file("../escaped", b"x")),
        ("a name above, from below", root().file("volumes/0/../../escaped", b"x")),
        ("an absolute name", root().file("/tmp/volsnap-escaped", b"x")),
        ("an absolute name in a record", root().with("volumes/0/a", b"x", &[("path", "/tmp/volsnap-escaped")])),
        ("another volume's name", root().file("volumes/1/a", b"x")),
        ("a symbolic link as a parent", link_above.clone().file("volumes/0/a/planted", b"x")),
        ("a hard link to the outside", a().entry("volumes/0/b", EntryType::Link, "/etc/passwd", b"")),
        ("a hard link above", a().entry("volumes/0/b", EntryType::Link, "volumes/0/../../file", b"")),
        ("a hard link to a link", link_above.entry("volumes/0/b", EntryType::Link, "volumes/0/a", b"")),
        ("a character device", device(EntryType::Char)),
        ("a block device", device(EntryType::Block)),
        ("a member twice", a().file("volumes/0/a", b"2")),
        ("members out of order", root().file("volumes/0/b", b"").file("volumes/0/a", b"")),
        ("a size beyond all sizes", sized(u64::MAX)),
        ("two sizes", root().with("volumes/0/a", b"contents", &[("size", "18446744073709551615")])),
        ("data in a hole", root().with("volumes/0/a", b"contents", &[("VOLSNAP.holes", "2:4")])),
        ("a hole beyond the end", root().with("volumes/0/a", b"contents", &[("VOLSNAP.holes", "4:100")])),
        ("a record that nobody knows", root().with("volumes/0/a", b"", &[("GNU.sparse.major", "1")])),
        ("more entries than it says", Forged { entries_said: Some(10), ..many }),
        ("more bytes than it says", Forged { bytes_said: Some(10), ..root().file("volumes/0/a", &vec![0; 64 << 20]) }),
    ]
}

#[test]
fn a_hostile_archive_is_refused_while_it_is_staged_and_nothing_is_touched() {
    let place = Place::new(false);
    for (what, forged) in hostile() {
        forged.plant(&place.archive);
        place.catalogue();
        let message = place.refuses("hostile", 10, &place.restore(), what);
        assert!(message.contains("nothing of it was touched"), "{what}: {message}");
        assert!(!PathBuf::from("/tmp/volsnap-escaped").exists(), "{what}");
        let last = &place.world.json(&["events", "app", "--limit", "1"])["events"][0];
        assert_eq!(last["outcome"], "aborted", "{what}: the audit trail has it: {last}");
    }
    fs::write(&place.archive, &place.sound).unwrap();
    place.catalogue();
    assert_eq!(place.world.json(&place.restore())["outcome"], "restored", "the next one is not in the way of it");
}

/// What only the place into which it would be extracted, or the policy of a restore, makes hostile.
const SOUND_UNTIL_EXTRACTED: [&str; 3] = ["a hard link to a link", "a character device", "a block device"];

#[test]
fn verify_and_ls_call_a_hostile_archive_hostile_and_hand_on_no_name_out_of_its_place() {
    let place = Place::new(false);
    for (what, forged) in hostile() {
        forged.plant(&place.archive);
        place.catalogue();
        if SOUND_UNTIL_EXTRACTED.contains(&what) {
            place.world.ok(&["verify", &place.id]);
            place.world.ok(&["ls", &place.id]);
            continue;
        }
        // A restore has the index's word as its limit. Without a limit it is an index that contradicts its volume.
        let (code, status) = if what.ends_with("than it says") { ("corrupt", 9) } else { ("hostile", 10) };
        place.refuses(code, status, &["verify", &place.id], what);
        let listed = place.world.run(&["ls", &place.id, "--json"]);
        let members = &listed.json()["members"];
        assert!(!members.to_string().contains("escaped"), "{what}: {listed:?}");
        match listed.status {
            0 => {}
            status => assert_eq!((status, &listed.json()["error"]["code"]), (10, &json!("hostile")), "{what}"),
        }
    }
}

/// What a frame unpacks to is bounded by what the index says: this is damage, whoever made it.
#[test]
fn a_frame_that_unpacks_to_more_than_the_index_says_is_corrupt() {
    let place = Place::new(false);
    let bomb = Forged { frame_bytes_said: Some(4096), ..Forged::rooted().file("volumes/0/a", &vec![0; 3 << 20]) };
    bomb.plant(&place.archive);
    place.catalogue();
    for args in [&["verify", &place.id][..], &place.restore()] {
        place.refuses("corrupt", 9, args, "a bomb");
    }
}
