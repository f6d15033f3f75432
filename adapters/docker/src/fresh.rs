//! Containers that run with something of another one, after that one was made or started anew.

use bollard::models::ContainerInspectResponse;
use jiff::Timestamp;
use volsnap_core::{
    model::{Container, RestoreId, Shares},
    ports::EngineError,
};

use crate::{
    api::Api,
    look::run_state,
    quiesce,
    record::{Record, references},
    replace::{Which, id, make, peers, start_again},
};

type Result<T> = std::result::Result<T, EngineError>;

/// A replacement that was made by an earlier call, as it has to be now: another one if it refers to a container that was
/// replaced in its turn since, stopped if it has lost what it shares with one. Gives its id.
pub(crate) async fn freshened(
    api: &Api,
    restore: RestoreId,
    container: &Container,
    holder: &ContainerInspectResponse,
) -> Result<String> {
    let record = Record::of(container)?;
    let peers = peers(api, restore, &record, Which::Standing).await?;
    if holder.host_config.as_ref().is_none_or(|host| record.refers_like(host, &peers)) {
        if has_lost_its_peer(api, holder).await? {
            quiesce::stop_one(api, holder).await?;
        }
        return Ok(id(holder).to_string());
    }
    quiesce::stop_one(api, holder).await?;
    // With `--rm` it is gone as soon as it is stopped. A crash after it leaves the name to nobody.
    if api.inspect(id(holder)).await?.is_some() {
        api.remove(id(holder)).await?;
    }
    let new = make(api, restore, container, Which::Standing).await?;
    api.rename(&new, &container.name).await?;
    Ok(new)
}

/// As [`start_again`], for one that may run on with the namespaces of a container that was started again since: it is
/// started again as well.
pub(crate) async fn start_fresh(
    api: &Api,
    restore: RestoreId,
    container: &Container,
    standing: &ContainerInspectResponse,
) -> Result<()> {
    if has_lost_its_peer(api, standing).await? {
        quiesce::stop_one(api, standing).await?;
    }
    match api.inspect(id(standing)).await? {
        Some(_) => start_again(api, id(standing), container).await,
        None => {
            let new = make(api, restore, container, Which::Standing).await?;
            api.rename(&new, &container.name).await?;
            start_again(api, &new, container).await
        }
    }
}

/// Whether it runs with the network, shared memory or processes of a container that was started after it.
async fn has_lost_its_peer(api: &Api, seen: &ContainerInspectResponse) -> Result<bool> {
    let (true, Some(host)) = (run_state(seen.state.as_ref()).is_active(), &seen.host_config) else {
        return Ok(false);
    };
    let spaces = |shares: &Shares| matches!(shares, Shares::Network | Shares::Ipc | Shares::Pid);
    for (other, _) in references(host).iter().filter(|(_, shares)| spaces(shares)) {
        let Some(other) = api.inspect(other).await? else { continue };
        let is_later = started_at(&other).zip(started_at(seen)).is_some_and(|(other, own)| other > own);
        if is_later && run_state(other.state.as_ref()).is_active() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn started_at(seen: &ContainerInspectResponse) -> Option<Timestamp> {
    seen.state.as_ref()?.started_at.as_ref()?.parse().ok()
}
