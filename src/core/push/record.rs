//! What is remembered of the requests to one phone, as text of a fixed size: one write replaces it.
//!
//! ```text
//! ivalt-push 1
//! requests=84123,84711
//! hold=denied since=84711 time=1795674000 rhost=203.0.113.7
//! ```

use std::fmt;

use crate::log_line::quote_log_value;

/// In bytes: one page, which tmpfs writes as a whole, and more than the longest record needs.
pub const SIZE: usize = 4096;

const HEAD: &str = "ivalt-push 1\n";
/// How long a request counts, in seconds.
const HOUR: u64 = 3600;

/// The requests to one phone that were not approved. Times are seconds of the boot clock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// When those left that nobody answered, of the last hour.
    pub requests: Vec<u64>,
    /// The last one that was not answered, or was denied.
    pub hold: Option<Hold>,
}

/// A request after which no other leaves for a while. It shows itself by the login that it was for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// How it ended.
    pub kind: Kind,
    /// By the boot clock, in seconds.
    pub since: u64,
    /// When it left: seconds since 1970.
    pub time: u64,
    /// `PAM_RHOST` of the login, as the log line shows it.
    pub rhost: String,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Not yet, or its login was killed.
    Outstanding,
    /// Nobody approved or refused in time.
    Unanswered,
    /// Refused on the phone.
    Denied,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Outstanding, Self::Unanswered, Self::Denied];

    fn word(self) -> &'static str {
        match self {
            Self::Outstanding => "outstanding",
            Self::Unanswered => "unanswered",
            Self::Denied => "denied",
        }
    }

    /// A request lives about five minutes at iVALT; who denied one has been asked by somebody else.
    fn seconds(self) -> u64 {
        match self {
            Self::Outstanding | Self::Unanswered => 300,
            Self::Denied => 900,
        }
    }
}

impl Hold {
    /// Of foreign bytes. More of them would leave no room for the rest of a sentence in the log.
    #[must_use]
    pub fn new(since: u64, time: u64, rhost: &[u8]) -> Self {
        let rhost = &rhost[..rhost.len().min(64)];
        Self {
            kind: Kind::Outstanding,
            since,
            time,
            rhost: quote_log_value(rhost),
        }
    }

    /// How many seconds it still holds others back, if it does.
    #[must_use]
    pub fn left(&self, now: u64) -> Option<u64> {
        // Both were rounded down: never less than the whole time.
        let end = self.since.min(now).saturating_add(self.kind.seconds());
        (now <= end).then(|| end - now + 1)
    }

    fn parse(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once(" since=")?;
        let (since, rest) = rest.split_once(" time=")?;
        let (time, rhost) = rest.split_once(" rhost=")?;
        let is_quoted = rhost.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        is_quoted.then_some(())?;
        Some(Self {
            kind: Kind::ALL.into_iter().find(|known| known.word() == kind)?,
            since: since.parse().ok()?,
            time: time.parse().ok()?,
            rhost: rhost.to_owned(),
        })
    }
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rhost, time) = (&self.rhost, utc(self.time));
        write!(f, "of the login at {time} with rhost={rhost}")
    }
}

impl Record {
    /// The text, as long as every other.
    #[must_use]
    pub fn text(&self) -> Vec<u8> {
        let requests: Vec<_> = self.requests.iter().map(u64::to_string).collect();
        let hold = self.hold.as_ref().map_or("none".to_owned(), |hold| {
            let (
                kind,
                Hold {
                    since, time, rhost, ..
                },
            ) = (hold.kind.word(), hold);
            format!("{kind} since={since} time={time} rhost={rhost}")
        });
        let text = format!("{HEAD}requests={}\nhold={hold}\n", requests.join(","));
        let mut text = text.into_bytes();
        text.resize(SIZE, b'\n');
        text
    }

    /// Reads the text; an empty file says that nothing is known. `None` where it is anything else.
    #[must_use]
    pub fn parse(content: &[u8]) -> Option<Self> {
        if content.is_empty() {
            return Some(Self::default());
        }
        let text = std::str::from_utf8(content).ok()?.strip_prefix(HEAD)?;
        let (requests, hold) = text.strip_prefix("requests=")?.split_once("\nhold=")?;
        let requests = requests.split(',').filter(|stamp| !stamp.is_empty());
        let record = Self {
            requests: requests
                .map(|stamp| stamp.parse().ok())
                .collect::<Option<_>>()?,
            hold: match hold.trim_end_matches('\n') {
                "none" => None,
                hold => Some(Hold::parse(hold)?),
            },
        };
        (record.text() == content).then_some(record)
    }

