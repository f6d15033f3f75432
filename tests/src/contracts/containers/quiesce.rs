//! Freezing, fencing and stopping.

use volsnap_core::model::{Pinned, RestartPolicy, RunState};

use super::{Harness, Wanted, find, quiesce, restore, see};

/// The engine starts `always` containers when it starts; not those whose policy was taken.
pub async fn a_fenced_container_is_not_revived_by_a_reboot(h: &mut dyn Harness) {
    let [fenced, free] = ["fenced", "free"].map(|stem| h.name(stem));
    h.add(&Wanted::new(&fenced).policy("always")).await;
    h.add(&Wanted::new(&free).policy("always")).await;
    let pinned = quiesce(h, &fenced).await;
    assert_eq!(pinned.container.restart_policy.name, "always");
    if !h.reboot().await {
        return;
    }
    assert_eq!(see(h, &free).await.run, RunState::Running, "the reboot revives nothing, and proves nothing");
    assert_eq!(see(h, &fenced).await.run, RunState::Stopped);
    let port = h.containers();
    port.set_restart_policy(&pinned.container.id, &pinned.container.restart_policy).await.unwrap();
    assert_eq!(see(h, &fenced).await.policy.name, "always");
    let on_failure = RestartPolicy { name: "on-failure".into(), retries_max: 3 };
    port.set_restart_policy(&pinned.container.id, &on_failure).await.unwrap();
    assert_eq!(find(h, &fenced).await.restart_policy, on_failure);
}

/// What is gone needs no thaw, no fence and no stop.
pub async fn calls_on_what_is_gone_are_no_errors(h: &mut dyn Harness) {
    let name = h.name("gone");
    h.add(&Wanted::new(&name)).await;
    let pinned = Pinned { container: find(h, &name).await, member: true };
    h.remove(&name).await;
    let ids = [pinned.container.id.clone()];
    let port = h.containers();
    port.unpause(&ids).await.unwrap();
    port.stop(&ids).await.unwrap();
    port.set_restart_policy(&ids[0], &RestartPolicy::never()).await.unwrap();
    port.discard(restore()).await.unwrap();
    assert!(port.pause(&ids).await.is_err(), "what is gone cannot be frozen");
}

/// If one container cannot be frozen, none is; what is frozen already counts as frozen.
pub async fn pausing_takes_all_or_none(h: &mut dyn Harness) {
    let [one, two, stopped] = ["one", "two", "stopped"].map(|stem| h.name(stem));
    h.add(&Wanted::new(&one)).await;
    h.add(&Wanted::new(&two)).await;
    h.add(&Wanted::new(&stopped).run(RunState::Stopped)).await;
    let mut ids = Vec::new();
    for name in [&one, &two, &stopped] {
        ids.push(find(h, name).await.id);
    }
    let port = h.containers();
    port.pause(&ids).await.unwrap_err();
    assert_eq!((see(h, &one).await.run, see(h, &two).await.run), (RunState::Running, RunState::Running));
    port.pause(&ids[..2]).await.unwrap();
    port.pause(&ids[..2]).await.unwrap();
    assert_eq!((see(h, &one).await.run, see(h, &two).await.run), (RunState::Paused, RunState::Paused));
    port.unpause(&ids).await.unwrap();
    port.unpause(&ids).await.unwrap();
    assert_eq!((see(h, &one).await.run, see(h, &two).await.run), (RunState::Running, RunState::Running));
    assert_eq!(see(h, &stopped).await.run, RunState::Stopped);
}

/// A frozen container is stopped like another.
pub async fn stopping_thaws_what_is_frozen(h: &mut dyn Harness) {
    let [frozen, running] = ["frozen", "running"].map(|stem| h.name(stem));
    h.add(&Wanted::new(&frozen).run(RunState::Paused)).await;
    h.add(&Wanted::new(&running)).await;
    let ids = [find(h, &frozen).await.id, find(h, &running).await.id];
    h.containers().stop(&ids).await.unwrap();
    assert_eq!((see(h, &frozen).await.run, see(h, &running).await.run), (RunState::Stopped, RunState::Stopped));
    h.containers().stop(&ids).await.unwrap();
}
