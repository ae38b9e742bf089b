#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| verbena_fuzz::tls_records::check(data));
