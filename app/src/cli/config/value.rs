//! Single values: how each is written in the file, how it is shown, and where the one in force comes from.

use std::{
    fmt::{self, Display},
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use clap::ValueEnum;
use jiff::{SignedDuration, tz::TimeZone};
use serde_json::Value;
use toml::de::DeValue;

use crate::cli::{
    args::{ModeArg, ProgressMode, RedeployArg, Unhealthy},
    parse,
};

/// A value, and where it comes from.
#[derive(Clone, Debug, Default)]
pub struct At<T> {
    pub value: T,
    pub source: Source,
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// This argument.
    Flag(&'static str),
    /// This variable.
    Environment(&'static str),
    /// This line of the configuration file.
    File { line: usize },
    /// Nobody said anything else.
    #[default]
    Default,
}

impl<T> At<T> {
    /// What is so if nobody says anything else.
    pub fn usual(value: T) -> Self {
        At { value, source: Source::Default }
    }
}

/// What a key may be set to.
pub trait Written: Sized {
    /// Reads it; an error says what it must be.
    fn read(value: &DeValue<'_>) -> Result<Self, String>;
    /// As `config show` shows it: as it may be written in the file, or `null` if nothing is.
    fn show(&self) -> Value;
}

/// A value that may be left out.
impl<T: Written> Written for Option<T> {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        T::read(value).map(Some)
    }

    fn show(&self) -> Value {
        self.as_ref().map_or(Value::Null, T::show)
    }
}

impl Written for bool {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        value.as_bool().ok_or_else(|| format!("must be true or false, and is {}", found(value)))
    }

    fn show(&self) -> Value {
        Value::Bool(*self)
    }
}

impl Written for u32 {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let number = value.as_integer().and_then(|i| u32::from_str_radix(i.as_str(), i.radix()).ok());
        number.ok_or_else(|| format!("must be a number from 0 to {}, and is {}", u32::MAX, found(value)))
    }

    fn show(&self) -> Value {
        (*self).into()
    }
}

/// What a TOML file can say at the most.
const NUMBER_MAX: u64 = i64::MAX as u64;

/// A limit: nothing at all would be none that anybody wants.
impl Written for u64 {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let number = value.as_integer().and_then(|i| u64::from_str_radix(i.as_str(), i.radix()).ok());
        let number = number.filter(|number| (1..=NUMBER_MAX).contains(number));
        number.ok_or_else(|| format!("must be a number from 1 to {NUMBER_MAX}, and is {}", found(value)))
    }

    fn show(&self) -> Value {
        (*self).into()
    }
}

impl Written for NonZeroUsize {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let number = u32::read(value).map_or_else(|_| String::new(), |number| number.to_string());
        parse::jobs(&number).map_err(|must| format!("{must}, and is {}", found(value)))
    }

    fn show(&self) -> Value {
        self.get().into()
    }
}

/// A time zone by its name.
#[derive(Clone, Debug)]
pub struct Zone(pub TimeZone);

impl Written for Zone {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let zone = value.as_str().and_then(|name| TimeZone::get(name).ok());
        zone.map(Zone).ok_or_else(|| format!("must be a time zone such as \"Europe/Rome\", and is {}", found(value)))
    }

    fn show(&self) -> Value {
        self.0.iana_name().map_or(Value::Null, Into::into)
    }
}

impl Written for PathBuf {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        // Relative to what? Commands run in many places.
        let path = value.as_str().map(Path::new).filter(|path| path.is_absolute());
        path.map(Into::into).ok_or_else(|| format!("must be an absolute path in quotes, and is {}", found(value)))
    }

    fn show(&self) -> Value {
        self.display().to_string().into()
    }
}

impl Written for SignedDuration {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let must = || format!("must be a duration such as \"7d\" or \"1h 30m\", and is {}", found(value));
        value.as_str().and_then(|text| parse::duration(text).ok()).ok_or_else(must)
    }

    fn show(&self) -> Value {
        in_days(*self).into()
    }
}

/// `7d 12h`, as it may be written; jiff's own form stops at hours.
pub(super) fn in_days(duration: SignedDuration) -> String {
    const DAY: i64 = 24 * 60 * 60;
    let (days, rest) = (duration.as_secs() / DAY, duration.as_secs() % DAY);
    let rest = SignedDuration::new(rest, duration.subsec_nanos());
    match (days, rest.is_zero()) {
        (0, _) => format!("{rest:#}"),
        (_, true) => format!("{days}d"),
        (_, false) => format!("{days}d {rest:#}"),
    }
}

/// How long something is waited for; `none` is not at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeout(pub Option<SignedDuration>);

impl std::str::FromStr for Timeout {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Timeout(None)),
            text => parse::duration(text).map(|duration| Timeout(Some(duration))),
        }
    }
}

impl Written for Timeout {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let must = || format!("must be a duration such as \"2m\", or \"none\", and is {}", found(value));
        value.as_str().and_then(|text| text.parse().ok()).ok_or_else(must)
    }

    fn show(&self) -> Value {
        self.0.map_or_else(|| "none".into(), |duration| duration.show())
    }
}

/// The socket of a container engine on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DockerHost(pub String);

impl Display for DockerHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Written for DockerHost {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let host = value.as_str().filter(|host| host.strip_prefix("unix://").is_some_and(|path| path.starts_with('/')));
        host.map(|host| DockerHost(host.into()))
            .ok_or_else(|| format!("must be a Unix socket, \"unix:///path\", and is {}", found(value)))
    }

    fn show(&self) -> Value {
        self.0.clone().into()
    }
}

macro_rules! words {
    ($($kind:ty),*) => {$(
        impl Written for $kind {
            fn read(value: &DeValue<'_>) -> Result<Self, String> {
                let word = value.as_str().and_then(|text| <$kind>::from_str(text, false).ok());
                word.ok_or_else(|| format!("must be {}, and is {}", one_of::<$kind>(), found(value)))
            }

            fn show(&self) -> Value {
                self.to_possible_value().map_or(Value::Null, |value| value.get_name().into())
            }
        }
    )*};
}

words!(ModeArg, ProgressMode, RedeployArg, Unhealthy);

/// `"a", "b" or "c"`.
pub(super) fn one_of<T: ValueEnum>() -> String {
    let values = T::value_variants().iter().filter_map(ValueEnum::to_possible_value);
    let mut names: Vec<String> = values.map(|value| format!("{:?}", value.get_name())).collect();
    let last = names.pop().unwrap_or_default();
    match names.is_empty() {
        true => last,
        false => format!("{} or {last}", names.join(", ")),
    }
}

/// What stands there instead.
pub(super) fn found(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(yes) => yes.to_string(),
        DeValue::Datetime(at) => at.to_string(),
        DeValue::Array(_) => "a list".into(),
        DeValue::Table(_) => "a table".into(),
    }
}
