//! The configuration: what is in force, and what is wrong with a file.

use serde_json::Value;
use volsnap::view::{ConfigCheckView, ConfigProblemView, ConfigView, SettingView};

use super::table::{Column::Text, join, table};

/// The answer of `config show`.
pub fn config(view: &ConfigView) -> String {
    let rows = view.settings.iter().map(|s| [s.key.clone(), value(&s.value), origin(s, view.file.as_deref())]);
    table([Text("KEY"), Text("VALUE"), Text("FROM")], rows)
}

fn value(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

fn origin(setting: &SettingView, file: Option<&str>) -> String {
    match (setting.name, setting.line, file) {
        (Some(name), _, _) => name.into(),
        (None, Some(line), Some(file)) => format!("{file}:{line}"),
        (None, Some(_), None) | (None, None, _) => setting.source.into(),
    }
}

/// The answer of `config check`.
pub fn config_check(view: &ConfigCheckView, usual: &str) -> String {
    let Some(file) = &view.file else { return format!("there is no {usual}, so everything is as usual") };
    let line = |p: &ConfigProblemView| {
        let hint = p.hint.as_ref().map_or_else(String::new, |hint| format!("; {hint}"));
        format!("{file}:{}: {}{hint}", p.line, p.message)
    };
    match view.ok {
        true => format!("{file} is in order"),
        false => join(view.problems.iter().map(line)),
    }
}
