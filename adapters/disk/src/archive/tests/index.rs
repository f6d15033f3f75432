//! The index of an archive in memory.

use std::{
    fs::{self, File},
    io::Write,
    process::Command,
};

use volsnap_core::model::VolumeTotals;

use super::{
    super::format::{Digest, Frame, Index, Volume, write_end},
    forge::Forged,
    scene::Scene,
};
use crate::{archive::summary, tree::Trouble};

const FRAMES: usize = 300_000;

/// A number of `/proc/self/status`, in bytes.
fn status(key: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(key)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// The other process of the test below, whose memory nobody else uses; nothing by itself.
#[test]
fn reader() {
    let Some(path) = std::env::var_os("VOLSNAP_TEST_INDEX") else { return };
    let before = status("VmRSS:");
    let index_bytes = fs::metadata(&path).unwrap().len() - FRAMES as u64;
    assert_eq!(summary(path.as_ref()).unwrap().totals.len(), 1);
    let grown = status("VmHWM:") - before;
    // The index is some 190 bytes of text for a frame here, and 104 bytes in memory.
    assert!(grown < index_bytes * 3 / 4, "{grown} bytes of memory for an index of {index_bytes}");
}

#[test]
fn a_large_index_takes_no_more_memory_than_what_it_says() {
    let scene = Scene::new(1);
    Forged::rooted().write(&scene, |_| {});
    let whole = super::super::open::Archive::open(&scene.archive(), 1).unwrap();
    let manifest = whole.index.frames[0].clone();
    let bytes = fs::read(scene.archive()).unwrap();
    let one = Frame { stored_bytes: 1, stored_digest: Digest([0; 32]), bytes: 1, digest: Digest([0; 32]), first: None };
    let mut frames = vec![manifest.clone()];
    frames.resize(FRAMES, one);
    let own = &frames[1..FRAMES - 1];
    let totals = VolumeTotals { digest: Index::digest_of(own).hex(), ..VolumeTotals::default() };
    let volumes = vec![Volume { first_frame: 1, frame_count: own.len(), totals }];
    let index = Index { format: 1, quiesced_ms: 0, volumes, frames };
    let mut file = File::create(scene.archive()).unwrap();
    file.write_all(&bytes[..manifest.stored_bytes as usize]).unwrap();
    file.write_all(&vec![0; FRAMES - 1]).unwrap();
    write_end(&index, &mut file, &Trouble::new(volsnap_core::ports::FsOp::Archive, &scene.archive())).unwrap();
    let mut reader = Command::new(std::env::current_exe().unwrap());
    reader.args(["--exact", "archive::tests::index::reader", "--nocapture"]);
    let done = reader.env("VOLSNAP_TEST_INDEX", scene.archive()).output().unwrap();
    let said = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
    assert!(done.status.success() && said.contains("1 passed"), "{said}");
}
