//! PAX records: what does not fit into a ustar header.

use super::member::{Hole, Time};

/// Bytes of records before one member at the most.
pub(super) const RECORDS_MAX: usize = 1 << 20;
/// Holes of one file at the most; further ones are stored as zeros like data.
pub(super) const HOLES_MAX: usize = 20_000;

/// Records in the order in which they were written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Records(pub(super) Vec<(Vec<u8>, Vec<u8>)>);

impl Records {
    pub(super) fn push(&mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.0.push((key.into(), value.into()));
    }

    /// The records as they stand in an archive: `<length> <key>=<value>\n`, the length counting itself.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (key, value) in &self.0 {
            let rest = 1 + key.len() + 1 + value.len() + 1;
            let mut length = rest + 1;
            while length != rest + length.to_string().len() {
                length = rest + length.to_string().len();
            }
            bytes.extend(length.to_string().bytes());
            bytes.push(b' ');
            bytes.extend(key);
            bytes.push(b'=');
            bytes.extend(value);
            bytes.push(b'\n');
        }
        bytes
    }

    /// Reads records; `None` if they are not well formed or a key comes twice.
    pub(super) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let mut records = Records::default();
        let mut keys = std::collections::BTreeSet::new();
        while !bytes.is_empty() {
            let space = bytes.iter().take(8).position(|&byte| byte == b' ')?;
            let length: usize = number(&bytes[..space])?;
            let record = bytes.get(space + 1..length)?.strip_suffix(b"\n")?;
            let equals = record.iter().position(|&byte| byte == b'=')?;
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            if key.is_empty() || !keys.insert(key) {
                return None;
            }
            records.push(key, value);
            bytes = &bytes[length..];
        }
        Some(records)
    }
}

/// A decimal number without a sign.
pub(super) fn number<T: std::str::FromStr>(digits: &[u8]) -> Option<T> {
    let text = std::str::from_utf8(digits).ok()?;
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

/// A time as PAX writes it: seconds with a fraction, the sign before the whole.
pub(super) fn time(time: Time) -> String {
    let Time { seconds, nanoseconds } = time;
    match (seconds < 0, nanoseconds) {
        (_, 0) => seconds.to_string(),
        (false, _) => format!("{seconds}.{nanoseconds:09}"),
        (true, _) => format!("-{}.{:09}", seconds.unsigned_abs() - 1, 1_000_000_000 - nanoseconds),
    }
}

/// Reads such a time; `None` if it is none.
pub(super) fn parse_time(text: &[u8]) -> Option<Time> {
    let (negative, digits) = match text.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let dot = digits.iter().position(|&byte| byte == b'.');
    let (whole, fraction) = dot.map_or((digits, &b""[..]), |dot| (&digits[..dot], &digits[dot + 1..]));
    let seconds: i64 = number(whole)?;
    let nanoseconds = match fraction.len() {
        0 if dot.is_none() => 0,
        1..=9 => number::<u32>(fraction)? * 10_u32.pow(9 - u32::try_from(fraction.len()).ok()?),
        _ => return None,
    };
    Some(match (negative, nanoseconds) {
        (false, _) => Time { seconds, nanoseconds },
        (true, 0) => Time { seconds: -seconds, nanoseconds },
        (true, _) => Time { seconds: -seconds - 1, nanoseconds: 1_000_000_000 - nanoseconds },
    })
}

/// A hole map: `<offset>:<bytes>` for each hole, with commas between.
pub(super) fn holes(holes: &[Hole]) -> String {
    holes.iter().map(|hole| format!("{}:{}", hole.offset, hole.bytes)).collect::<Vec<_>>().join(",")
}

/// Reads a hole map of a file of `size` bytes; `None` unless the holes are in order, apart from each other and within
/// the file.
pub(super) fn parse_holes(text: &[u8], size: u64) -> Option<Vec<Hole>> {
    let mut holes = Vec::new();
    let mut end_of_last = None;
    for part in text.split(|&byte| byte == b',') {
        let colon = part.iter().position(|&byte| byte == b':')?;
        let hole = Hole { offset: number(&part[..colon])?, bytes: number(&part[colon + 1..])? };
        let end = hole.offset.checked_add(hole.bytes)?;
        let apart = end_of_last.is_none_or(|last| hole.offset > last);
        if hole.bytes == 0 || end > size || !apart || holes.len() == HOLES_MAX {
            return None;
        }
        end_of_last = Some(end);
        holes.push(hole);
    }
    Some(holes)
}

/// The key of an extended attribute; `=` would end it too early.
pub(super) fn xattr_key(name: &[u8]) -> Vec<u8> {
    let mut key = b"SCHILY.xattr.".to_vec();
    for &byte in name {
        match byte {
            b'%' => key.extend(b"%25"),
            b'=' => key.extend(b"%3D"),
            _ => key.push(byte),
        }
    }
    key
}

/// The attribute's name from what follows `SCHILY.xattr.` in its key.
pub(super) fn xattr_name(mut key: &[u8]) -> Vec<u8> {
    let mut name = Vec::with_capacity(key.len());
    while let Some((&byte, rest)) = key.split_first() {
        (key, _) = match rest {
            [b'2', b'5', rest @ ..] if byte == b'%' => (rest, name.push(b'%')),
            [b'3', b'D', rest @ ..] if byte == b'%' => (rest, name.push(b'=')),
            _ => (rest, name.push(byte)),
        };
    }
    name
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lengths_count_their_own_digits() {
        let mut records = Records::default();
        records.push("a", vec![b'x'; 93]);
        records.push("b", vec![b'x'; 94]);
        let bytes = records.encode();
        assert!(bytes.starts_with(b"99 a=x"));
        assert!(bytes[99..].starts_with(b"101 b=x"));
        assert_eq!(Records::decode(&bytes), Some(records));
    }

    #[test]
    fn malformed_records_are_refused() {
        for bad in ["5", "6 a=b", "6 a=b\n6 a=c\n", "7 a=b\n", "4 a\n", "5 =b\n", "+6 a=b\n", "99999999 a=b\n", "0 "] {
            assert_eq!(Records::decode(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn lying_hole_maps_are_refused() {
        assert_eq!(parse_holes(b"0:4,8:2", 10).map(|holes| holes.len()), Some(2));
        for bad in ["", "4", "4:0", "0:11", "4:2,0:2", "0:4,2:4", "0:4,4:2", "18446744073709551615:2", "-1:2"] {
            assert_eq!(parse_holes(bad.as_bytes(), 10), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_time_is_read_as_it_was_written(seconds in -(1_i64 << 40)..(1 << 40), nanoseconds in 0..1_000_000_000_u32) {
            let written = Time { seconds, nanoseconds };
            prop_assert_eq!(parse_time(time(written).as_bytes()), Some(written));
        }

        #[test]
        fn any_attribute_name_is_read_as_it_was_written(name in proptest::collection::vec(1_u8.., 0..40)) {
            let key = xattr_key(&name);
            prop_assert!(!key.contains(&b'='));
            prop_assert_eq!(xattr_name(&key[13..]), name);
        }
    }
}
