//! What was changed since a snapshot, in numbers, for one who is about to restore it.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use volsnap::{
    Result,
    model::{Snapshot, VolumeDifference},
    view::{ChangesView, PlanView},
};

use crate::cli::session::Session;

/// Nobody waits longer than that for numbers that nothing depends on. A volume of 100,000 files takes about a second on two
/// busy processors; how large the files are makes no difference.
const PATIENCE: Duration = Duration::from_secs(2);

/// The same plan with what was changed in each volume. All are looked through at the same time; one that cannot be, or that
/// takes too long, is left uncounted with the reason, and keeps nothing else from going on.
pub async fn counted(session: &Session, snapshot: &Snapshot, mut view: PlanView) -> PlanView {
    let deadline = Instant::now() + PATIENCE;
    let volsnap = &session.volsnap;
    let counts = view.volumes.iter().map(|volume| volsnap.diff_summary(snapshot.clone(), vec![volume.target.clone()]));
    let counts: Vec<_> = counts.collect();
    for (volume, count) in view.volumes.iter_mut().zip(counts) {
        match until(deadline, count).await {
            Ok(changes) => volume.changes = Some(changes),
            Err(problem) => volume.changes_problem = Some(problem),
        }
    }
    view
}

/// The numbers of the one volume that is counted, or why there are none. A count that is given up is dropped, which ends it.
async fn until(
    deadline: Instant,
    count: impl Future<Output = Result<Vec<VolumeDifference>>>,
) -> Result<ChangesView, String> {
    match timeout_at(deadline, count).await {
        Ok(Ok(numbers)) => match numbers.as_slice() {
            [volume] => Ok(ChangesView::of(volume)),
            other => Err(format!("{} volumes were counted instead of one", other.len())),
        },
        Ok(Err(error)) => Err(error.message),
        Err(_) => Err(format!("it would have taken longer than {} s", PATIENCE.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use volsnap::{Code, Error};

    use super::*;

    #[tokio::test]
    async fn numbers_that_do_not_come_in_time_are_given_up_and_those_that_came_count_also_later() {
        let past = Instant::now();
        assert_eq!(until(past, pending()).await.unwrap_err(), "it would have taken longer than 2 s");
        let volume = VolumeDifference { added: 3, bytes_removed: 7, ..VolumeDifference::of("/data") };
        let changes = until(past, ready(Ok(vec![volume]))).await.unwrap();
        assert_eq!((changes.added, changes.removed, changes.bytes_removed), (3, 0, 7));
        let failed = until(past, ready(Err(Error::new(Code::Io, "volume /data: Input/output error"))));
        assert_eq!(failed.await.unwrap_err(), "volume /data: Input/output error");
    }
}
