//! Times as RFC 3339 writes them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use x509_parser::time::ASN1Time;

/// `2026-11-26T06:20:00Z`
pub fn utc(time: SystemTime) -> String {
    let seconds = time
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let seconds = i64::try_from(seconds).unwrap_or_default();
    let time = ASN1Time::from_timestamp(seconds).unwrap_or_else(|_| ASN1Time::now());
    let time = time.to_datetime();
    let (date, time) = (time.date(), time.time());
    let (hour, minute, second) = time.as_hms();
    format!(
        "{:04}-{:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z",
        date.year(),
        u8::from(date.month()),
        date.day()
    )
}

/// A time that [`utc`] wrote.
pub fn parse(text: &str) -> Option<SystemTime> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let numbers = |text: &str, separator| -> Option<[u64; 3]> {
        let parts: Result<Vec<_>, _> = text.split(separator).map(str::parse).collect();
        parts.ok()?.try_into().ok()
    };
    let ([year, month, day], [hour, minute, second]) = (numbers(date, '-')?, numbers(time, ':')?);
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Years that begin in March end with the leap day.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    let days = days.checked_sub(719_468)?;
    let seconds = days * 86_400 + hour.min(23) * 3600 + minute.min(59) * 60 + second.min(60);
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_in_utc() {
        let time = UNIX_EPOCH + Duration::from_secs(1_795_674_000);
        assert_eq!(utc(time), "2026-11-26T06:20:00Z");
    }

    #[test]
    fn what_is_written_is_read_again() {
        // Every day of a century, at another second of the day.
        for day in 0..40_000_u64 {
            let time = UNIX_EPOCH + Duration::from_secs(day * 86_400 + day * 7 % 86_400);
            assert_eq!(parse(&utc(time)), Some(time), "{}", utc(time));
        }
        for other in [
            "",
            "Z",
            "2026-11-26",
            "2026-13-01T00:00:00Z",
            "0000-01-01T00:00:00Z",
            "2026-11-26T06:20Z",
        ] {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}
