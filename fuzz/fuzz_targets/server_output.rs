//! What an app-server writes: with any bytes, in reads of any size, its turns end, and nothing is approved that the
//! approver did not approve.
#![no_main]

use codex_telemetry::turn::{any_reads, any_server};
use libfuzzer_sys::fuzz_target;

/// The number of leading bytes that choose how the rest is read. They are separate from the rest, so that
/// the fuzzer can change one without the other.
const KNOBS: usize = 4;

fuzz_target!(|input: &[u8]| {
    let Some((knobs, output)) = input.split_first_chunk::<KNOBS>() else {
        return;
    };
    let [choice, sizes @ ..] = *knobs;
    let sizes = sizes.map(u16::from);
    any_server(output, &sizes, choice);
    any_reads(output, &sizes);
});
