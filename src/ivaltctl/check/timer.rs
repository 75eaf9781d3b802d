//! Timers of systemd, by their files: whether one is enabled, and how often it runs; systemd.timer(5), systemd.time(7).

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::recovery::unit;
use crate::root::Root;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const WEEK: u64 = 7 * DAY;
/// A timer whose times are not understood runs at least so often.
const LONG: Duration = Duration::from_secs(366 * DAY);

/// When a timer was enabled; nothing where it is not.
pub fn enabled_since(root: &Root, timer: &str) -> Option<SystemTime> {
    let wants = ["timers.target.wants", "multi-user.target.wants"];
    let mut links = wants.iter().map(|folder| {
        let link = PathBuf::from("/etc/systemd/system")
            .join(folder)
            .join(timer);
        root.link_metadata(&link)?.modified()
    });
    links.find_map(Result::ok)
}

/// The longest time between two runs.
pub fn interval(root: &Root, timer: &str) -> Duration {
    let mut intervals = Vec::new();
    for (key, value) in unit::assignments(root, timer, "Timer") {
        let interval = match key.as_str() {
            "OnCalendar" => calendar(&value),
            "OnUnitActiveSec" | "OnUnitInactiveSec" => span(&value),
            _ => continue,
        };
        match value.as_str() {
            // It takes back what was set before.
            "" => intervals.clear(),
            _ => intervals.push(interval.map_or(LONG, Duration::from_secs)),
        }
    }
    // Each of them makes it run more often.
    intervals.into_iter().min().unwrap_or(LONG)
}

/// The seconds between two times of an expression, at most. `None`: not understood.
fn calendar(expression: &str) -> Option<u64> {
    let word = expression.to_ascii_lowercase();
    match word.as_str() {
        "minutely" => return Some(MINUTE),
        "hourly" => return Some(HOUR),
        "daily" => return Some(DAY),
        "weekly" => return Some(WEEK),
        "monthly" => return Some(31 * DAY),
        _ => {}
    }
    let mut words = word.split_whitespace().peekable();
    let is_day = |word: &&str| {
        let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
        days.iter().any(|day| word.starts_with(day))
    };
    let by_day = words.next_if(is_day);
    if words
        .next_if(|word| word.contains('-'))
        .is_some_and(|date| date != "*-*-*")
    {
        return None;
    }
    let time = words.next().unwrap_or("00:00");
    // A time zone may follow.
    let parts: Vec<_> = time.split(':').collect();
    let [hours, minutes, ..] = parts[..] else {
        return None;
    };
    let interval = match (repetition(hours), repetition(minutes)) {
        (Some(0), Some(every)) => every.max(1) * MINUTE,
        (Some(every), _) => every.max(1) * HOUR,
        (None, _) => DAY,
    };
    match by_day {
        None => Some(interval),
        Some(_) => Some(WEEK.max(interval)),
    }
}

/// `*` is 0, `*/15` and `0/15` are 15; nothing for what happens once.
fn repetition(part: &str) -> Option<u64> {
    match part.split_once('/') {
        Some((_, every)) => every.parse().ok(),
        None => (part == "*").then_some(0),
    }
}

/// `90`, `15min`, `1h 30min`; nothing where a unit is not known.
fn span(text: &str) -> Option<u64> {
    let mut total = 0_u64;
    let mut rest = text.trim();
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number: u64 = rest[..digits].parse().ok()?;
        rest = rest[digits..].trim_start();
        let letters = rest.len()
            - rest
                .trim_start_matches(|c: char| c.is_ascii_alphabetic())
                .len();
        let unit = match &rest[..letters] {
            "" | "s" | "sec" | "second" | "seconds" => 1,
            "m" | "min" | "minute" | "minutes" => MINUTE,
            "h" | "hr" | "hour" | "hours" => HOUR,
            "d" | "day" | "days" => DAY,
            "w" | "week" | "weeks" => WEEK,
            _ => return None,
        };
        total = total.checked_add(number.checked_mul(unit)?)?;
        rest = rest[letters..].trim_start();
    }
    (total > 0).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_often_a_calendar_expression_comes_at_least() {
        for (expression, seconds) in [
            ("hourly", Some(HOUR)),
            ("Daily", Some(DAY)),
            ("*:0/15", Some(15 * MINUTE)),
            ("*-*-* *:0/15:00", Some(15 * MINUTE)),
            ("*:*:00", Some(MINUTE)),
            ("*-*-* *:00:00", Some(HOUR)),
            ("*-*-* 0/4:00", Some(4 * HOUR)),
            ("*-*-* 06:00:00 Europe/Berlin", Some(DAY)),
            ("06:30", Some(DAY)),
            ("06,18:30", Some(DAY)),
            ("Mon *-*-* 06:00", Some(WEEK)),
            ("Mon..Fri *:0/15", Some(WEEK)),
            ("Sat", Some(WEEK)),
            ("*-*-01 06:00", None),
            ("2026-12-24", None),
            ("quarterly", None),
        ] {
            assert_eq!(calendar(expression), seconds, "{expression}");
        }
    }

    #[test]
    fn spans_as_systemd_writes_them() {
        for (text, seconds) in [
            ("90", Some(90)),
            ("15min", Some(900)),
            ("1h 30min", Some(5400)),
            ("2 d", Some(2 * DAY)),
            ("1y", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(span(text), seconds, "{text}");
        }
    }
}
