#![no_main]

#[path = "../owners.rs"]
mod owners;
#[path = "../schemas.rs"]
mod schemas;
#[path = "../shapes.rs"]
mod shapes;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| owners::check_sets(bytes));
