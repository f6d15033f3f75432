//! What differs between a plan that somebody agreed to and the same plan made again, in words.

use super::plan::{Plan, PlannedContainer, PlannedVolume};

impl Plan {
    /// What has changed in the world since `shown` was made, as far as it matters for the restore; `None` if nothing.
    ///
    /// What the volumes hold and how much space is free change all the time and are not compared.
    #[must_use]
    pub fn differs_from(&self, shown: &Plan) -> Option<String> {
        let mut changes = Vec::new();
        if self.workload.id != shown.workload.id {
            changes.push(format!("it was made for the workload {}", shown.workload.id));
        }
        if self.host != shown.host {
            changes.push(format!("it was made on another machine ({})", shown.host));
        }
        if self.snapshot != shown.snapshot {
            changes.push(format!("it was made for snapshot {}", shown.snapshot));
        } else if self.archive_digest != shown.archive_digest {
            changes.push(format!("snapshot {} is another archive now", self.snapshot));
        }
        if self.options != shown.options {
            changes.push("it was made with other options".into());
        }
        let volume = |v: &PlannedVolume| format!("volume {}", v.target);
        compare(&self.volumes, &shown.volumes, |v| &v.target, volume, volume_changes, &mut changes);
        let container = |c: &PlannedContainer| format!("container {}", c.name);
        compare(&self.containers, &shown.containers, |c| &c.name, container, container_changes, &mut changes);
        if self.images != shown.images {
            changes.push("the containers have other images than were shown".into());
        }
        (!changes.is_empty()).then(|| changes.join("; "))
    }
}

/// What came, what went, and how the rest has changed.
fn compare<T>(
    now: &[T],
    shown: &[T],
    key: impl Fn(&T) -> &str,
    name: impl Fn(&T) -> String,
    differences: impl Fn(&T, &T) -> Vec<String>,
    changes: &mut Vec<String>,
) {
    for item in now {
        match shown.iter().find(|other| key(other) == key(item)) {
            None => changes.push(format!("{} is new", name(item))),
            Some(other) => {
                changes.extend(differences(item, other).into_iter().map(|how| format!("{} {how}", name(item))));
            }
        }
    }
    let gone = shown.iter().filter(|item| now.iter().all(|other| key(other) != key(item)));
    changes.extend(gone.map(|item| format!("{} is gone", name(item))));
}

fn volume_changes(now: &PlannedVolume, shown: &PlannedVolume) -> Vec<String> {
    let mut changes = Vec::new();
    if now.live != shown.live {
        changes.push(format!("is at {} and was at {}", now.live.display(), shown.live.display()));
        return changes;
    }
    match (now.original, shown.original) {
        (None, Some(_)) => changes.push(format!("has lost its directory {}", now.live.display())),
        (Some(_), None) => changes.push(format!("has a directory {} now", now.live.display())),
        (Some(is), Some(was)) if !is.is(was) => {
            changes.push(format!("is another directory now: {} was replaced", now.live.display()));
        }
        (Some(_), Some(_)) | (None, None) => {}
    }
    if !now.parent.is(shown.parent) && changes.is_empty() {
        changes.push(format!("lies in another directory now: what is above {} was replaced", now.live.display()));
    }
    if now.method != shown.method && changes.is_empty() {
        changes.push(format!("would be switched in another way, since {}", now.reason));
    }
    changes
}

fn container_changes(now: &PlannedContainer, shown: &PlannedContainer) -> Vec<String> {
    let mut changes = Vec::new();
    if now.image != shown.image {
        changes.push(format!("is of image {} and was of {}", now.image, shown.image));
    }
    if now.action != shown.action {
        changes.push(format!("would need `{}` and not `{}`", now.action, shown.action));
    }
    // What stands in a layer changes all the time; that it is lost was agreed to, or not.
    match (&now.loses, &shown.loses) {
        (Some(now), Some(shown)) if now.changes > 0 && shown.changes == 0 => {
            changes.push(format!("has {} changes in its own layer now, which would be lost", now.changes));
        }
        (Some(_), None) => changes.push("would be made anew".into()),
        (Some(_), Some(_)) | (None, _) => {}
    }
    changes
}
