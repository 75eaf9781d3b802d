#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| pam_ivalt::fuzz::answer::run(input));
