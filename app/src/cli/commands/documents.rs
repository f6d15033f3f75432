//! `completions` and `man`: what packages install beside the binary. Neither opens a state directory.

use std::{
    fs,
    io::{self, Write},
    path::Path,
};

use clap::CommandFactory;
use clap_mangen::Man as Page;
use serde_json::json;
use volsnap::{Code, Error, Result};

use crate::cli::{
    answer::Answer,
    args::{Args, Completions, Man},
    complete,
};

/// Scripts are written to the letter; with `--json` they are a string like any other.
pub fn completions(args: &Completions, json: bool) -> Result<Answer> {
    let script = complete::script(args.shell)?;
    if json {
        return Answer::new(&json!({ "shell": args.shell.to_string(), "script": script }), "");
    }
    let mut stdout = io::stdout().lock();
    match stdout.write_all(script.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(Answer::written(None)),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Answer::written(None)),
        Err(error) => Err(unwritten("standard output", &error)),
    }
}

/// A page for each command: `volsnap.1`, `volsnap-restore.1`, `volsnap-workload-add.1`.
pub fn man(args: &Man) -> Result<Answer> {
    let directory = &args.directory;
    fs::create_dir_all(directory).map_err(|error| unwritten(&directory.display().to_string(), &error))?;
    // The same pages from the same sources, whoever builds them: without the commit.
    let mut command = Args::command().version(env!("CARGO_PKG_VERSION")).disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    write_pages(&command, directory, &mut pages)?;
    let text = format!("wrote {} pages to {}; read one with `man -l {}`", pages.len(), directory.display(), pages[0]);
    Answer::new(&json!({ "directory": directory.display().to_string(), "pages": pages }), text)
}

fn write_pages(command: &clap::Command, directory: &Path, pages: &mut Vec<String>) -> Result<()> {
    let page =
        Page::new(command.clone()).manual("Volsnap Manual").source(concat!("volsnap ", env!("CARGO_PKG_VERSION")));
    let (name, path) = (page.get_filename(), directory.join(page.get_filename()));
    let mut roff = Vec::new();
    page.render(&mut roff)
        .and_then(|()| fs::write(&path, &roff))
        .map_err(|error| unwritten(&path.display().to_string(), &error))?;
    pages.push(name);
    command.get_subcommands().try_for_each(|below| write_pages(below, directory, pages))
}

fn unwritten(what: &str, error: &io::Error) -> Error {
    Error::new(Code::Io, format!("cannot write {what}: {error}")).hint("look whether it can be written to")
}
