//! Commands and options: help, suggestions for typos and completion come from here, and the man page is tested against
//! it.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, CommandFactory, Parser, Subcommand, ValueEnum};

use super::Exit;
use super::check::Target;
use super::verify::NO_SERVICE;
use ivalt_core::arguments::DEFAULT_CONFIG;
use ivalt_core::settings::Dialect;

const EXAMPLES: &str = "Examples:
  ivaltctl users add alice +14155550100    enrol alice
  ivaltctl verify alice                    try alice's token, as a login would
  ivaltctl check                           find problems, and how to fix them
  ivaltctl enable sshd                     enable iVALT for ssh, with automatic rollback
  ivaltctl confirm                         keep the change, once a second login has worked";

/// Administers pam_ivalt: iVALT as a factor of Linux logins.
#[derive(Debug, Parser)]
#[command(name = "ivaltctl", version, after_help = EXAMPLES, max_term_width = 100)]
pub struct CommandLine {
    /// Settings file
    #[arg(long, global = true, value_name = "PATH", default_value = DEFAULT_CONFIG)]
    pub config: PathBuf,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Check(CheckArgs),
    Users(UsersArgs),
    Recovery(RecoveryArgs),
    Verify(VerifyArgs),
    Api(ApiArgs),
    Push(PushArgs),
    Enable(EnableArgs),
    Confirm(ConfirmArgs),
    Disable(DisableArgs),
    /// Wait for the confirmation and put the files back without one; `enable` starts it
    ///
    /// Without a service: put back whatever is pending and nobody waits for; ivaltctl-rollback.service runs it.
    #[command(hide = true)]
    Rollback {
        /// The service that was enabled
        service: Option<String>,
    },
    /// Print a completion script for a shell
    #[command(after_help = "Examples:
  ivaltctl completion bash > /etc/bash_completion.d/ivaltctl")]
    Completion {
        /// For this shell
        shell: Shell,
    },
}

/// Find problems in settings, users, PAM stacks and the services around them, and say how to fix them
///
/// Reads only, but for --accept and --retract. Exit status: 0 nothing found, 1 warnings, 2 something lets users in or
/// locks them out; with --accept and --retract: 0 done, 1 refused, nothing changed.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  ivaltctl check
  ivaltctl check --online      connect to iVALT, too
  ivaltctl check --root /mnt   the system below /mnt instead of this one
  ivaltctl check --accept sshd-methods-bypass:/etc/ssh/sshd_config --because 'sftp accounts have keys only'
  ivaltctl check --retract sshd-methods-bypass")]
pub struct CheckArgs {
    /// Look up and connect to iVALT, too
    #[arg(long)]
    pub online: bool,
    /// Check the system below DIR
    #[arg(long, value_name = "DIR", default_value = "/", conflicts_with_all = ["accept", "retract"])]
    pub root: PathBuf,
    /// Record that what is found now is meant: every finding of this id, or those in FILE
    #[arg(long, value_name = "ID[:FILE]", requires = "because", conflicts_with_all = ["online", "retract"])]
    pub accept: Option<Target>,
    /// Why it is meant
    #[arg(long, value_name = "TEXT", requires = "accept", conflicts_with = "retract", value_parser = reason)]
    pub because: Option<String>,
    /// Take back what --accept recorded
    #[arg(long, value_name = "ID[:FILE]", conflicts_with = "online")]
    pub retract: Option<Target>,
    /// Report as JSON
    #[arg(long)]
    pub json: bool,
}

/// Enrol users: list, show and change users.toml
///
/// The file is the one that users_file of the settings names; the settings may still lack the API key. Comments, order
/// and all other lines stay as they are. The file is replaced atomically: a reader, even after a crash, finds the old
/// one or the new one. Accounts that this machine does not know, and users who share a mobile, are pointed out.
/// Exit status: 0 done, 1 refused, nothing changed.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  ivaltctl users list
  ivaltctl users add alice +14155550100
  ivaltctl users import --dry-run new-people.csv
  ivaltctl users disable alice")]
