//! Starting copies of containers for a drill, and taking everything down again.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::Duration,
};

use bollard::models::{ImageConfig, NetworkCreateRequest};
use futures_util::future::join_all;
use tokio::time::{Instant, sleep};
use volsnap_core::{
    model::{
        Mount, RestoreId,
        container::{DRILL_LABEL, drill_name, drill_of},
    },
    ports::{Boot, BootCheck, EngineError, EngineErrorKind},
    restore::Refusal,
};

use crate::{
    api::Api,
    exposure::{self, Exposure},
    isolate::{Original, network_name},
    look::blocking,
    record::Record,
};

/// How long a container may take to be gone after it was killed and removed.
const REMOVAL: Duration = Duration::from_secs(60);
/// How often it is looked for meanwhile.
const POLL: Duration = Duration::from_millis(20);

type Result<T> = std::result::Result<T, EngineError>;

/// Whether copies of the containers can be kept apart from everything, and their images are there.
pub(crate) async fn check(api: &Api, boots: &[Boot]) -> Result<BootCheck> {
    let started = boots.iter().map(|boot| boot.container.name.clone()).collect();
    let mut check = BootCheck::default();
    for boot in boots {
        let Some(image) = api.image_config(&boot.image_id).await? else {
            check.refusals.push(image_gone(boot));
            continue;
        };
        let known = Known::of(api, boot, image).await?;
        let found = known.original(boot, &started).check();
        check.refusals.extend(found.refusals);
        check.warnings.extend(found.warnings);
    }
    Ok(check)
}

fn image_gone(boot: &Boot) -> Refusal {
    let Boot { container, image_id, .. } = boot;
    let message = format!("the engine no longer has image {image_id}, which container {} ran", container.name);
    let hint = format!(
        "pull or load it again (its name is {}), or drill without --boot: the data are proved all the same",
        container.image
    );
    Refusal::new(message, hint)
}

/// Makes the drill's network and the copies where they are missing, and starts the copies in this order.
pub(crate) async fn boot(api: &Api, drill: RestoreId, boots: &[Boot]) -> Result<()> {
    let label = label(drill);
    if api.labelled_networks(&label).await?.is_empty() {
        api.create_network(network(drill)).await.map_err(no_network)?;
    }
    let standing = api.labelled(&label).await?;
    let own_names = standing.iter().filter_map(|name| drill_of(name)).map(|(own, _)| own.to_string());
    let started: BTreeSet<String> = own_names.chain(boots.iter().map(|boot| boot.container.name.clone())).collect();
    for boot in boots {
        let name = drill_name(&boot.container.name, drill);
        // Podman would make it, and start the copy on nothing.
        if let Some(gone) = not_there(boot).await? {
            let why = format!("start container {name}: there is no directory {}", gone.display());
            return Err(EngineError::new(EngineErrorKind::Failed, why));
        }
        if !standing.contains(&name) {
            create(api, drill, &name, boot, &started).await?;
        }
        api.start(&name).await?;
    }
    Ok(())
}

/// A directory of the copy that is not there.
async fn not_there(boot: &Boot) -> Result<Option<PathBuf>> {
    let copies: Vec<PathBuf> = boot.copies.values().cloned().collect();
    blocking("look at copies", move || copies.into_iter().find(|copy| !copy.is_dir())).await
}

/// The engine's own trouble, and not that of the copies: as a rule its address ranges are used up.
fn no_network(error: EngineError) -> EngineError {
    match error.kind {
        EngineErrorKind::Failed | EngineErrorKind::NotFound | EngineErrorKind::Conflict => {
            EngineError::new(EngineErrorKind::Conflict, error.message)
        }
        EngineErrorKind::Unreachable | EngineErrorKind::TimedOut | EngineErrorKind::Unsupported => error,
    }
}

async fn create(api: &Api, drill: RestoreId, name: &str, boot: &Boot, started: &BTreeSet<String>) -> Result<()> {
    let Some(image) = api.image_config(&boot.image_id).await? else {
        return Err(EngineError::new(EngineErrorKind::NotFound, image_gone(boot).message));
    };
    let known = Known::of(api, boot, image).await?;
    let body = known.original(boot, started).create_body(drill)?;
    api.create(name, &body).await.map(|_| ())
}

/// Kills and removes what carries the drill's label, and makes that durable.
pub(crate) async fn unboot(api: &Api, drill: RestoreId) -> Result<()> {
    let label = label(drill);
    let removed = join_all(api.labelled(&label).await?.iter().map(|name| remove(api, name)).collect::<Vec<_>>()).await;
    removed.into_iter().collect::<Result<()>>()?;
    for network in api.labelled_networks(&label).await? {
        api.remove_network(&network).await?;
    }
    // Also what an earlier call removed, and did not live to sync.
    api.settle().await
}

/// Comes back when the container is gone: it holds its network and its directories until then.
async fn remove(api: &Api, name: &str) -> Result<()> {
    let deadline = Instant::now() + REMOVAL;
    while let Err(error) = api.remove_whole(name).await {
        // Podman removes before what it mounted is unmounted everywhere.
        if !error.message.contains("device or resource busy") || Instant::now() >= deadline {
            return Err(error);
        }
        sleep(POLL * 10).await;
    }
    while api.inspect(name).await?.is_some() {
        if Instant::now() >= deadline {
            let why = format!("container {name} still stands after it was removed");
            return Err(EngineError::new(EngineErrorKind::TimedOut, why));
        }
        sleep(POLL).await;
    }
    Ok(())
}

fn label(drill: RestoreId) -> String {
    format!("{DRILL_LABEL}={drill}")
}

/// A bridge of its own that the host has no address on, so that nothing beyond it can be reached, by whatever rules the
/// host forwards.
fn network(drill: RestoreId) -> NetworkCreateRequest {
    let options = [("com.docker.network.bridge.inhibit_ipv4".to_string(), "true".to_string())];
    NetworkCreateRequest {
        name: network_name(drill),
        driver: Some("bridge".into()),
        internal: Some(true),
        options: Some(options.into()),
        labels: Some([(DRILL_LABEL.to_string(), drill.to_string())].into()),
        ..NetworkCreateRequest::default()
    }
}

/// What has to be asked for before a copy of a container can be written down.
struct Known {
    record: Record,
    exposures: BTreeMap<String, Exposure>,
    image_then: Option<ImageConfig>,
    image: ImageConfig,
}

impl Known {
    async fn of(api: &Api, boot: &Boot, image: ImageConfig) -> Result<Self> {
        let Boot { container, image_id, copies } = boot;
        let image_then = match container.image_id == *image_id {
            true => None,
            false => api.image_config(&container.image_id).await?,
        };
        // Volumes that could be written to are not shown at all.
        let is_shown = |mount: &&Mount| mount.volume.is_none() || !mount.writable;
        let uncopied = container.mounts.iter().filter(|mount| !copies.contains_key(&mount.target)).filter(is_shown);
        let sources: Vec<_> = uncopied.map(|mount| (mount.target.clone(), mount.source.clone())).collect();
        let look = move || sources.into_iter().map(|(target, source)| (target, exposure::of(&source))).collect();
        let exposures = blocking("look at mounts", look).await?;
        Ok(Known { record: Record::of(container)?, exposures, image_then, image })
    }

    fn original<'a>(&'a self, boot: &'a Boot, started: &'a BTreeSet<String>) -> Original<'a> {
        Original {
            boot,
            record: &self.record,
            exposures: &self.exposures,
            started,
            image_then: self.image_then.as_ref(),
            image: &self.image,
        }
    }
}
