#![no_main]

#[path = "../damage.rs"]
mod damage;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| damage::check_decode(bytes));
