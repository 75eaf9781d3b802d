//! What integration tests share: the PAM application, a stack for it, the stand-in for iVALT, files, log lines.
//!
//! ```ignore
//! mod support;
//!
//! #[test]
//! fn accepted() {
//!     if support::no_stage() { return; }
//!     let ivalt = support::StandIn::start();
//!     let report = support::Case::against(&ivalt).answer("accept-1").run();
//!     assert_eq!(report.code(), support::codes::PAM_SUCCESS);
//!     assert_eq!(report.log_line().reason(), "verified");
//! }
//! ```
// Every test binary compiles all of this and uses a part.
#![allow(dead_code, unused_imports)]

mod artifacts;
mod case;
pub mod codes;
mod files;
mod log_line;
mod reading;
mod settings;
mod stand_in;
mod terminal;
mod words;

// The two ends of pam-client, written once.
#[path = "../pam_client/disguise.rs"]
pub mod disguise;
#[path = "../pam_client/report.rs"]
pub mod report;
#[path = "../pam_client/script.rs"]
pub mod script;

pub use artifacts::{example, helper_module, module_path};
pub use case::{Case, Observed, SERVICE, no_program, no_root, no_stage, skipped};
pub use files::{TempDir, write_file};
pub use log_line::{LogLine, Severity};
pub use report::{Call, Endured, Entry, Footprint, Message, Report, Style, Taken};
pub use script::{
    Act, Answer, Conversation, DevLog, Disposition, Endurance, Interrupt, Script, Text,
};
pub use settings::{Settings, users};
pub use stand_in::StandIn;
