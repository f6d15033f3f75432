//! The journal on disk: what it looks like, what is refused, and which entry may follow which.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test's way to fail is to panic"
)]

use jiff::Timestamp;
use proptest::prelude::*;
use uuid::Uuid;
use volsnap_core::{
    error::{Code, Error},
    model::{Identity, Redeploy, RestoreId, Selector, SnapshotId, Source, Workload, WorkloadId},
    restore::{
        Body, Entry, Journal, JournalError, Options, Plan, PlannedVolume, Record, Safety, State, journal::Reopening,
        plan::Method,
    },
};

fn sample_plan() -> Plan {
    Plan {
        restore: RestoreId(Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0001)),
        workload: Workload {
            id: WorkloadId(Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0002)),
            name: "shop".into(),
            source: Source::Image,
            selector: Selector { compose_project: Some("shop".into()), ..Selector::default() },
            volumes: vec![],
            created_at: Timestamp::UNIX_EPOCH,
            hooks: vec![],
            known: Vec::new(),
        },
        host: "0123456789abcdef".into(),
        runtime: None,
        created_at: Timestamp::UNIX_EPOCH,
        snapshot: SnapshotId(Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0003)),
        snapshot_created_at: Timestamp::UNIX_EPOCH,
        sequence: 0,
        archive_digest: "ab".repeat(32),
        safety: SnapshotId(Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0004)),
        kept: None,
        record: None,
        options: Options { redeploy: Redeploy::Recreate, ..Options::default() },
        volumes: vec![PlannedVolume {
            target: "/data".into(),
            archived_as: None,
            live: "/srv/shop/data".into(),
            parent: Identity { inode: 2, birth_ns: Some(1), subvolume: None },
            original: Some(Identity { inode: 12, birth_ns: Some(1_700_000_000_000_000_000), subvolume: None }),
            index: Some(0),
            method: Method::Exchange,
            reason: "ext4 exchanges two names in one step".into(),
            bytes: 10,
            bytes_allocated: 4096,
            entries: 2,
            kept: None,
        }],
        containers: vec![],
        images: vec![],
        down: vec![],
        dependants: vec![],
        filesystems: vec![],
        refusals: vec![],
        warnings: vec![],
        notes: vec![],
    }
}

fn record(entry: Entry) -> Record {
    Record { at: Timestamp::UNIX_EPOCH, entry }
}

fn sample() -> Journal {
    let mut state = State::opened(sample_plan(), Timestamp::UNIX_EPOCH);
    for entry in [
        Entry::Pinned { containers: vec![] },
        Entry::Committed {
            restored: vec![Identity { inode: 34, birth_ns: Some(1_700_000_001_000_000_000), subvolume: None }],
        },
        Entry::Switched,
        Entry::Redeployed { problem: None },
        Entry::Captured { safety: Safety::Taken },
        Entry::Closed,
    ] {
        state.append(record(entry)).unwrap();
    }
    state.journal()
}

/// Keeps a journal for the seeds of the fuzz target, if `cargo xtask fuzz seeds` asks for it.
fn keep(journal: &Journal) -> Vec<u8> {
    let bytes = journal.encode().unwrap();
    if let Some(wanted) = std::env::var_os("VOLSNAP_FUZZ_SEEDS") {
        let dir = std::path::Path::new(&wanted).join("journal");
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join(&blake3::hash(&bytes).to_hex()[..16]), &bytes).unwrap();
    }
    bytes
}

/// Journals outlive the version that wrote them: these files were written by formats 1 and 2 and are never changed.
const FIRST: &[u8] = include_bytes!("samples/journal-1.json");
const FROZEN: &[u8] = include_bytes!("samples/journal-2.json");

#[test]
fn a_journal_of_an_earlier_format_is_read_for_ever() {
    assert_eq!(Journal::decode(FIRST).unwrap(), sample());
}

#[test]
fn what_is_written_today_is_still_format_2() {
    let written = keep(&sample());
    assert_eq!(String::from_utf8_lossy(&written), String::from_utf8_lossy(FROZEN));
}

