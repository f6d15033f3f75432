//! Bringing containers back: as they are, or made anew beside the old one, which goes only when the restore is closed.
//!
//! A replacement goes through these states, each found again by the names alone after a crash:
//!
//! | own name    | retired name | passing name | what happened                              | what comes next          |
//! |-------------|--------------|--------------|--------------------------------------------|--------------------------|
//! | original    | –            | –            | nothing, or a crash before `prepare`       | make the replacement     |
//! | original    | –            | replacement  | prepared                                   | retire the original      |
//! | –           | original     | replacement  | crash between the renames                  | name the replacement     |
//! | –           | original     | –            | the engine lost the replacement            | make it from the record  |
//! | replacement | original     | –            | named, perhaps started                     | start                    |
//! | replacement | –            | –            | closed, or the original vanished by itself | see that it runs         |
//! | –           | –            | any          | the original vanished when it was stopped  | name or make, then start |
//!
//! A person may rename the original in the middle: it is found by its id, and gets its own name back first.
//!
//! On the way back (`Redeploy::Restart`) the original, wherever it waits, gets its name back and is started. Only if there
//! is none any more, or if it cannot be started since what it refers to is gone, another one stays or is made.

use std::collections::BTreeMap;

use bollard::models::ContainerInspectResponse;
use futures_util::future::{join_all, try_join};
use volsnap_core::{
    model::{
        Container, Pinned, Redeploy, RestartPolicy, RestoreId, RunState,
        container::{is_ours, passing_name, retired_name},
    },
    ports::{EngineError, EngineErrorKind},
};

use crate::{
    api::{Api, name_of},
    fresh::{freshened, start_fresh},
    look::run_state,
    order::waves,
    quiesce,
    record::{Peers, Record, Standing, references},
};

type Result<T> = std::result::Result<T, EngineError>;

/// Brings the containers back, each after those that it depends on. One that fails does not keep the others down; the
/// first failure is reported.
pub(crate) async fn redeploy(api: &Api, restore: RestoreId, pinned: &[Pinned], how: Redeploy) -> Result<()> {
    let depends_on = pinned.iter().map(|p| (p.container.name.clone(), p.container.depends_on.clone())).collect();
    let by_name: BTreeMap<&str, &Pinned> = pinned.iter().map(|p| (p.container.name.as_str(), p)).collect();
    let mut failure = None;
    for wave in waves(&depends_on) {
        let wave: Vec<&Pinned> = wave.iter().filter_map(|name| by_name.get(name.as_str()).copied()).collect();
        for result in join_all(wave.iter().map(|p| bring_back(api, restore, p, how))).await {
            failure = failure.or(result.err());
        }
    }
    if let Err(error) = api.settle().await {
        failure = failure.or(Some(error));
    }
    failure.map_or(Ok(()), Err)
}

/// Makes the replacement of a container under its passing name, or finds it made.
pub(crate) async fn prepare(api: &Api, restore: RestoreId, container: &Container) -> Result<()> {
    make(api, restore, container, Which::Prepared).await.map(|_| ())
}

/// Removes what carries a name of the restore and does not run; a retired container whose own name is free gets it
/// back instead.
pub(crate) async fn discard(api: &Api, restore: RestoreId) -> Result<()> {
    let listed = api.list().await?;
    let names = listed.iter().flat_map(|c| c.names.iter().flatten()).map(|name| name.trim_start_matches('/'));
    let names: Vec<&str> = names.filter(|name| is_ours(name, restore)).collect();
    let mut ours = BTreeMap::new();
    for name in names {
        ours.extend(api.inspect(name).await?.map(|seen| (name.to_string(), seen)));
    }
    for name in users_first(&ours) {
        let Some(seen) = ours.remove(&name).filter(|seen| !run_state(seen.state.as_ref()).is_active()) else {
            continue;
        };
        let own = retired_own_name(&name, restore);
        match own {
            Some(own) if api.inspect(own).await?.is_none() => api.rename(id(&seen), own).await?,
            _ => api.remove(id(&seen)).await?,
        }
    }
    Ok(())
}

