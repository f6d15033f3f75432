//! `demo`: the main job through the command line, on a real container or on plain directories. Every sentence that it
//! prints was checked on the disk just before.

mod app;
mod kill;
mod voice;

use std::path::Path;

use app::App;
use serde_json::Value;
use voice::{bytes, say, title};

use crate::{
    run::Outcome,
    scratch::Scratch,
    volsnap::{self, Volsnap, number, text},
};

/// Shows the main job, and leaves nothing behind.
pub fn demo() -> Outcome {
    eprintln!("building the release binary (minutes the first time)");
    let binary = volsnap::build()?;
    let scratch = Scratch::new("demo")?;
    let place = scratch.path().display().to_string();
    let told = tell(&binary, scratch.path());
    // Swept in any case; what went wrong first is what a person should read.
    let swept = scratch.close();
    told.and(swept)?;
    say("left", &format!("nothing: {place} is gone, with all that lived in it"));
    Ok(())
}

fn tell(binary: &Path, dir: &Path) -> Outcome {
    let app = App::raise(dir)?;
    let volsnap = Volsnap::new(binary, &dir.join("state"), app.host());
    title(&format!("volsnap on {}, in {}", app.stage(), dir.display()));
    let registration = app.registration();
    volsnap.run(&registration.iter().map(String::as_str).collect::<Vec<_>>())?;
    say("app", &app.introduce()?);

    let snapshot = create(&volsnap, &app)?;
    app.damage()?;
    say("damage", "rm -rf of every page and of the guests: it could be a bad migration, or a tired evening");
    plan(&volsnap, &snapshot)?;
    restore(&volsnap, &app, &snapshot)?;
    undo(&volsnap, &app)?;
    kill_in_the_switch(&volsnap, &app, &snapshot)?;
    recover(&volsnap, &app)?;
    app.check_no_leftovers(volsnap.state())
}

fn create(volsnap: &Volsnap, app: &App) -> Outcome<String> {
    let made = volsnap.run(&["create", app::NAME])?;
    let id = text(&made, "id")?;
    let (size, entries) = sums(&made)?;
    let how = match app.has_container() {
        true => format!(", taken while the app writes; it was frozen for {} ms", number(&made, "quiesced_ms")?),
        false => String::new(),
    };
    say("create", &format!("snapshot {}: {entries} entries, {}{how}", short(&id), bytes(size)));
    Ok(id)
}

fn plan(volsnap: &Volsnap, snapshot: &str) -> Outcome {
    let plan = volsnap.run(&["plan", app::NAME, snapshot])?;
    if plan["refusals"].as_array().is_none_or(|refusals| !refusals.is_empty()) {
        return Err(format!("the plan refuses: {}", plan["refusals"]));
    }
    let mut parts: Vec<String> = Vec::new();
    for volume in plan["volumes"].as_array().into_iter().flatten() {
        parts.push(format!("{} by {}", text(volume, "target")?, text(volume, "method")?));
    }
    for container in plan["containers"].as_array().into_iter().flatten() {
        parts.push(format!("{}: {}", text(container, "name")?, text(container, "action")?));
    }
    let filesystem = &plan["filesystems"][0];
    let (needed, free) = (number(filesystem, "bytes_needed")?, number(filesystem, "bytes_free")?);
    say("plan", &format!("{}; needs {} of {} free; nothing is touched", parts.join("; "), bytes(needed), bytes(free)));
    Ok(())
}

fn restore(volsnap: &Volsnap, app: &App, snapshot: &str) -> Outcome {
    let before = app.counter();
    let report = volsnap.run(&["restore", app::NAME, snapshot, "--yes"])?;
    expect_restored(&report)?;
    app.check_whole()?;
    let staged = number(&report, "stage_ms")?;
    let back = match (app.has_container(), before) {
        (true, Some(before)) => format!("; the counter went back from {before} and goes on at {}", app.goes_on()?),
        _ => String::new(),
    };
    say("restore", &format!("every page is back, byte for byte{back}"));
    let running = if app.has_container() { " while the app ran" } else { "" };
    say("", &format!("staged beside the live data in {staged} ms{running}; {}", downtime(&report, app)?));
    Ok(())
}

fn downtime(report: &Value, app: &App) -> Outcome<String> {
    let down = number(report, "downtime_ms")?;
    Ok(if app.has_container() {
        let engine = number(report, "engine_ms")?;
        format!("down for {down} ms, {engine} of them the engine's stop and start")
    } else {
        format!("the switch took {down} ms")
    })
}

fn undo(volsnap: &Volsnap, app: &App) -> Outcome {
    let report = volsnap.run(&["undo", app::NAME])?;
    expect_restored(&report)?;
    app.check_damaged()?;
    say(
        "undo",
        &format!("second thoughts: the damage is back, kept as a snapshot just in case; {}", downtime(&report, app)?),
    );
    Ok(())
}

fn kill_in_the_switch(volsnap: &Volsnap, app: &App, snapshot: &str) -> Outcome {
    let switched = kill::in_the_switch(volsnap, &["restore", app::NAME, snapshot, "--yes"], &app.live())?;
    let down = if app.has_container() && !app.runs() { ", and the app is down" } else { "" };
    let parts = app::TARGETS
        .iter()
        .zip(&switched)
        .map(|(target, switched)| format!("{target} is {}", if *switched { "restored" } else { "not yet" }));
    let parts: Vec<String> = parts.collect();
    say("kill -9", &format!("restoring again, and killed in the switch: {}{down}", parts.join(", ")));
    let status = volsnap.run(&["status", app::NAME])?;
    let open = &status["open"][0];
    say(
        "status",
        &format!("the journal's last word is \"{}\"; recovery would: {}", text(open, "phase")?, text(open, "would")?),
    );
    Ok(())
}

fn recover(volsnap: &Volsnap, app: &App) -> Outcome {
    let answer = volsnap.run(&["recover", app::NAME])?;
    let report = &answer["recovered"][0];
    let outcome = text(report, "outcome")?;
    let whole = match outcome.as_str() {
        "restored" => app.check_whole().map(|()| "every volume is restored, none is a mixture"),
        "aborted" | "reverted" => app.check_damaged().map(|()| "every volume is as it was, none is a mixture"),
        _ => Err(format!("recovery ended in {outcome}: {report}")),
    }?;
    let up = if app.has_container() {
        format!("; the app is up and counts on at {}", app.goes_on()?)
    } else {
        String::new()
    };
    say("recover", &format!("{whole}{up}"));
    Ok(())
}

fn expect_restored(report: &Value) -> Outcome {
    match report["outcome"].as_str() {
        Some("restored") => Ok(()),
        _ => Err(format!("the restore did not end in restored data: {report}")),
    }
}

/// Bytes and entries of all volumes.
fn sums(snapshot: &Value) -> Outcome<(u64, u64)> {
    let mut sums = (0, 0);
    for volume in snapshot["volumes"].as_array().into_iter().flatten() {
        sums = (sums.0 + number(volume, "bytes")?, sums.1 + number(volume, "entries")?);
    }
    Ok(sums)
}

/// The end of an id that sorts by time is what differs; people say the beginning, as the command line takes it.
fn short(id: &str) -> &str {
    id.get(..13).unwrap_or(id)
}