pub struct UsersArgs {
    #[command(subcommand)]
    pub command: UsersCommand,
    /// Show what would change, and change nothing
    #[arg(long, global = true)]
    pub dry_run: bool,
    /// Report as JSON
    #[arg(long, global = true)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum UsersCommand {
    /// List all users, their mobiles masked
    ///
    /// A bad entry is listed with the reason for which a login of that user is refused.
    #[command(after_help = "Examples:
  ivaltctl users list --json")]
    List,
    /// Show one user with the whole mobile
    ///
    /// The name is compared byte for byte, as at a login.
    #[command(after_help = "Examples:
  ivaltctl users show alice")]
    Show {
        /// The account
        name: String,
    },
    /// Enrol a user
    ///
    /// A name that is already in the file is refused: remove it first. If there is no file yet, it is created,
    /// root:root 0600.
    #[command(after_help = "Examples:
  ivaltctl users add alice +14155550100
  ivaltctl users add first.last '+91 62839-74746'")]
    Add {
        /// The account
        name: String,
        /// E.164: + and 7 to 15 digits; blanks, dashes, dots, slashes and parentheses are removed. With
        /// mobile_format = "national" in the settings: 7 to 15 digits, kept as written where the module reads it so
        mobile: String,
    },
    /// Remove a user, in whatever form and however often the name is there
    #[command(after_help = "Examples:
  ivaltctl users remove alice")]
    Remove {
        /// The account
        name: String,
    },
    /// Enable a disabled user
    #[command(after_help = "Examples:
  ivaltctl users enable alice")]
    Enable {
        /// The account
        name: String,
    },
    /// Disable a user, but keep the mobile
    #[command(after_help = "Examples:
  ivaltctl users disable alice")]
    Disable {
        /// The account
        name: String,
    },
    /// Enrol the users of a CSV file: all of them, or none
    ///
    /// The file has the columns name,mobile and perhaps enabled, or titles as Active Directory, Entra ID, Okta and
    /// Google Workspace export them. Every row that cannot be used is reported with its line, and then nothing is
    /// changed. Rows without a mobile, and those whose users are already enrolled identically, are skipped and named.
    #[command(after_help = "Examples:
  ivaltctl users import new-people.csv
  ivaltctl users import ad.csv --name-column SamAccountName --mobile-column mobile
  ivaltctl users import -    from standard input")]
    Import {
        /// The file; - for standard input
        file: PathBuf,
        #[command(flatten)]
        columns: ColumnTitles,
    },
    /// Bring the synced users file in step with a directory, or with a CSV file
    ///
    /// The file is the one that synced_users_file of the settings names, and nobody else writes it; whom users_file
    /// names, is not touched by it. The directory is that of /etc/ivalt/directory.toml. Only a complete answer is
    /// believed, one without anybody never. A changed mobile is held: the old one stays, and is named at every run, until
    /// it is accepted. Exit status: 0 in step, held mobiles and named problems included; 1 refused, nothing changed;
    /// 4 directory unavailable, nothing changed.
    #[command(after_help = "Examples:
  ivaltctl users sync --dry-run
  ivaltctl users sync people.csv --name-column SamAccountName --mobile-column mobile
  ivaltctl users sync --accept-changes alice --accept-changes bob
  ivaltctl users sync -    a CSV file from standard input")]
    Sync(SyncArgs),
}

/// What `users sync` reads, and what of it is meant.
#[derive(Args, Debug)]
pub struct SyncArgs {
    /// A CSV file in place of the directory; - for standard input
    pub file: Option<PathBuf>,
    #[command(flatten)]
    pub columns: ColumnTitles,
    /// Also where more people are gone than guard.lose_percent allows
    #[arg(long)]
    pub accept_losses: bool,
    /// Let this user's changed mobile in, and delete the recovery codes; all: everybody's
    #[arg(long, value_name = "NAME|all")]
    pub accept_changes: Vec<String>,
}

