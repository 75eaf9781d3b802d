#![no_main]
mod entry;
#[path = "../mod.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(
    init: targets::application::enter_sandbox(entry::pam_sm_authenticate).expect("root or a user namespace, for a /dev of its own"),
    |input: &[u8]| targets::conversation::run(input)
);
