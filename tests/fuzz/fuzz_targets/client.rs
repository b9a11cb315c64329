#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| sse_io_fuzz::client(data));

#[cfg(not(fuzzing))]
fn main() -> std::io::Result<()> {
    sse_io_fuzz::replay(sse_io_fuzz::client)
}