/// Which columns of a CSV file are read.
#[derive(Args, Debug)]
pub struct ColumnTitles {
    /// The title of the column with the names of the accounts
    #[arg(long, value_name = "TITLE", requires = "file")]
    pub name_column: Option<String>,
    /// The title of the column with the mobiles
    #[arg(long, value_name = "TITLE", requires = "file")]
    pub mobile_column: Option<String>,
}

/// One-time recovery codes, for the day on which iVALT or the phone is away
///
/// A code is typed in place of the token, and lets its user in once; with codes = true under [recovery] in the settings.
/// Exit status: 0 done, 1 refused, nothing changed.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  ivaltctl recovery make alice
  ivaltctl recovery list
  ivaltctl recovery revoke alice 3 4")]
pub struct RecoveryArgs {
    #[command(subcommand)]
    pub command: RecoveryCommand,
    /// Report as JSON
    #[arg(long, global = true)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum RecoveryCommand {
    /// Make codes for a user who is enrolled, and print them once
    ///
    /// They are on disk, as hashes, before they are printed; nobody can print them again.
    #[command(after_help = "Examples:
  ivaltctl recovery make alice
  ivaltctl recovery make alice --replace --expires 90d
  ivaltctl recovery make alice --stdout | lpr")]
    Make(MakeArgs),
    /// List codes: their numbers, made, expires, and when and from where they were used
    #[command(after_help = "Examples:
  ivaltctl recovery list
  ivaltctl recovery list alice --json")]
    List {
        /// The account; everybody without it
        name: Option<String>,
    },
    /// Revoke codes of a user
    #[command(after_help = "Examples:
  ivaltctl recovery revoke alice 3 4
  ivaltctl recovery revoke alice --all --dry-run",
        group(ArgGroup::new("which").args(["numbers", "all"]).required(true)))]
    Revoke {
        /// The account
        name: String,
        /// The numbers of the codes, as the sheet has them
        #[arg(value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
        numbers: Vec<u32>,
        /// All of them
        #[arg(long)]
        all: bool,
        /// Show what would change, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
}

/// What `recovery make` makes.
#[derive(Args, Debug)]
pub struct MakeArgs {
    /// The account
    pub name: String,
    /// How many, 1000 at most
    #[arg(long, value_name = "COUNT", default_value = "10", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub count: u32,
    /// How long they can be used: 90d, 12h; or never
    #[arg(long, value_name = "TIME", default_value = "365d", value_parser = lifetime)]
    pub expires: Lifetime,
    /// Revoke the user's other codes, once the new ones are printed
    #[arg(long)]
    pub replace: bool,
    /// Print them also where no terminal reads
    #[arg(long)]
    pub stdout: bool,
    /// Make them also where the store lies on tmpfs or an overlay, and may be gone after a reboot
    #[arg(long)]
    pub volatile: bool,
}

/// How long a recovery code can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    For(Duration),
    Never,
}

/// Enable iVALT for a service, with automatic rollback
///
/// Shows the change and asks for confirmation. Unless `ivaltctl confirm` follows in time, it is rolled back.
/// Exit status: 0 done, 1 refused, nothing changed.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  ivaltctl enable sshd
  ivaltctl enable sudo --confirm-within 10m
  ivaltctl enable sshd --dry-run
  ivaltctl enable sshd --yes --json    for scripts",
    group(ArgGroup::new("unasked").args(["yes", "dry_run"]).multiple(true)))]
pub struct EnableArgs {
    /// The name of its file in /etc/pam.d: sshd, sudo, su, login …
    pub service: String,
    /// How long to wait for the confirmation: 30s, 5m, 1h
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = duration)]
    pub confirm_within: Duration,
    /// Do not ask for confirmation
    #[arg(long)]
    pub yes: bool,
    /// Show what would change, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Change the system below DIR: no reload, no automatic rollback
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
    /// Report as JSON; with --yes or --dry-run, since nothing can be asked
    #[arg(long, requires = "unasked")]
    pub json: bool,
}

