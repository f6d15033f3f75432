//! `completions`, `man`, `schema` and `--version`: what packages install beside the binary. None opens a state directory.

use std::{fs, io, path::Path};

use clap::CommandFactory;
use clap_mangen::Man as Page;
use volsnap::{
    Code, Error, Result,
    model::hook::quoted,
    view::{CompletionsView, ManView, SCHEMAS, Schema as Document, SchemasView, VersionView},
};

use crate::cli::{
    answer::{Answer, write_out},
    args::{Args, Completions, Man, Schema},
    complete, render,
};

/// Scripts are written to the letter; with `--json` they are a string like any other.
pub fn completions(args: &Completions, json: bool) -> Result<Answer> {
    let script = complete::script(args.shell)?;
    if json {
        return Answer::new(&CompletionsView { shell: args.shell.to_string(), script }, "");
    }
    write_out(&script)?;
    Ok(Answer::written(None))
}

/// The schemas, or the one of that name or of that command's document. It is JSON as it is.
pub fn schema(args: &Schema) -> Result<Answer> {
    let name = args.name.join(" ");
    if name.is_empty() {
        let view = SchemasView::of(&SCHEMAS);
        return Answer::new(&view, render::schemas(&view));
    }
    let schema = Document::named(&name).ok_or_else(|| {
        Error::new(Code::NotFound, format!("there is no schema {name}"))
            .hint("`volsnap schema` lists them; a command's words are a name too, such as `workload add`")
    })?;
    write_out(schema.text)?;
    Ok(Answer::written(None))
}

/// The version, as a document.
pub fn version() -> Result<Answer> {
    let (commit, committed_on) = env!("VOLSNAP_COMMIT").split_once(' ').unzip();
    Answer::new(&VersionView { version: env!("CARGO_PKG_VERSION"), commit, committed_on }, "")
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
    let first = directory.join(&pages[0]);
    let text = format!(
        "wrote {} pages to {}; read one with `man -l {}`",
        pages.len(),
        directory.display(),
        quoted([first.to_string_lossy().as_ref()])
    );
    Answer::new(&ManView { directory: directory.display().to_string(), pages }, text)
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
