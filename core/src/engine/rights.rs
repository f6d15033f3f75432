//! What of a snapshot this process could not bring back as it is, found while nothing is touched: for users other than root.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use super::{Engine, inside::look_into, recover::quiet};
use crate::{
    error::Result,
    model::{Member, Snapshot, member::printable, rights::Lacking},
    ports::{MemberSink, Place},
    restore::plan::{Plan, Refusal},
};

/// Names of each kind at the most.
const NAMED_MAX: usize = 3;

/// How many entries lack something, and the first of them.
type Tally = BTreeMap<Lacking, (u64, Vec<String>)>;

impl Engine {
    /// A refusal for each volume of a plan that has entries which this process may not make. Root is told of none, and no
    /// archive is read for it.
    pub(super) async fn beyond_rights(&self, snapshot: &Snapshot, plan: &Plan) -> Result<Vec<Refusal>> {
        let rights = self.ports.filesystem.rights();
        let mut refusals = Vec::new();
        if rights.are_all() {
            return Ok(refusals);
        }
        for volume in &plan.volumes {
            let Some(index) = volume.index else { continue };
            let tally = Arc::new(Mutex::new(Tally::new()));
            let (counted, rights) = (Arc::clone(&tally), rights.clone());
            let sink: MemberSink = Box::new(move |_, member: Member| {
                let mut tally = counted.lock().unwrap_or_else(PoisonError::into_inner);
                for what in rights.lacking(&member) {
                    let (count, names) = tally.entry(what).or_default();
                    *count += 1;
                    if names.len() < NAMED_MAX {
                        names.push(printable(if member.path.is_empty() { b"." } else { &member.path }));
                    }
                }
                Ok(())
            });
            let place = [Place { index, path: Vec::new() }];
            self.ports.archives.list_members(&look_into(snapshot), &place, sink, quiet()).await?;
            let tally = std::mem::take(&mut *tally.lock().unwrap_or_else(PoisonError::into_inner));
            refusals.extend(refusal(&volume.target, &tally));
        }
        Ok(refusals)
    }
}

fn refusal(target: &str, tally: &Tally) -> Option<Refusal> {
    let told: Vec<String> = tally
        .iter()
        .map(|(what, (count, names))| {
            let (one, many) = match what {
                Lacking::Owner => ("entry of another user or group", "entries of other users or groups"),
                Lacking::Device => ("device node", "device nodes"),
                Lacking::Attribute => {
                    ("entry with attributes that only root may set", "entries with attributes that only root may set")
                }
            };
            let more = if *count > names.len() as u64 { ", …" } else { "" };
            format!("{count} {} (`{}`{more})", if *count == 1 { one } else { many }, names.join("`, `"))
        })
        .collect();
    (!told.is_empty()).then(|| {
        Refusal::new(
            format!("volume {target} of the snapshot has {}, which this user may not make", told.join(", ")),
            "run it as root, such as with sudo; `volsnap extract SNAPSHOT DIR` gives you the contents as your own",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_made_is_told_by_count_and_first_names() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_string()).collect::<Vec<_>>();
        assert!(refusal("/data", &Tally::new()).is_none());
        let tally =
            Tally::from([(Lacking::Device, (1, names(&["tty"]))), (Lacking::Owner, (9, names(&["a", "b", "c"])))]);
        assert_eq!(
            refusal("/data", &tally).unwrap().message,
            "volume /data of the snapshot has 9 entries of other users or groups (`a`, `b`, `c`, …), 1 device node (`tty`), \
             which this user may not make"
        );
    }
}