/// Keep what `enable` has changed
///
/// For every service that waits for it, unless one of its files is as it was before `enable`, or `check` finds that
/// something lets in or locks out. Exit status: 0 done, 1 one of them refused.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  ivaltctl confirm
  ivaltctl confirm --json")]
pub struct ConfirmArgs {
    /// Report as JSON
    #[arg(long)]
    pub json: bool,
}

/// Disable iVALT for a service: restore its files as they were before `enable`
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  ivaltctl disable sshd
  ivaltctl disable --all
  ivaltctl disable --all --dry-run --json",
    group(ArgGroup::new("unasked").args(["yes", "dry_run"]).multiple(true)))]
pub struct DisableArgs {
    /// The name of its file in /etc/pam.d
    #[arg(required_unless_present = "all")]
    pub service: Option<String>,
    /// Disable it for every service for which `enable` enabled it, or for none
    #[arg(long, conflicts_with = "service")]
    pub all: bool,
    /// Do not ask for confirmation
    #[arg(long)]
    pub yes: bool,
    /// Show what would change, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Change the system below DIR
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
    /// Report as JSON; with --yes or --dry-run, since nothing can be asked
    #[arg(long, requires = "unasked")]
    pub json: bool,
}

/// Try a user's token: the module's own decision, without a login
///
/// Asks what a login would ask and sends what a login would send. Exit status: 0 allow, 1 deny, 3 ignore.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  ivaltctl verify alice
  ivaltctl verify alice --service sshd    with the module's arguments in /etc/pam.d/sshd
  printf '%s\\n' \"$token\" | ivaltctl verify alice --json")]
pub struct VerifyArgs {
    /// The account
    pub name: String,
    /// Use the module's arguments in the file of this service in /etc/pam.d
    #[arg(long, value_name = "SERVICE", default_value = NO_SERVICE)]
    pub service: String,
    /// Report as JSON
    #[arg(long)]
    pub json: bool,
}

/// Send one operation of iVALT's API and show the answer
///
/// Secrets are asked for without echo, or read from standard input, one a line, in the order of the questions.
/// Exit status: 0 success, 1 refused, 4 unavailable.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  ivaltctl api validate-token --mobile +14155550100
  printf '%s\\n%s\\n' \"$token\" \"$face\" | ivaltctl api validate-user
  ivaltctl api client-auth --json")]
pub struct ApiArgs {
    #[command(subcommand)]
    pub operation: Operation,
    /// Report as JSON
    #[arg(long, global = true)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum Operation {
    /// validate/global/rest/auth: whether a token belongs to a mobile
    #[command(after_help = "Examples:
  ivaltctl api validate-token --mobile +14155550100
  ivaltctl api validate-token --user alice")]
    ValidateToken {
        /// This mobile number; asked for when neither is given
        #[arg(long, value_name = "MOBILE", conflicts_with = "user")]
        mobile: Option<String>,
        /// The mobile number of this user in users.toml
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
    },
    /// api/v1/validate/user: whether an auth token and a face token belong together
    #[command(after_help = "Examples:
  ivaltctl api validate-user")]
    ValidateUser,
    /// biometric-auth-request: send one request to the phone of a user, and show every answer for a minute
    ///
    /// Lets nobody in. Takes the lock of a login by push, obeys its holds and sets them. Needs push.url in the settings;
    /// push.enabled may be false. Exit status: 0 approved, 1 denied, unanswered, busy or held, 4 unavailable.
    #[command(after_help = "Examples:
  ivaltctl api push alice
  ivaltctl api push alice --dialect auth-result --json")]
    Push {
        /// The account, as in users.toml
        name: String,
        /// How approvals are asked for, other than by push.dialect of the settings
        #[arg(long, value_name = "DIALECT")]
        dialect: Option<PushDialect>,
    },
    /// api/v1/auth: whether iVALT accepts this host's api.client_id and api.client_secret
    #[command(after_help = "Examples:
  ivaltctl api client-auth")]
    ClientAuth,
}

