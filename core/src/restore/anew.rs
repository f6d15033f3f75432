//! Which containers have to be made anew, what that costs, and who refers to the ones that go.

use std::collections::BTreeSet;

use super::plan::{Options, PlannedImage, Refusal};
use crate::model::{Container, ImageChoice, ImageRef, Peer, Redeploy, Shares};

/// The image of the snapshot, for people.
fn then(image: &PlannedImage) -> String {
    format!("{} ({})", image.snapshot_name, short(&image.snapshot))
}

fn difference(image: &PlannedImage) -> String {
    format!("{} ({}) now, {} then", image.now_name, short(&image.now), then(image))
}

/// As much of an image's id as people compare.
fn short(image_id: &str) -> &str {
    let digest = image_id.strip_prefix("sha256:").unwrap_or(image_id);
    digest.get(..12).unwrap_or(digest)
}

/// The images of the members that the snapshot knows: by the container's name, else by its compose service, since compose
/// gives its containers other names from one version to the next.
#[must_use]
pub fn images(members: &[Container], then: &[ImageRef]) -> Vec<PlannedImage> {
    let known: Vec<&ImageRef> = then.iter().filter(|image| !image.image_id.is_empty()).collect();
    let both = |member: &Container| {
        let was = match known.iter().find(|image| image.container == member.name) {
            Some(was) => was,
            None => of_service(member, members, &known)?,
        };
        Some(PlannedImage {
            container: member.name.clone(),
            now: member.image_id.clone(),
            now_name: member.image.clone(),
            snapshot: was.image_id.clone(),
            snapshot_name: was.image.clone(),
        })
    };
    members.iter().filter_map(both).collect()
}

/// The image of a member's service, if all of its containers that go by other names now had the same one.
fn of_service<'a>(member: &Container, members: &[Container], known: &[&'a ImageRef]) -> Option<&'a ImageRef> {
    let service = member.service.as_deref()?;
    let is_there = |image: &ImageRef| members.iter().any(|other| other.name == image.container);
    // An earlier version wrote down no services: compose then joined the same words by another sign.
    let alike = |name: &str| name.replace('_', "-") == member.name.replace('_', "-");
    let is_its = |image: &ImageRef| match &image.service {
        Some(of) => of == service,
        None => alike(&image.container),
    };
    let mut its = known.iter().copied().filter(|image| is_its(image) && !is_there(image));
    let first = its.next()?;
    its.all(|other| other.image_id == first.image_id).then_some(first)
}

/// Those of the images that are to be brought back and are other ones than run now.
pub fn brought_back<'a>(
    members: &'a [Container],
    options: &Options,
    images: &'a [PlannedImage],
) -> impl Iterator<Item = &'a PlannedImage> {
    let wanted = options.image == ImageChoice::Snapshot;
    let runs = |name: &str| members.iter().any(|member| member.name == name && member.run.is_active());
    images.iter().filter(move |image| wanted && !image.is_same() && runs(&image.container))
}

/// Why not to begin: images that are to be brought back and that the engine has not any more.
#[must_use]
pub fn refuse_images<'a>(gone: impl Iterator<Item = &'a PlannedImage>) -> Vec<Refusal> {
    let refuse = |image: &PlannedImage| {
        Refusal::new(
            format!(
                "the image {} that container {} had when the snapshot was taken is gone from the container engine",
                then(image),
                image.container
            ),
            format!(
                "pull or load it again until `docker image inspect {}` shows it, or leave out --image snapshot",
                image.snapshot
            ),
        )
    };
    gone.map(refuse).collect()
}

/// The names of the running members that are made anew: because that was asked for, because there is no other way, or
/// because they refer to one of these in a way that only a new container can.
#[must_use]
pub fn made_anew(members: &[Container], options: &Options, images: &[PlannedImage]) -> BTreeSet<String> {
    let of_other_image: BTreeSet<&str> =
        brought_back(members, options, images).map(|image| image.container.as_str()).collect();
    let by_itself = |member: &Container| {
        options.redeploy == Redeploy::Recreate
            || member.particulars.removes_itself
            || of_other_image.contains(member.name.as_str())
    };
    let running = || members.iter().filter(|member| member.run.is_active());
    let mut anew: BTreeSet<String> = running().filter(|m| by_itself(m)).map(|m| m.name.clone()).collect();
    loop {
        let follows = |m: &&Container| !anew.contains(&m.name) && broken(m, &anew).next().is_some();
        let following: Vec<String> = running().filter(follows).map(|m| m.name.clone()).collect();
        if following.is_empty() {
            return anew;
        }
        anew.extend(following);
    }
}

