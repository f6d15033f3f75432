//! Every error of every call, bits that turn, futures that are dropped, people who meddle.

use volsnap_core::ports::{Filesystem, FsErrorKind};
use volsnap_sim::{DiskSpec, Fault, Machine, Reach, WorldBuilder};
use volsnap_tests::{
    crash::{
        Budget,
        sim::faults::{self, ERRNOS, Finding, Tally, failure_of},
    },
    worlds,
};

fn fail_on_findings(tally: &Tally) {
    println!("{tally}");
    for Finding { scene, strikes, wrongs, story } in &tally.findings {
        println!("VIOLATION in {scene}, {strikes}: {wrongs:#?}\n{}", story.join("\n"));
    }
    assert!(tally.findings.is_empty(), "{} violations", tally.findings.len());
    assert!(tally.struck() > 5, "{} strikes are no trial", tally.struck());
}

#[test]
fn every_fault_ends_all_original_or_all_restored() {
    fail_on_findings(&faults::faults(Budget::from_env()));
}

/// An error number whose kind the disk adapter changes is struck with its new kind from then on; this says which kinds
/// the fifteen have, so that such a change is seen here too.
#[test]
fn the_simulator_reports_for_each_error_number_what_the_disk_adapter_reports() {
    use FsErrorKind::{Denied, Exists, Io, NoSpace, NotFound, Transient, Unsupported};
    let kinds = [
        Io,
        NoSpace,
        NoSpace,
        Denied,
        Transient,
        Transient,
        Transient,
        Unsupported,
        Unsupported,
        Unsupported,
        Unsupported,
        Denied,
        Denied,
        NotFound,
        Exists,
    ];
    for (errno, kind) in ERRNOS.into_iter().zip(kinds) {
        let mut world = WorldBuilder::new(DiskSpec::at("/"), "/state").build();
        world.strike(0, Fault::Error { failure: failure_of(errno, false), reach: Reach::Once });
        let machine = Machine::start(world);
        let looked = machine.run(machine.disks().look("/state".as_ref())).done().unwrap();
        let error = looked.unwrap_err();
        assert_eq!(error.kind, kind, "{errno}");
        assert!(error.message.ends_with(&format!("(errno {})", errno.raw_os_error())), "{}", error.message);
        assert_eq!(failure_of(errno, true).kind, FsErrorKind::SyncFailed, "a sync fails in one way only");
    }
    assert_eq!(worlds::small().len(), 40, "the worlds that are struck are chosen by index");
}
