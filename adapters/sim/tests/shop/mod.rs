//! An app that runs in one container on a volume, and a snapshot of it.

use jiff::Timestamp;
use uuid::Uuid;
use volsnap_core::model::{
    Hook, Manifest, ManifestVolume, Mode, Origin, RestartPolicy, RunState, Selector, Snapshot, SnapshotId, Source,
    Workload, WorkloadId,
};
use volsnap_sim::{ContainerSpec, DiskSpec, HealthBehaviour, World, WorldBuilder};

/// The app is registered as `shop` with those hooks, and its volume is on a disk of its own.
pub fn shop(hooks: Vec<Hook>, health: HealthBehaviour) -> (World, Workload, Snapshot) {
    let workload = Workload {
        id: WorkloadId(Uuid::from_u128(1)),
        name: "shop".into(),
        source: Source::Image,
        selector: Selector { containers: vec!["app".into()], ..Selector::default() },
        volumes: vec![],
        created_at: Timestamp::UNIX_EPOCH,
        hooks,
        known: Vec::new(),
    };
    let manifest = Manifest {
        format: 1,
        snapshot: SnapshotId(Uuid::from_u128(2)),
        workload: workload.id,
        workload_name: workload.name.clone(),
        source: Source::Image,
        created_at: Timestamp::UNIX_EPOCH,
        mode: Mode::Stop,
        origin: Origin::Manual,
        note: None,
        images: vec![],
        imported: None,
        sequence: None,
        registration: None,
        volumes: vec![ManifestVolume { target: "/data".into(), absent: false, ..ManifestVolume::default() }],
    };
    let app = ContainerSpec {
        run: RunState::Running,
        // Back after a power cut: in a container that does not run, no hook can.
        policy: RestartPolicy { name: "always".into(), retries_max: 0 },
        health,
        ..ContainerSpec::named("app").bind("/data", "/srv/data")
    };
    let (builder, archive) = WorldBuilder::new(DiskSpec::at("/"), "/state")
        .disk(DiskSpec::at("/srv"))
        .tree("/srv/data", &[("a", "old")])
        .container(app)
        .workload(workload.clone())
        .archive(&manifest, &[vec![("a", "new")]]);
    (builder.build(), workload, Snapshot::from(archive))
}