/// `push.dialect`, as it is written in the settings.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum PushDialect {
    GeoFenceResults,
    AuthResult,
}

impl From<PushDialect> for Dialect {
    fn from(dialect: PushDialect) -> Self {
        match dialect {
            PushDialect::GeoFenceResults => Self::GeoFenceResults,
            PushDialect::AuthResult => Self::AuthResult,
        }
    }
}

/// Logins that are approved on the phone
///
/// Exit status: 0 done, 1 refused, nothing changed.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  ivaltctl push release alice")]
pub struct PushArgs {
    #[command(subcommand)]
    pub command: PushCommand,
    /// Report as JSON
    #[arg(long, global = true)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum PushCommand {
    /// End what holds requests to a user's phone back
    ///
    /// After a request that nobody answered, requests to a phone are held back for five minutes; after one that was denied,
    /// for fifteen; and for up to an hour once push.max_unanswered of them were not answered.
    #[command(after_help = "Examples:
  ivaltctl push release alice")]
    Release {
        /// The account, as in users.toml
        name: String,
    },
}

/// Whoever reads it later must learn something.
fn reason(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("say why it is meant, for whoever reads it later".to_owned()),
        text => Ok(text.to_owned()),
    }
}

const DAY: u64 = 86_400;

/// `90`, `90s`, `5m`, `1h`: a second at least, a day at most.
fn duration(text: &str) -> Result<Duration, String> {
    let seconds = seconds(text).filter(|seconds| (1..=DAY).contains(seconds));
    let seconds = seconds.ok_or("expected a time such as 30s, 5m or 1h, at most a day")?;
    Ok(Duration::from_secs(seconds))
}

/// `90d`, `12h`, `never`: a second at least, a hundred years at most.
fn lifetime(text: &str) -> Result<Lifetime, String> {
    if text == "never" {
        return Ok(Lifetime::Never);
    }
    let seconds = seconds(text).filter(|seconds| (1..=36_525 * DAY).contains(seconds));
    let seconds = seconds.ok_or("expected a time such as 365d or 12h, at most 36525d; or never")?;
    Ok(Lifetime::For(Duration::from_secs(seconds)))
}

fn seconds(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(['s', 'm', 'h', 'd']);
    let unit = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => DAY,
        _ => return None,
    };
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits
        .parse::<u64>()
        .ok()
        .filter(|_| plain)?
        .checked_mul(unit)
}

/// The shells of Linux logins; clap_complete knows others, too.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Shell {
    Bash,
    Fish,
    Zsh,
}

/// Prints the completion script.
pub fn complete(shell: Shell) -> Exit {
    let shell = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Fish => clap_complete::Shell::Fish,
        Shell::Zsh => clap_complete::Shell::Zsh,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut CommandLine::command(), "ivaltctl", &mut script);
    super::terminal::print(&*String::from_utf8_lossy(script.trim_ascii_end()));
    Exit::Done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn times_have_units_and_bounds() {
        for (text, seconds) in [("1", 1), ("30s", 30), ("5m", 300), ("24h", 86_400)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(duration("1d"), Ok(Duration::from_secs(86_400)));
        for text in [
            "",
            "0",
            "0m",
            "m",
            "5mm",
            "-5m",
            "5 m",
            "25h",
            "2d",
            "+5m",
            "99999999999999999999h",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn codes_live_for_days_or_for_ever() {
        let days = |days: u64| Ok(Lifetime::For(Duration::from_secs(days * 86_400)));
        assert_eq!(lifetime("365d"), days(365));
        assert_eq!(lifetime("48h"), days(2));
        assert_eq!(lifetime("never"), Ok(Lifetime::Never));
        for text in [
            "",
            "0d",
            "36526d",
            "1y",
            "never ",
            "-1d",
            "99999999999999999999d",
        ] {
            assert!(lifetime(text).is_err(), "{text}");
        }
    }
}
