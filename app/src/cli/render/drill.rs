//! How a drill went.

use volsnap::view::{DrillView, ErrorView};

use super::table::{
    Column::{Number, Text},
    bytes, join, labelled, milliseconds, number, table,
};

/// The answer of `drill`.
pub fn drilled(view: &DrillView) -> String {
    let rows = view.volumes.iter().map(|v| {
        let verdict = v.difference.clone().unwrap_or_else(|| "the same".into());
        [v.target.clone(), bytes(v.bytes), number(v.entries), verdict]
    });
    let (id, workload) = (view.snapshot, &view.workload);
    let times = format!("extracted in {}, read back in {}", milliseconds(view.stage_ms), milliseconds(view.read_ms));
    let hint = |error: &ErrorView| error.hint.as_ref().map_or_else(String::new, |hint| format!("\nhint: {hint}"));
    let came_up = match view.boot_ms {
        Some(ms) if view.booted == Some(true) => {
            format!("; the app came up on it in {} ({})", milliseconds(ms), view.containers.join(", "))
        }
        Some(_) | None => String::new(),
    };
    let is_proved = view.volumes.iter().all(|volume| volume.same);
    join([
        table([Text("VOLUME"), Number("SIZE"), Number("ENTRIES"), Text("READ BACK")], rows),
        match &view.error {
            None => format!("{id} of {workload} can be restored: {times}{came_up}"),
            Some(error) if is_proved => {
                format!("{id} of {workload} came back: {times}\nbut {}{}", error.message, hint(error))
            }
            Some(error) => format!("{id} of {workload} is not proved: {}{}", error.message, hint(error)),
        },
        labelled("warning", &view.warnings),
    ])
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;
    use volsnap::{Code, model::SnapshotId, view::DrilledVolumeView};

    use super::*;

    fn view(difference: Option<&str>, booted: Option<bool>, error: Option<(Code, &str)>) -> DrillView {
        let volume = DrilledVolumeView {
            target: "/data".into(),
            bytes: 2048,
            entries: 3,
            digest: "d".into(),
            same: difference.is_none(),
            difference: difference.map(Into::into),
        };
        DrillView {
            snapshot: SnapshotId(Uuid::nil()),
            workload: "shop".into(),
            volumes: vec![volume],
            booted,
            boot_ms: booted.map(|_| 4200),
            containers: vec!["db-1".into(), "web-1".into()],
            warnings: vec!["web-1 goes without /docker.sock, a socket of the host".into()],
            stage_ms: 30,
            read_ms: 20,
            error: error.map(|(code, message)| ErrorView {
                code,
                message: message.into(),
                hint: Some("do this".into()),
            }),
        }
    }

    const TREE: &str = "VOLUME      SIZE  ENTRIES  READ BACK\n/data   2.00 KiB        3  the same\n";
    const WARNING: &str = "\nwarning: web-1 goes without /docker.sock, a socket of the host";

    #[test]
    fn an_app_that_came_up_is_told_with_its_containers() {
        let text = drilled(&view(None, Some(true), None));
        let times = "extracted in 30 ms, read back in 20 ms; the app came up on it in 4.2 s (db-1, web-1)";
        let id = Uuid::nil();
        assert_eq!(text, format!("{TREE}{id} of shop can be restored: {times}{WARNING}"));
    }

    #[test]
    fn data_are_proved_also_where_the_app_did_not_come_up_on_them() {
        let text = drilled(&view(None, Some(false), Some((Code::Warnings, "web-1 is unhealthy: no table"))));
        let said = "came back: extracted in 30 ms, read back in 20 ms\nbut web-1 is unhealthy: no table\nhint: do this";
        assert_eq!(text, format!("{TREE}{} of shop {said}{WARNING}", Uuid::nil()));
    }

    #[test]
    fn data_that_differ_prove_nothing() {
        let text = drilled(&view(Some("`a` has other contents"), None, Some((Code::Corrupt, "/data differs"))));
        assert!(text.contains("`a` has other contents"), "{text}");
        assert!(text.contains("of shop is not proved: /data differs\nhint: do this"), "{text}");
        assert!(!text.contains("came up"), "{text}");
    }
}
