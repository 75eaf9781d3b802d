//! Times as RFC 3339 writes them.

use std::time::{SystemTime, UNIX_EPOCH};

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

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_time_in_utc() {
        let time = UNIX_EPOCH + Duration::from_secs(1_795_674_000);
        assert_eq!(utc(time), "2026-11-26T06:20:00Z");
    }
}
