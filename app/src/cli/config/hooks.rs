//! Hooks in the file: `[[hooks]]` for every workload, `[[workload.NAME.hooks]]` in their place for one.

use clap::ValueEnum;
use serde_json::{Map, Value};
use toml::de::{DeTable, DeValue};
use volsnap::model::{HOOK_TIMEOUT, Hook};

use super::value::{Written, found, in_days, one_of};
use crate::cli::{args::HookAt, parse};

/// The keys of a hook.
const KEYS: [&str; 4] = ["at", "command", "container", "timeout"];

/// A list of hooks, in the order in which they run.
#[derive(Clone, Debug, Default)]
pub struct Hooks(pub Vec<Hook>);

impl Written for Hooks {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let must = || format!("must be tables, [[hooks]] or [[workload.NAME.hooks]], and is {}", found(value));
        let list = value.as_array().ok_or_else(must)?;
        let hooks = list.iter().zip(1..).map(|(hook, number)| {
            let table = hook.get_ref().as_table().ok_or_else(must)?;
            read(table).map_err(|problem| format!("number {number}: {problem}"))
        });
        hooks.collect::<Result<_, _>>().map(Hooks)
    }

    fn show(&self) -> Value {
        self.0.iter().map(show).collect()
    }
}

fn read(table: &DeTable<'_>) -> Result<Hook, String> {
    let get = |name: &str| table.iter().find(|(key, _)| key.get_ref() == name).map(|(_, value)| value.get_ref());
    if let Some((unknown, _)) = table.iter().find(|(key, _)| !KEYS.contains(&key.get_ref().as_ref())) {
        return Err(format!("unknown key {:?}; a hook has {}", unknown.get_ref(), KEYS.join(", ")));
    }
    let at = get("at").ok_or_else(|| format!("at is missing: {}", one_of::<HookAt>()))?;
    let word = at.as_str().and_then(|text| HookAt::from_str(text, false).ok());
    let word = word.ok_or_else(|| format!("at must be {}, and is {}", one_of::<HookAt>(), found(at)))?;
    let must = "command must be a list of words, such as [\"redis-cli\", \"save\"]";
    let words = get("command").and_then(DeValue::as_array).ok_or(must)?;
    let command = words.iter().map(|word| word.get_ref().as_str().map(String::from).ok_or(must));
    let container = match get("container") {
        None => None,
        Some(name) => {
            let name_of = name.as_str().filter(|name| !name.is_empty());
            Some(name_of.ok_or_else(|| format!("container must be a name in quotes, and is {}", found(name)))?.into())
        }
    };
    let timeout = match get("timeout") {
        None => HOOK_TIMEOUT,
        Some(value) => {
            let duration = value.as_str().and_then(|text| parse::duration(text).ok()?.try_into().ok());
            duration.ok_or_else(|| format!("timeout must be a duration such as \"30s\", and is {}", found(value)))?
        }
    };
    let hook = Hook { at: word.into(), container, command: command.collect::<Result<_, _>>()?, timeout };
    if hook.can_run() { Ok(hook) } else { Err("command has no program that could be run".into()) }
}

fn show(hook: &Hook) -> Value {
    let timeout = jiff::SignedDuration::try_from(hook.timeout).unwrap_or(jiff::SignedDuration::MAX);
    let mut shown = Map::from_iter([
        ("at".to_string(), hook.at.as_str().into()),
        ("command".to_string(), hook.command.clone().into()),
        ("timeout".to_string(), in_days(timeout).into()),
    ]);
    shown.extend(hook.container.clone().map(|name| ("container".to_string(), name.into())));
    shown.into()
}
