//! What single arguments mean: durations, labels, volumes, and where the state is when nobody says.

use std::{num::NonZeroUsize, path::PathBuf};

use jiff::{SignedDuration, Span, SpanRelativeTo};
use volsnap::{
    Code, Error, Result,
    model::{DeclaredVolume, IdRange},
};
use volsnap_disk::Disk;

/// The most that a calendar has.
const DAYS_MAX: i64 = 7_304_484;

/// `2m`, `90s`, `1h 30m`, `7d`, `2w`; a day has 24 hours.
pub fn duration(text: &str) -> Result<SignedDuration, String> {
    let span: Option<Span> = text.parse().ok();
    let duration = span.and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok());
    let largest = SignedDuration::from_hours(24 * DAYS_MAX);
    duration.filter(|duration| duration.is_positive() && *duration <= largest).ok_or_else(|| {
        format!(
            "must be a duration such as `90s`, `2m`, `1h 30m` or `7d`, longer than nothing and at most `{DAYS_MAX}d`"
        )
    })
}

/// How many threads may be asked for. A host does not give any number of them.
pub fn jobs(text: &str) -> Result<NonZeroUsize, String> {
    let number = text.parse().ok().filter(|number: &NonZeroUsize| number.get() <= Disk::JOBS_MAX);
    number.ok_or_else(|| format!("must be a number from 1 to {}", Disk::JOBS_MAX))
}

/// `key=value`.
pub fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.into(), value.into())),
        Some(_) | None => Err("must be KEY=VALUE".into()),
    }
}

/// `target=path`; the path may contain `=`.
pub fn volume(text: &str) -> Result<DeclaredVolume, String> {
    match text.split_once('=') {
        Some((target, path)) if !target.is_empty() && !path.is_empty() => {
            Ok(DeclaredVolume { target: target.into(), path: path.into() })
        }
        Some(_) | None => Err("must be TARGET=HOSTPATH".into()),
    }
}

/// `from:to` or `from:to:count`.
pub fn id_range(text: &str) -> Result<IdRange, String> {
    let numbers: Vec<u32> = text
        .split(':')
        .map(str::parse)
        .collect::<Result<_, _>>()
        .map_err(|error: std::num::ParseIntError| error.to_string())?;
    match *numbers.as_slice() {
        [from, to] => Ok(IdRange { from, to, count: 1 }),
        [from, to, count] => Ok(IdRange { from, to, count }),
        _ => Err("must be FROM:TO or FROM:TO:COUNT".into()),
    }
}

/// `/var/lib/volsnap` for root, else `volsnap` in the user's state directory.
pub fn default_state_dir() -> Result<PathBuf> {
    if rustix::process::geteuid().is_root() {
        return Ok("/var/lib/volsnap".into());
    }
    // As the XDG base directory specification has it: a relative path is as good as none.
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")));
    base.map(|base| base.join("volsnap")).ok_or_else(|| {
        Error::new(Code::Usage, "neither XDG_STATE_HOME nor HOME says where the state directory is")
            .hint("give --state-dir")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, seconds) in
            [("2m", 120), ("90s", 90), ("1h 30m", 5400), ("7d", 604_800), ("2w", 1_209_600), ("PT5M", 300)]
        {
            assert_eq!(duration(text).unwrap().as_secs(), seconds, "{text}");
        }
        assert_eq!(duration("7304484d"), duration("175307616h"));
        for text in ["", "soon", "0s", "-5m", "1month", "10", "7304485d", "175307617h", "99999999999999999999s"] {
            assert!(duration(text).unwrap_err().starts_with("must be a duration such as `90s`"), "{text}");
        }
    }

    #[test]
    fn threads_are_a_number_that_a_host_gives() {
        assert_eq!(["1", "256"].map(|text| jobs(text).unwrap().get()), [1, 256]);
        for text in ["", "0", "-1", "257", "100000", "18446744073709551616", "four"] {
            assert_eq!(jobs(text).unwrap_err(), "must be a number from 1 to 256", "{text}");
        }
    }

    #[test]
    fn a_path_may_contain_an_equals_sign_and_a_target_may_not() {
        let parsed = volume("/data=/srv/a=b").unwrap();
        assert_eq!((parsed.target.as_str(), parsed.path.to_str()), ("/data", Some("/srv/a=b")));
        for text in ["/data", "=/srv", "/data=", ""] {
            assert!(volume(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_range_of_ids_has_one_if_it_does_not_say_how_many() {
        assert_eq!(id_range("1000:2000").unwrap(), IdRange { from: 1000, to: 2000, count: 1 });
        assert_eq!(id_range("0:100000:65536").unwrap(), IdRange { from: 0, to: 100_000, count: 65_536 });
        for text in ["", "1", "1:2:3:4", "1:x", "-1:2", "1:4294967296"] {
            assert!(id_range(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_label_may_be_empty_but_not_nameless() {
        assert_eq!(label("a=b=c").unwrap(), ("a".into(), "b=c".into()));
        assert_eq!(label("a=").unwrap(), ("a".into(), String::new()));
        assert!(label("=b").is_err());
        assert!(label("a").is_err());
    }
}
