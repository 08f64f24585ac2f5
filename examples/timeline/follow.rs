use codex_telemetry::Timeline;

use crate::{
    draw,
    open_traces::OpenTraces,
    options::Options,
    report_skipped,
    source::{Chunk, Source},
};

/// The most bytes of a line. The rest of a longer one is skipped.
const MAX_LINE: usize = 1 << 20;

/// Draws each trace when its root call has ended, until nobody reads the output any more.
pub(crate) fn follow(options: &Options) -> Result<(), String> {
    let failed = |error| format!("cannot read {}: {error}", options.input);
    let mut source = Source::open(&options.input).map_err(failed)?;
    let mut open = OpenTraces::default();
    let mut line = Vec::new();
    loop {
        let bytes = match source.read().map_err(failed)? {
            Chunk::Bytes(bytes) => bytes,
            Chunk::Restarted => {
                line.clear();
                continue;
            }
            // Of a pipe that was closed, what has not ended is drawn as it is. If nobody reads that, it does no harm.
            Chunk::End => {
                draw_lines(options, &open.take())?;
                return Ok(());
            }
        };
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            if line.len() <= MAX_LINE {
                line.extend_from_slice(part);
            }
            if !part.ends_with(b"\n") {
                continue;
            }
            let ended = match open.add(line.trim_ascii()) {
                Ok(ended) => ended,
                Err(_) if line.trim_ascii().is_empty() => None,
                Err(_) => {
                    report_skipped(1);
                    None
                }
            };
            line.clear();
            if let Some(lines) = ended
                && !draw_lines(options, &lines)?
            {
                return Ok(());
            }
        }
    }
}

/// Draws what was asked for of these lines. Returns whether there is still somebody who reads it.
fn draw_lines(options: &Options, lines: &[u8]) -> Result<bool, String> {
    let timeline = Timeline::from_json_lines(lines).map_err(|error| error.to_string())?;
    report_skipped(timeline.skipped_lines());
    let timeline = options.filter(timeline);
    if timeline.is_empty() {
        return Ok(true);
    }
    draw(options, timeline)
}
