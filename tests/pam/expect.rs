//! What a case must end in: the reasons of pam_ivalt(8) as values.

use support::codes::*;
use support::{LogLine, Report, Severity};

/// A row of the table: outcome, reason, PAM code, level.
#[derive(Clone, Copy, Debug)]
pub struct Row(pub &'static str, pub &'static str, pub i32, pub Severity);

pub const VERIFIED: Row = Row("allow", "verified", PAM_SUCCESS, Severity::Info);
pub const IGNORED_UNENROLLED: Row = Row("ignore", "unenrolled", PAM_IGNORE, Severity::Warning);
pub const IGNORED_UNAVAILABLE: Row = Row("ignore", "unavailable", PAM_IGNORE, Severity::Warning);
pub const EXEMPT: Row = Row("ignore", "exempt-network", PAM_IGNORE, Severity::Warning);
pub const NOT_ENROLLED: Row = Row("deny", "not-enrolled", PAM_USER_UNKNOWN, Severity::Notice);
pub const DISABLED: Row = Row("deny", "disabled", PAM_USER_UNKNOWN, Severity::Notice);
pub const BAD_ENTRY: Row = Row("deny", "bad-entry", PAM_USER_UNKNOWN, Severity::Notice);
pub const UNANSWERED: Row = Row("deny", "unanswered", PAM_CONV_ERR, Severity::Notice);
pub const MALFORMED: Row = Row("deny", "malformed-token", PAM_AUTH_ERR, Severity::Notice);
pub const PASSWORD: Row = Row("deny", "password-as-token", PAM_AUTH_ERR, Severity::Warning);
pub const REJECTED: Row = Row("deny", "token-rejected", PAM_AUTH_ERR, Severity::Notice);
pub const EXHAUSTED: Row = Row("deny", "token-rejected", PAM_MAXTRIES, Severity::Notice);
pub const KEY_REFUSED: Row = Row("deny", "api-key-refused", PAM_SERVICE_ERR, Severity::Error);
pub const UNAVAILABLE: Row = Row(
    "deny",
    "unavailable",
    PAM_AUTHINFO_UNAVAIL,
    Severity::Warning,
);
pub const MISCONFIGURED: Row = Row("deny", "misconfigured", PAM_SERVICE_ERR, Severity::Error);

/// What the user reads.
pub const PROMPT: &str = "iVALT token: ";
pub const REFUSED: &str = "iVALT refused the token.";
pub const OUTSIDE: &str = "iVALT refused the token: outside the allowed area.";
pub const NOT_SET_UP: &str = "iVALT is not set up for this account.";
pub const UNREACHABLE: &str = "iVALT cannot be reached.";
pub const BROKEN: &str =
    "iVALT is not set up correctly on this system; please tell its administrator.";

/// Code, one log line, level, facility and delay, all at once; gives the line for more.
///
/// The stack holds our module alone, so libpam's code is ours, but for an ignored module: then libpam denies.
#[track_caller]
pub fn expect(report: &Report, row: Row) -> LogLine {
    let line = report.log_line();
    let Row(outcome, reason, code, severity) = row;
    assert_eq!(
        (line.outcome().as_str(), line.reason().as_str()),
        (outcome, reason),
        "{line:?}"
    );
    assert_eq!((line.facility, line.severity), (10, severity), "{line:?}");
    assert_eq!(line.service, "ivalt-test");
    assert_eq!((line.ident.as_str(), line.pid), ("pam-client", report.pid));
    // pam_dispatch: a stack in which every module said PAM_IGNORE is no success.
    let expected = if code == PAM_IGNORE {
        PAM_PERM_DENIED
    } else {
        code
    };
    assert_eq!(report.code(), expected, "{line:?}");
    assert_eq!(report.asked_for_delay(), outcome == "deny", "{line:?}");
    line
}