    /// What of it counts at this time. A time that has not come, of an earlier boot, say, counts as now.
    pub fn at(&mut self, now: u64) {
        if let Some(hold) = &mut self.hold {
            hold.since = hold.since.min(now);
        }
        for stamp in &mut self.requests {
            *stamp = (*stamp).min(now);
        }
        self.requests.retain(|stamp| now - stamp <= HOUR);
    }
}

/// `2026-11-26T06:20:00Z`, as RFC 3339 writes it, of seconds since 1970. The date by H. Hinnant's `civil_from_days`.
fn utc(time: u64) -> String {
    let (days, second) = (time / 86_400 + 719_468, time % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Counted from March.
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            requests: vec![0, 84_123, u64::MAX],
            hold: Some(Hold::new(84_123, 1_795_674_000, b"203.0.113.7")),
        }
    }

    #[test]
    fn the_longest_record_has_room_and_comes_back() {
        let longest = Record {
            requests: vec![u64::MAX; 60],
            hold: Some(Hold::new(u64::MAX, u64::MAX, &[0xff; 300])),
        };
        for record in [Record::default(), record(), longest] {
            let text = record.text();
            assert_eq!((text.len(), text.last()), (SIZE, Some(&b'\n')));
            assert_eq!(Record::parse(&text), Some(record));
        }
        assert_eq!(Record::parse(b""), Some(Record::default()));
    }

    /// What is not as it was written says nothing, not even that nothing is known.
    #[test]
    fn a_torn_record_is_damaged() {
        let text = record().text();
        for cut in [1, 12, 13, 40, 100, SIZE - 1] {
            assert!(Record::parse(&text[..cut]).is_none(), "{cut}");
            let mut zeros = text.clone();
            zeros[cut..].fill(0);
            assert!(Record::parse(&zeros).is_none(), "{cut}");
        }
        let with = |from: &str, to: &str| {
            let mut other = String::from_utf8(text.clone())
                .unwrap()
                .replacen(from, to, 1);
            other.truncate(SIZE);
            Record::parse(format!("{other:\n<SIZE$}").as_bytes())
        };
        assert_eq!(with("", ""), Some(record()));
        for (from, to) in [
            ("push 1", "push 2"),
            ("outstanding", "none"),
            ("outstanding", "expired"),
            ("since=84123", "since=+84123"),
            ("since=84123", "since=084123"),
            ("requests=0", "requests=-1"),
            ("requests=0", "requests=,0"),
            ("\nhold", "\n\nhold"),
            ("rhost=", "host="),
        ] {
            assert_eq!(with(from, to), None, "{from} {to}");
        }
    }

    #[test]
    fn a_hold_ends_after_its_time_and_never_before() {
        let hold = |kind| Hold {
            kind,
            ..Hold::new(1_000, 0, b"")
        };
        for (kind, seconds) in [
            (Kind::Outstanding, 300),
            (Kind::Unanswered, 300),
            (Kind::Denied, 900),
        ] {
            let left = |now| hold(kind).left(now);
            assert_eq!(left(1_000), Some(seconds + 1), "{kind:?}");
            assert_eq!(left(1_000 + seconds), Some(1), "{kind:?}");
            assert_eq!(left(1_001 + seconds), None, "{kind:?}");
        }
    }

    /// After a reboot where the record is not on tmpfs, say: it is over some time, not at once and not never.
    #[test]
    fn a_time_that_has_not_come_counts_as_now() {
        let mut record = record();
        record.at(100);
        assert_eq!(record.requests, [0, 100, 100]);
        assert_eq!(record.hold.as_ref().unwrap().since, 100);
        record.at(3_700);
        assert_eq!(record.requests, [100, 100]);
        record.at(3_701);
        assert_eq!(
            (record.requests.len(), record.hold.unwrap().since),
            (0, 100)
        );
    }

    #[test]
    fn times_are_utc() {
        for (time, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_795_674_000, "2026-11-26T06:20:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(utc(time), expected);
        }
    }
}
