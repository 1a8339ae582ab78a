#![no_main]

#[path = "../custom.rs"]
mod custom;
#[path = "../schemas.rs"]
mod schemas;
#[path = "../shapes.rs"]
mod shapes;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| custom::check_definitions(bytes));