#[test]
fn only_what_is_said_of_kept_originals_needs_format_3() {
    let Body::Restore(records) = sample().body else { panic!("a restore") };
    let mut state = State::replay(&records[..records.len() - 2]).unwrap();
    let kept = Safety::Kept { reason: "a full disk".into() };
    state.append(record(Entry::Captured { safety: kept })).unwrap();
    state.append(record(Entry::Closed)).unwrap();
    let format = |state: &State| String::from_utf8(state.journal().encode().unwrap()).unwrap()[..12].to_string();
    assert_eq!(format(&state), r#"{"format":2,"#);
    let plan = Plan { kept: Some(RestoreId(Uuid::nil())), ..sample_plan() };
    assert_eq!(format(&State::opened(plan, Timestamp::UNIX_EPOCH)), r#"{"format":3,"#);
    let safety = SnapshotId(Uuid::from_u128(9));
    state.append(record(Entry::Reopened { to: Reopening::Archive { safety } })).unwrap();
    assert_eq!(format(&state), r#"{"format":3,"#);
    assert_eq!((state.plan.safety, state.captured.clone(), state.closed), (safety, None, false));
    let Body::Restore(records) = Journal::decode(&keep(&state.journal())).unwrap().body else { panic!("a restore") };
    assert_eq!(State::replay(&records).unwrap(), state);
}

#[test]
fn white_space_after_the_document_is_the_file_s_padding() {
    let mut padded = FROZEN.to_vec();
    padded.extend([b'\n'; 5000]);
    assert_eq!(Journal::decode(&padded).unwrap(), sample());
}

#[test]
fn a_newer_journal_is_kept_for_a_newer_version() {
    let newer = br#"{"format":4,"checksum":"","body":{"restore":"in words we do not know"}}"#;
    let error = Journal::decode(newer).unwrap_err();
    assert_eq!(error, JournalError::Newer { found: 4 });
    assert_eq!(Error::from(error).code, Code::NeedsAttention);
}

/// The journal with another body, whole by its checksum.
fn with_body(body: &serde_json::Value) -> Vec<u8> {
    let body = body.to_string();
    let checksum = blake3::hash(body.as_bytes()).to_hex();
    format!(r#"{{"format":2,"checksum":"{checksum}","body":{body}}}"#).into_bytes()
}

/// What may stand in a journal as any JSON, since it is the container engine's: each has a name of its own there.
const OPAQUE: [&str; 1] = ["spec"];

/// Every object in a value, by its pointer.
fn objects(value: &serde_json::Value, at: &str, found: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(fields) => {
            found.push(at.to_string());
            for (name, field) in fields.iter().filter(|(name, _)| !OPAQUE.contains(&name.as_str())) {
                objects(field, &format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")), found);
            }
        }
        serde_json::Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| objects(item, &format!("{at}/{index}"), found));
        }
        _ => {}
    }
}

#[test]
fn what_tomorrow_adds_to_a_journal_is_newer_and_never_damaged_or_overlooked() {
    let whole: serde_json::Value = serde_json::from_slice(FROZEN).unwrap();
    let body = &whole["body"];
    let mut places = Vec::new();
    objects(body, "", &mut places);
    assert!(places.len() > 20, "{places:?}");
    let mut overlooked = Vec::new();
    for place in &places {
        let mut tomorrow = body.clone();
        let object = tomorrow.pointer_mut(place).and_then(|found| found.as_object_mut()).unwrap();
        object.insert("of-tomorrow".into(), serde_json::json!({ "a": [1] }));
        match Journal::decode(&with_body(&tomorrow)) {
            Err(error @ JournalError::Unknown(_)) => {
                let error = Error::from(error);
                assert_eq!(error.code, Code::NeedsAttention, "{place}: {error}");
                assert!(error.message.contains("newer"), "{place}: {error}");
            }
            Err(error) => panic!("{place}: {error}"),
            Ok(_) => overlooked.push(place),
        }
    }
    assert!(overlooked.is_empty(), "what is added there is not noticed: {overlooked:#?}");
    assert_eq!(Journal::decode(&with_body(body)).unwrap(), sample(), "and it is only that");
}

#[test]
fn every_altered_byte_is_noticed() {
    for at in 0..FROZEN.len() - 1 {
        let mut altered = FROZEN.to_vec();
        altered[at] ^= 1;
        assert!(Journal::decode(&altered).is_err(), "byte {at} is {:?} and nobody minds", altered[at] as char);
    }
}

#[test]
fn every_truncated_journal_is_noticed() {
    for length in 0..FROZEN.len() - 1 {
        assert!(Journal::decode(&FROZEN[..length]).is_err(), "{length} bytes are taken for a journal");
    }
}

#[test]
fn a_live_path_that_no_plan_has_is_refused_even_with_a_good_checksum() {
    for bad in ["/", "srv/data", "/srv/../etc", ""] {
        let mut plan = sample_plan();
        plan.volumes[0].live = bad.into();
        let bytes = State::opened(plan, Timestamp::UNIX_EPOCH).journal().encode().unwrap();
        assert!(matches!(Journal::decode(&bytes), Err(JournalError::Illegal(_))), "{bad:?} is followed");
    }
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let id = Identity { inode: 1, birth_ns: None, subvolume: None };
    prop_oneof![
        Just(Entry::Opened { plan: Box::new(sample_plan()) }),
        Just(Entry::Pinned { containers: vec![] }),
        Just(Entry::Committed { restored: vec![id] }),
        Just(Entry::Committed { restored: vec![] }),
        Just(Entry::Switched),
        Just(Entry::Named),
        Just(Entry::ParentsTaken { parents: vec![id] }),
        Just(Entry::ParentsTaken { parents: vec![] }),
        Just(Entry::Aborted { code: Code::Aborted, reason: "a test".into() }),
        Just(Entry::Reverted),
        Just(Entry::Redeployed { problem: None }),
        Just(Entry::Captured { safety: Safety::Taken }),
        Just(Entry::Closed),
        Just(Entry::Captured { safety: Safety::Kept { reason: "a test".into() } }),
        Just(Entry::Reopened { to: Reopening::Archive { safety: SnapshotId(Uuid::nil()) } }),
        Just(Entry::Reopened { to: Reopening::Discard { event: Uuid::nil() } }),
    ]
}

proptest! {
    /// Whatever is offered to the law, what it lets through keeps the order on which the promise rests.
    #[test]
    fn the_law_lets_nothing_through_out_of_order(entries in proptest::collection::vec(any_entry(), 0..40)) {
        let mut state = State::opened(sample_plan(), Timestamp::UNIX_EPOCH);
        for entry in entries {
            let _ = state.append(record(entry));
        }
        let names: Vec<&str> = state.records.iter().map(|r| r.entry.name()).collect();
        let at = |name: &str| names.iter().position(|n| *n == name);
        let follows = |later: &str, earlier: &str| at(later).is_none_or(|l| at(earlier).is_some_and(|e| e < l));
        prop_assert!(follows("committed", "pinned"), "{names:?}");
        prop_assert!(follows("switched", "committed"), "{names:?}");
        prop_assert!(follows("captured", "switched"), "{names:?}");
        prop_assert!(follows("reverted", "aborted"), "{names:?}");
        prop_assert!(at("captured").is_none() || at("aborted").is_none(), "{names:?}");
        prop_assert!(at("captured").is_none() || at("aborted").is_none(), "{names:?}");
        // What comes after the end is only about originals that were kept, and ends in its turn.
        let reopened = names.iter().enumerate().filter(|(_, name)| **name == "reopened").map(|(at, _)| at);
        for at in reopened {
            prop_assert!(names[at - 1] == "closed", "{names:?}");
            prop_assert!(names[at + 1..].iter().all(|n| matches!(*n, "captured" | "closed" | "reopened")), "{names:?}");
        }
        let closed = names.iter().enumerate().filter(|(_, name)| **name == "closed").map(|(at, _)| at);
        for at in closed {
            prop_assert!(names.get(at + 1).is_none_or(|next| *next == "reopened"), "{names:?}");
        }
        prop_assert!(at("reopened").unwrap_or(names.len()) <= 10, "{names:?}");
        let Body::Restore(records) = Journal::decode(&keep(&state.journal())).unwrap().body else { panic!("a restore") };
        prop_assert_eq!(State::replay(&records).unwrap(), state);
    }
}

#[test]
fn a_subvolume_is_written_down_where_it_is_known_and_its_absence_is_not() {
    for subvolume in [Some(257), None] {
        let mut plan = sample_plan();
        plan.volumes[0].original = Some(Identity { inode: 256, birth_ns: Some(1), subvolume });
        let journal = State::opened(plan, Timestamp::UNIX_EPOCH).journal();
        let bytes = keep(&journal);
        assert_eq!(String::from_utf8_lossy(&bytes).contains("\"subvolume\":257"), subvolume.is_some());
        assert_eq!(Journal::decode(&bytes).unwrap(), journal);
    }
}

#[test]
fn the_wish_to_be_resumed_is_kept_and_its_absence_is_not_written() {
    let journal = |resume| {
        let plan = Plan { options: Options { resume, ..Options::default() }, ..sample_plan() };
        State::opened(plan, Timestamp::UNIX_EPOCH).journal()
    };
    for resume in [true, false] {
        let bytes = keep(&journal(resume));
        assert_eq!(String::from_utf8_lossy(&bytes).contains("\"resume\""), resume);
        assert_eq!(Journal::decode(&bytes).unwrap(), journal(resume));
    }
}
