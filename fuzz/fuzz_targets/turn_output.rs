//! The output of Codex: any bytes, in chunks of any size, yield the same lines, and a turn or an error.
#![no_main]

use codex_telemetry::turn::{any_chunking, any_output};
use libfuzzer_sys::fuzz_target;

/// The number of leading bytes that choose how the rest is read. They are separate from the rest, so that
/// the fuzzer can change one without the other.
const KNOBS: usize = 4;

fuzz_target!(|input: &[u8]| {
    let Some((knobs, output)) = input.split_first_chunk::<KNOBS>() else {
        return;
    };
    let [flags, sizes @ ..] = knobs.map(u16::from);
    any_chunking(output, &sizes, usize::from(flags) * 8);
    any_output(output, flags % 2 == 1);
});
