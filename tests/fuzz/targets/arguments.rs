#![no_main]
libfuzzer_sys::fuzz_target!(
    init: pam_ivalt::fuzz::application::enter_stage().expect("root or a user namespace, for a /dev of its own"),
    |input: &[u8]| pam_ivalt::fuzz::arguments::run(input)
);