/// What a container uses of those that are made anew and could not use any more: it could not be started again.
fn broken<'a>(container: &'a Container, anew: &'a BTreeSet<String>) -> impl Iterator<Item = &'a Peer> {
    fixed(container, anew).filter(|peer| match peer.shares {
        Shares::Network | Shares::Ipc | Shares::Pid | Shares::Link => true,
        // It has them for good; only whoever makes it anew looks for the other one again.
        Shares::Volumes => false,
    })
}

fn fixed<'a>(container: &'a Container, anew: &'a BTreeSet<String>) -> impl Iterator<Item = &'a Peer> {
    container.particulars.peers.iter().filter(|peer| !peer.by_name && anew.contains(&peer.name))
}

/// What keeps an active member from being started again once it is stopped: it needs a member that does not run, in words.
#[must_use]
pub fn starts_no_more(member: &Container, members: &[Container]) -> Option<String> {
    let needs = |peer: &&Peer| peer.shares != Shares::Volumes;
    let is_down = |peer: &&Peer| members.iter().any(|other| other.name == peer.name && !other.run.is_active());
    let peer = member.particulars.peers.iter().filter(needs).find(is_down)?;
    Some(format!(
        "container {} uses {} of {}, which does not run: once stopped, it could not be started again",
        member.name,
        use_of(peer.shares),
        peer.name
    ))
}

fn use_of(shares: Shares) -> &'static str {
    match shares {
        Shares::Network => "the network",
        Shares::Ipc => "the shared memory",
        Shares::Pid => "the processes",
        Shares::Volumes => "the volumes",
        Shares::Link => "a link",
    }
}

/// References to containers that are made anew which nobody can carry along: reasons not to begin, and what to know.
/// `others` are all containers but the members.
#[must_use]
pub fn references(
    members: &[Container],
    others: &[Container],
    anew: &BTreeSet<String>,
    workload: &str,
) -> (Vec<Refusal>, Vec<String>) {
    let keeps = "keep the container (--redeploy restart, --image current)";
    let (mut refusals, mut warnings) = (Vec::new(), Vec::new());
    let left = members.iter().filter(|member| !anew.contains(&member.name)).map(|member| (member, true));
    for (container, member) in left.chain(others.iter().map(|other| (other, false))) {
        let name = &container.name;
        let who = match member {
            true => format!("container {name}, which does not run,"),
            false => format!("container {name}, which is not part of {workload},"),
        };
        for peer in broken(container, anew) {
            refusals.push(Refusal::new(
                format!(
                    "{who} uses {} of {}, which is to be made anew: it could not be started any more",
                    use_of(peer.shares),
                    peer.name
                ),
                match member {
                    true => format!("{keeps}, or start {name} before"),
                    false => format!("{keeps}, or add {name} to the workload"),
                },
            ));
        }
        let volumes = |peer: &&Peer| peer.shares == Shares::Volumes;
        warnings.extend(fixed(container, anew).filter(volumes).map(|peer| {
            format!(
                "{who} has the volumes of {} by its id, which will be another one; it keeps them, but cannot be made \
                 anew with `--volumes-from` that id",
                peer.name
            )
        }));
    }
    (refusals, warnings)
}

/// What to know of images: where they differ from the snapshot's, or cannot be brought back.
#[must_use]
pub fn image_warnings(members: &[Container], options: &Options, images: &[PlannedImage]) -> Vec<String> {
    let different = images.iter().filter(|image| !image.is_same());
    match options.image {
        ImageChoice::Current => {
            let warning = |image: &PlannedImage| {
                format!(
                    "container {} has another image than when the snapshot was taken: {}; --image snapshot brings \
                     that one back",
                    image.container,
                    difference(image)
                )
            };
            different.map(warning).collect()
        }
        ImageChoice::Snapshot => {
            let stopped = |name: &str| members.iter().any(|m| m.name == name && !m.run.is_active());
            let asleep = different.filter(|image| stopped(&image.container)).map(|image| {
                let name = &image.container;
                format!("container {name} does not run and keeps its image: {}", difference(image))
            });
            let unknown = members.iter().filter(|m| images.iter().all(|image| image.container != m.name));
            let unknown = unknown
                .map(|m| format!("the snapshot does not say which image container {} had: it keeps its own", m.name));
            asleep.chain(unknown).collect()
        }
    }
}
