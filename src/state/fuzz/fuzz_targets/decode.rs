#![no_main]

#[path = "../laws.rs"]
mod laws;
#[path = "../naive.rs"]
mod naive;
#[path = "../shapes.rs"]
mod shapes;
#[path = "../store.rs"]
mod store;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| laws::check_decode(bytes));