/// Each before those of which it uses something: Podman removes none that another one refers to.
fn users_first(ours: &BTreeMap<String, ContainerInspectResponse>) -> Vec<String> {
    let is = |(name, seen): &(&String, &ContainerInspectResponse), of: &str| *name == of || id(seen) == of;
    let used = |seen: &ContainerInspectResponse| {
        let references = seen.host_config.iter().flat_map(references);
        let names = references.filter_map(|(of, _)| ours.iter().find(|one| is(one, &of)).map(|(name, _)| name.clone()));
        names.collect::<Vec<String>>()
    };
    let order = waves(&ours.iter().map(|(name, seen)| (name.clone(), used(seen))).collect());
    order.into_iter().rev().flatten().collect()
}

fn retired_own_name(name: &str, restore: RestoreId) -> Option<&str> {
    name.strip_suffix(retired_name("", restore).as_str())
}

async fn bring_back(api: &Api, restore: RestoreId, pinned: &Pinned, how: Redeploy) -> Result<()> {
    let container = &pinned.container;
    match (container.run, how) {
        (RunState::Stopped, Redeploy::Recreate | Redeploy::Restart) => {
            quiesce::set_policy(api, &container.id.0, &container.restart_policy).await.map(|_| ())
        }
        (RunState::Running | RunState::Paused, Redeploy::Recreate) if pinned.member => {
            replace(api, restore, container).await
        }
        (RunState::Running | RunState::Paused, Redeploy::Recreate | Redeploy::Restart) => {
            restart(api, restore, pinned).await
        }
    }
}

/// Puts the replacement in place of the original and starts it; the original waits under its retired name.
async fn replace(api: &Api, restore: RestoreId, container: &Container) -> Result<()> {
    match switch(api, restore, container).await {
        Ok(()) => Ok(()),
        // No answer is no refusal: the new one may be starting right now, and the old one beside it would be two
        // writers on one volume. Another call looks again.
        Err(error) if matches!(error.kind, EngineErrorKind::Unreachable | EngineErrorKind::TimedOut) => Err(error),
        Err(error) => Err(match put_back(api, restore, container).await {
            Ok(()) => error,
            Err(back) => {
                let both =
                    format!("{}; and the old container could not be brought back: {}", error.message, back.message);
                EngineError::new(error.kind, both)
            }
        }),
    }
}

async fn switch(api: &Api, restore: RestoreId, container: &Container) -> Result<()> {
    let retired = retired_name(&container.name, restore);
    let (holder, old) = standing(api, restore, container).await?;
    if let Some(old) = old {
        // Somebody started it: two of them must never work on one volume.
        quiesce::stop_one(api, &old).await?;
    }
    match holder {
        Some(holder) if id(&holder) != container.id.0 => {
            let fresh = freshened(api, restore, container, &holder).await?;
            run(api, &fresh, container).await
        }
        Some(original) => {
            let new = make(api, restore, container, Which::Standing).await?;
            quiesce::stop_one(api, &original).await?;
            // A container that removes itself when it stops (`--rm`) has left its name free.
            retire_name(api, &original, &retired).await?;
            // A crash here leaves the name to nobody; original and replacement are found under their other names.
            api.rename(&new, &container.name).await?;
            run(api, &new, container).await
        }
        None => {
            let new = make(api, restore, container, Which::Standing).await?;
            api.rename(&new, &container.name).await?;
            run(api, &new, container).await
        }
    }
}

/// Who holds a container's name, and its retired one. Where nobody does, the recorded container may stand under a name
/// that somebody gave it since: it gets its own back, and none is made beside it. A crash after that finds it by its name.
async fn standing(
    api: &Api,
    restore: RestoreId,
    container: &Container,
) -> Result<(Option<ContainerInspectResponse>, Option<ContainerInspectResponse>)> {
    let retired = retired_name(&container.name, restore);
    let found = try_join(api.inspect(&container.name), api.inspect(&retired)).await?;
    if found.0.is_some() || found.1.is_some() {
        return Ok(found);
    }
    let Some(renamed) = api.inspect(&container.id.0).await? else { return Ok(found) };
    match api.rename(id(&renamed), &container.name).await {
        Err(error) if error.kind == EngineErrorKind::NotFound => Ok((None, None)),
        Err(error) => Err(error),
        Ok(()) => Ok((api.inspect(&container.id.0).await?, None)),
    }
}

