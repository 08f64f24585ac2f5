//! What Codex writes: any bytes, in any pieces, are the same lines, and fold into a turn or an error.
#![no_main]

use codex_telemetry::turn::{any_chunking, any_output};
use libfuzzer_sys::fuzz_target;

/// How many bytes say how the rest is to be read. They stand in front of it as they are, so that what
/// the fuzzer puts into the rest stays what it is.
const KNOBS: usize = 4;

fuzz_target!(|input: &[u8]| {
    let Some((knobs, output)) = input.split_first_chunk::<KNOBS>() else {
        return;
    };
    let [flags, sizes @ ..] = knobs.map(u16::from);
    any_chunking(output, &sizes, usize::from(flags) * 8);
    any_output(output, flags % 2 == 1);
});
