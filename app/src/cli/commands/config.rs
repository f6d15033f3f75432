//! `config show` and `config check`. Neither opens a state directory.

use std::path::Path;

use volsnap::{
    Code, Result,
    view::{ConfigCheckView, ConfigProblemView, ConfigView, SettingView},
};

use crate::cli::{
    answer::Answer,
    config::{Configuration, DEFAULT_FILE, Problem, Settings, Shown, Source},
    render,
};

pub fn show(settings: &Settings, workload: Option<String>) -> Result<Answer> {
    settings.configuration.check()?;
    let file = settings.configuration.file.as_deref().map(text);
    let config = Shown { key: "config".into(), value: file.clone().into(), source: settings.config };
    let all = [config].into_iter().chain(settings.shown(workload.as_deref())).map(setting);
    let view = ConfigView { file, settings: all.collect(), workload };
    Answer::new(&view, render::config(&view))
}

fn setting(shown: Shown) -> SettingView {
    let Shown { key, value, source } = shown;
    let (source, name, line) = match source {
        Source::Flag(name) => ("flag", Some(name), None),
        Source::Environment(name) => ("environment", Some(name), None),
        Source::File { line } => ("file", None, Some(line)),
        Source::Default => ("default", None, None),
    };
    SettingView { key, value, source, name, line }
}

pub fn check(configuration: &Configuration) -> Result<Answer> {
    let problem = |p: &Problem| ConfigProblemView { line: p.line, message: p.message.clone(), hint: p.hint.clone() };
    let problems: Vec<ConfigProblemView> = configuration.problems.iter().map(problem).collect();
    let view = ConfigCheckView { file: configuration.file.as_deref().map(text), ok: problems.is_empty(), problems };
    let code = (!view.ok).then_some(Code::Usage);
    Ok(Answer::new(&view, render::config_check(&view, DEFAULT_FILE))?.code(code))
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
