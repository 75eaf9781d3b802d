#![no_main]
#[path = "../mod.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|input: &[u8]| targets::ldif::run(input));
