//! Makes the app quiet for a snapshot, and sees that it stayed so.

use super::*;

/// How often it is tried to make an app quiet whose containers come and go.
pub(super) const QUIET_ATTEMPTS_MAX: u32 = 5;

impl Engine {
    /// Makes the app quiet. One that dies again and again may have ended just now, and cannot be frozen then; it is written
    /// down as what it is, and stopped.
    pub(super) async fn quiet(&self, quiesced: &mut Quiesced) -> Result<()> {
        let mut attempt = 1;
        loop {
            match self.quiet_once(quiesced).await {
                Err(EngineError { kind: EngineErrorKind::Conflict | EngineErrorKind::NotFound, .. })
                    if attempt < QUIET_ATTEMPTS_MAX =>
                {
                    self.look_again(quiesced).await?;
                    self.ports.clock.sleep(Duration::from_millis(100) * attempt).await;
                    attempt += 1;
                }
                quieted => return Ok(quieted?),
            }
        }
    }

    pub(super) async fn quiet_once(&self, quiesced: &Quiesced) -> Result<(), EngineError> {
        let containers = self.containers()?;
        let ids = |wanted: Rest| {
            let all = quiesced.containers.iter().rev().map(|p| &p.container);
            all.filter(move |c| Rest::of(quiesced.mode, c) == Some(wanted)).map(|c| c.id.clone()).collect::<Vec<_>>()
        };
        let (frozen, stopped) = (ids(Rest::Frozen), ids(Rest::Stopped));
        if !stopped.is_empty() {
            // An engine that restarts in the middle would start what is stopped, under the hands of the archive.
            for id in &stopped {
                containers.set_restart_policy(id, &RestartPolicy::never()).await?;
            }
            containers.stop(&stopped).await?;
        }
        if !frozen.is_empty() {
            containers.pause(&frozen).await?;
        }
        Ok(())
    }

    /// What could not be frozen has ended: for good, or until the engine starts it again.
    pub(super) async fn look_again(&self, quiesced: &mut Quiesced) -> Result<()> {
        let seen = Self::members_left(self.containers()?, &quiesced.workload.selector).await?;
        let mode = quiesced.mode;
        let before = quiesced.containers.clone();
        quiesced.containers.retain_mut(|pinned| {
            let now = seen.iter().find(|c| c.id == pinned.container.id);
            match (Rest::of(mode, &pinned.container), now) {
                // What was stopped already is woken with the policy that it had.
                (Some(Rest::Stopped) | None, _) => true,
                (Some(Rest::Frozen), None) => false,
                (Some(Rest::Frozen), Some(now)) => {
                    pinned.container.particulars.is_restarting |= now.particulars.is_restarting;
                    now.run.is_active()
                }
            }
        });
        match quiesced.containers == before {
            true => Ok(()),
            false => self.write_quiesced(quiesced).await,
        }
    }

    /// Whether nobody woke the app while its volumes were read: an engine that restarts ends what is frozen, and may
    /// start it; a person may start it too, or a member that did not run before.
    pub(super) async fn still_quiet(&self, quiesced: &Quiesced) -> Result<()> {
        if quiesced.mode == Mode::Live || quiesced.workload.selector.is_empty() {
            return Ok(());
        }
        let seen = Self::members_left(self.containers()?, &quiesced.workload.selector).await?;
        let is_loud = |c: &&Container| match quiesced.containers.iter().find(|p| p.container.id == c.id) {
            Some(pinned) => match Rest::of(quiesced.mode, &pinned.container) {
                Some(Rest::Frozen) => c.run != RunState::Paused,
                Some(Rest::Stopped) => c.run.is_active(),
                None => false,
            },
            None => disturbs(quiesced.mode, c),
        };
        match seen.iter().find(is_loud) {
            None => Ok(()),
            Some(container) => Err(Error::new(
                Code::Aborted,
                format!("container {} did not stay quiet while its volumes were read", container.name),
            )
            .hint("the copy would be of no one point in time; take the snapshot again")),
        }
    }
}