async fn retire_name(api: &Api, original: &ContainerInspectResponse, retired: &str) -> Result<()> {
    match api.rename(id(original), retired).await {
        Err(error) if error.kind == EngineErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Gives the original its name back and starts it, unless the replacement runs after all.
async fn put_back(api: &Api, restore: RestoreId, container: &Container) -> Result<()> {
    let retired = retired_name(&container.name, restore);
    let (holder, old) = try_join(api.inspect(&container.name), api.inspect(&retired)).await?;
    match (holder, old) {
        (Some(holder), _) if id(&holder) == container.id.0 => start_again(api, id(&holder), container).await,
        (Some(holder), Some(old)) if !run_state(holder.state.as_ref()).is_active() => {
            // Under its passing name it is tried again by the next call, or discarded.
            api.rename(id(&holder), &passing_name(&container.name, restore)).await?;
            revive(api, &old, container).await
        }
        (None, Some(old)) => revive(api, &old, container).await,
        // The replacement is all that there is: it is the app from now on.
        (Some(holder), None) => start_again(api, id(&holder), container).await,
        (None, None) | (Some(_), Some(_)) => Ok(()),
    }
}

async fn revive(api: &Api, old: &ContainerInspectResponse, container: &Container) -> Result<()> {
    api.rename(id(old), &container.name).await?;
    start_again(api, id(old), container).await
}

/// Starts the recorded container, under its own name again if a replacement had taken that; a member that cannot be
/// started as it is, or not as it is asked for, is replaced.
async fn restart(api: &Api, restore: RestoreId, pinned: &Pinned) -> Result<()> {
    let container = &pinned.container;
    let is_original = |seen: &ContainerInspectResponse| id(seen) == container.id.0;
    if !pinned.member {
        let (holder, renamed) = try_join(api.inspect(&container.name), api.inspect(&container.id.0)).await?;
        return match holder.or(renamed) {
            Some(holder) => start_fresh(api, restore, container, &holder).await,
            None => Ok(()),
        };
    }
    let (holder, old) = standing(api, restore, container).await?;
    match (holder, old) {
        (Some(original), _) if is_original(&original) => match serves(api, restore, container, &original).await? {
            true => start_fresh(api, restore, container, &original).await,
            false => replace(api, restore, container).await,
        },
        (Some(replacement), Some(original)) if is_original(&original) => {
            match serves(api, restore, container, &original).await? {
                true => {
                    step_aside(api, restore, container, &replacement).await?;
                    revive(api, &original, container).await
                }
                false => {
                    let fresh = freshened(api, restore, container, &replacement).await?;
                    start_again(api, &fresh, container).await
                }
            }
        }
        (None, Some(original)) if serves(api, restore, container, &original).await? => {
            revive(api, &original, container).await
        }
        (Some(other), _) => {
            let fresh = freshened(api, restore, container, &other).await?;
            start_again(api, &fresh, container).await
        }
        (None, _) => {
            let new = make(api, restore, container, Which::Standing).await?;
            api.rename(&new, &container.name).await?;
            start_again(api, &new, container).await
        }
    }
}

/// Whether the original is what is asked for: of the image that is wanted, and with all that it refers to.
async fn serves(
    api: &Api,
    restore: RestoreId,
    container: &Container,
    original: &ContainerInspectResponse,
) -> Result<bool> {
    if original.image.as_deref() != Some(container.image_id.as_str()) {
        return Ok(false);
    }
    let record = Record::of(container)?;
    let peers = peers(api, restore, &record, Which::Standing).await?;
    Ok(original.host_config.as_ref().is_none_or(|host| record.can_start(host, &peers)))
}

/// Takes the name from a replacement, which is discarded with the rest. A crash just after it leaves the name to nobody,
/// and the original is found under its retired name.
async fn step_aside(
    api: &Api,
    restore: RestoreId,
    container: &Container,
    replacement: &ContainerInspectResponse,
) -> Result<()> {
    quiesce::stop_one(api, replacement).await?;
    let passing = passing_name(&container.name, restore);
    if let Some(unused) = api.inspect(&passing).await? {
        quiesce::stop_one(api, &unused).await?;
        api.remove(id(&unused)).await?;
    }
    match api.rename(id(replacement), &passing).await {
        // With `--rm` it is gone as soon as it is stopped.
        Err(error) if error.kind == EngineErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// As [`run`], for the container that is the app whatever happens. One that cannot be started now, for want of a device or
/// of an address, has its policy back all the same: nobody else remembers what it was.
pub(crate) async fn start_again(api: &Api, id: &str, container: &Container) -> Result<()> {
    let ran = run(api, id, container).await;
    if ran.is_err() {
        // If that fails as well, the first failure says more.
        quiesce::set_policy(api, id, &container.restart_policy).await.ok();
    }
    ran
}

/// Starts a container and gives it what was recorded: its restart policy, and the frost.
async fn run(api: &Api, id: &str, container: &Container) -> Result<()> {
    let gone = |error: &EngineError| error.kind == EngineErrorKind::NotFound;
    if let Err(error) = api.start(id).await {
        // Paused by an earlier call, it cannot be started but runs.
        match api.inspect(id).await? {
            Some(seen) if run_state(seen.state.as_ref()).is_active() => {}
            Some(_) | None => return Err(error),
        }
    }
    let policy = &container.restart_policy;
    let Some(seen) = quiesce::set_policy(api, id, policy).await? else { return Ok(()) };
    if !run_state(seen.state.as_ref()).is_active() && would_restart(policy, &seen) {
        // It ended before it had its policy, so that the engine let it lie.
        api.start(id).await?;
    }
    match container.run {
        RunState::Paused => match quiesce::pause_one(api, id).await {
            // It ended at once by itself and, with `--rm`, is gone.
            Err(error) if gone(&error) => Ok(()),
            other => other.map(|_| ()),
        },
        RunState::Running | RunState::Stopped => Ok(()),
    }
}

fn would_restart(policy: &RestartPolicy, seen: &ContainerInspectResponse) -> bool {
    let exit_code = seen.state.as_ref().and_then(|state| state.exit_code).unwrap_or_default();
    match policy.name.as_str() {
        "always" | "unless-stopped" => true,
        "on-failure" => exit_code != 0,
        _ => false,
    }
}

/// Which containers a replacement may refer to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// Their replacements, where they are prepared already.
    Prepared,
    /// Those that hold the names.
    Standing,
}

/// Makes the replacement, or completes the one that stands, and gives its id.
pub(crate) async fn make(api: &Api, restore: RestoreId, container: &Container, which: Which) -> Result<String> {
    let record = of_image(api, Record::of(container)?, container).await?;
    let peers = peers(api, restore, &record, which).await?;
    let name = passing_name(&container.name, restore);
    let standing = match api.inspect(&name).await? {
        Some(made) if fits(&made, container, &record, &peers) => Some(made),
        Some(other) => {
            quiesce::stop_one(api, &other).await?;
            api.remove(id(&other)).await?;
            None
        }
        None => None,
    };
    let made = match standing {
        Some(made) => made,
        None => create(api, &name, container, &record, &peers).await?,
    };
    // A crash while it was connected leaves it in fewer networks than the original.
    join_networks(api, &record, &made).await?;
    Ok(id(&made).to_string())
}

/// The record for the image that is asked for: what it has of the image that it ran stays with that.
async fn of_image(api: &Api, record: Record, container: &Container) -> Result<Record> {
    let Some(image) = record.other_image(&container.image_id) else { return Ok(record) };
    match api.image_config(image).await? {
        Some(config) => Ok(record.without(&config)),
        None => Err(EngineError::new(
            EngineErrorKind::NotFound,
            format!(
                "container {} cannot be made of another image: its own, {image}, is gone, and with it what is its own",
                container.name
            ),
        )),
    }
}

/// Whether a container that was made by an earlier call can be used as it is.
fn fits(made: &ContainerInspectResponse, container: &Container, record: &Record, peers: &Peers) -> bool {
    made.image.as_deref() == Some(container.image_id.as_str())
        && !run_state(made.state.as_ref()).is_active()
        && made.host_config.as_ref().is_some_and(|host| record.refers_like(host, peers))
}

/// Creates the container at the recorded content: by the name that was asked for if that still stands for it, so that
/// it looks as before; otherwise by id.
async fn create(
    api: &Api,
    name: &str,
    container: &Container,
    record: &Record,
    peers: &Peers,
) -> Result<ContainerInspectResponse> {
    let asked = match api.image_id(&container.image).await? {
        Some(now) if now == container.image_id => Some(container.image.as_str()),
        Some(_) | None => None,
    };
    for image in asked.into_iter().chain([container.image_id.as_str()]) {
        let id = api.create(name, &record.create_body(image, peers, api.mac())?).await?;
        match api.inspect(&id).await? {
            Some(made) if made.image.as_deref() == Some(container.image_id.as_str()) => return Ok(made),
            // The name moved to another content in this very moment.
            Some(_) | None => api.remove(&id).await?,
        }
    }
    Err(EngineError::new(
        EngineErrorKind::Failed,
        format!("container {name} was made from another image than {}", container.image_id),
    ))
}

/// Connects it to the networks that it lacks, and takes it from those that it should not be in.
async fn join_networks(api: &Api, record: &Record, made: &ContainerInspectResponse) -> Result<()> {
    let wanted = record.network_names();
    if wanted.is_empty() {
        return Ok(());
    }
    let networks = made.network_settings.as_ref().and_then(|settings| settings.networks.as_ref());
    let mut present: Vec<&String> = networks.into_iter().flat_map(|networks| networks.keys()).collect();
    present.sort();
    for extra in present.iter().filter(|name| !wanted.contains(**name)) {
        api.disconnect_network(extra, id(made)).await?;
    }
    for (name, endpoint) in record.further_networks(api.mac()) {
        if !present.contains(&&name) {
            api.connect_network(&name, id(made), endpoint).await?;
        }
    }
    Ok(())
}

/// The containers that the record's references stand for now.
pub(crate) async fn peers(api: &Api, restore: RestoreId, record: &Record, which: Which) -> Result<Peers> {
    let mut now = Peers::new();
    for (reference, name) in record.peers() {
        let replacement = match which {
            Which::Prepared => api.inspect(&passing_name(name, restore)).await?,
            Which::Standing => None,
        };
        let peer = match replacement {
            Some(replacement) => Some(replacement),
            None => api.inspect(name).await?,
        };
        if let Some(peer) = peer {
            let standing = Standing { id: id(&peer).to_string(), name: name_of(&peer).to_string() };
            now.insert(reference.clone(), standing);
        }
    }
    Ok(now)
}

/// An inspected container's id; the engine always gives one, and an empty one matches nothing.
pub(crate) fn id(seen: &ContainerInspectResponse) -> &str {
    seen.id.as_deref().unwrap_or_else(|| name_of(seen))
}

#[cfg(test)]
mod tests {
    use bollard::models::ContainerState;

    use super::*;

    #[test]
    fn a_retired_name_gives_the_own_name_back() {
        let restore: RestoreId = "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap();
        assert_eq!(retired_own_name(&retired_name("web", restore), restore), Some("web"));
        assert_eq!(retired_own_name(&passing_name("web", restore), restore), None);
        let other: RestoreId = "01890a5d-ac96-774b-bcce-b302099a8058".parse().unwrap();
        assert_eq!(retired_own_name(&retired_name("web", restore), other), None);
    }

    #[test]
    fn what_the_engine_would_have_restarted_is_started_again() {
        let ended = |code| ContainerInspectResponse {
            state: Some(ContainerState { exit_code: Some(code), ..Default::default() }),
            ..Default::default()
        };
        let policy = |name: &str| RestartPolicy { name: name.into(), retries_max: 0 };
        assert!(would_restart(&policy("always"), &ended(0)));
        assert!(would_restart(&policy("unless-stopped"), &ended(1)));
        assert!(would_restart(&policy("on-failure"), &ended(1)));
        assert!(!would_restart(&policy("on-failure"), &ended(0)));
        assert!(!would_restart(&RestartPolicy::never(), &ended(1)));
    }
}
