//! What integration tests share: the PAM application, a stack for it, the stand-in for iVALT, files, log lines.
//!
//! ```ignore
//! #[support::sandbox_test]
//! fn accepted() {
//!     let ivalt = support::StandIn::start();
//!     let report = support::Case::against(&ivalt).answer("accept-1").run();
//!     assert_eq!(report.code(), support::codes::PAM_SUCCESS);
//!     assert_eq!(report.log_line().reason(), "verified");
//! }
//! ```
// Test code may do what the module must not.
#![allow(clippy::disallowed_methods, clippy::new_without_default)]

mod artifacts;
mod case;
pub mod certificates;
pub mod codes;
pub mod dev_log;
mod files;
pub mod finding_table;
pub mod libpam;
pub mod log_line;
pub mod man_page;
pub mod obfuscate;
mod reading;
pub mod report;
pub mod sandbox;
pub mod script;
pub mod server;
mod settings;
mod stand_in;
mod terminal;
pub mod trace;
mod words;

pub use artifacts::{
    checkout, example, helper_module, ivaltctl_path, module_path, release_is_tested,
};
pub use case::{Case, Observed, SERVICE, no_program, no_root, sandbox_unavailable, skipped};
pub use files::{TempDir, write_file};
pub use log_line::{LogLine, Severity};
pub use pam_ivalt_test_macros::sandbox_test;
pub use report::{Call, Entry, Footprint, Message, Report, SoakResult, Style, Taken};
pub use script::{Answer, Conversation, DevLog, Disposition, Interrupt, Reply, Script, Soak, Text};
pub use settings::{Settings, users};
pub use stand_in::StandIn;
