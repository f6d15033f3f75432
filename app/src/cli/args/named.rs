//! Commands that messages, hints and remedies name: each is one that the command line takes.

use std::{fs, path::Path};

use clap::{CommandFactory as _, error::ErrorKind};

use super::Args;

/// The sources whose messages people read.
const SOURCES: [&str; 7] = [
    "core/src",
    "app/src",
    "adapters/disk/src",
    "adapters/docker/src",
    "adapters/host/src",
    "adapters/sqlite/src",
    "app/tests/golden",
];

fn texts(dir: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() {
            texts(&path, found);
        } else if let Ok(text) = fs::read_to_string(&path) {
            found.push((path.display().to_string(), text));
        }
    }
}

/// The words of each command in backquotes; what is filled in when the message is made stands as a word.
fn commands(text: &str) -> Vec<String> {
    let mut commands = Vec::new();
    for (at, _) in text.match_indices(concat!("`", "volsnap ")) {
        let rest = &text[at + 1..];
        let Some(command) = rest.split('`').next().filter(|command| command.len() < 200) else { continue };
        let line = text[..at].rsplit('\n').next().unwrap_or_default().trim_start();
        // Documentation speaks of commands by their names. A message says what to type, with what is to be filled in.
        if line.starts_with("//") {
            continue;
        }
        // A message that is broken over lines in the source.
        let command = command.replace("\\\n", " ");
        commands.push(command.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    commands
}

/// What the command line has against a command; a word that is left out, or stands for one, is nothing.
fn fault(command: &str) -> Option<String> {
    let until_shell = command.split([';', '|', '>']).next().unwrap_or_default();
    let words = until_shell.split(' ').filter(|word| !word.is_empty() && !word.contains('…'));
    let words = words.map(|word| if word.starts_with('{') { "app" } else { word });
    match Args::command().try_get_matches_from(words) {
        Ok(_) => None,
        Err(error) => {
            let is_short = matches!(
                error.kind(),
                ErrorKind::MissingSubcommand
                    | ErrorKind::DisplayHelp
                    | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
            );
            (!is_short).then(|| error.to_string())
        }
    }
}

#[test]
fn every_command_that_a_message_names_is_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut found = Vec::new();
    SOURCES.iter().for_each(|dir| texts(&root.join(dir), &mut found));
    let mut faults = Vec::new();
    let mut count = 0;
    for (path, text) in &found {
        for command in commands(text) {
            count += 1;
            faults.extend(fault(&command).map(|fault| format!("{path}: `{command}`: {fault}")));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(count > 90, "only {count} commands were found");
    assert!(fault("volsnap recover app --now").is_some() && fault("volsnap repair").is_some());
}
