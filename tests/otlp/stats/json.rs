//! The JSON of the stats.

use std::time::Duration;

use serde_json::json;

use crate::rig::{Gate, Gated, calls, spans_only};

#[test]
fn stats_serialize_with_the_pending_records_of_each_signal() {
    let gate = Gate::closed();
    let sink = spans_only(|config| config)
        .span_exporter(Gated::waiting(&gate))
        .start();
    calls(sink.clone(), 3);
    let off = json!({ "accepted": 0, "exported": 0, "failed": 0, "filtered": 0, "dropped": 0, "pending": 0 });
    let traces = json!({ "accepted": 3, "exported": 0, "failed": 0, "filtered": 0, "dropped": 0, "pending": 3 });
    let expected = json!({ "traces": traces, "metrics": off, "logs": off });
    assert_eq!(serde_json::to_value(sink.stats()).unwrap(), expected);
    sink.blocking_shutdown(Duration::ZERO).unwrap_err();
    let traces = json!({ "accepted": 3, "exported": 0, "failed": 3, "filtered": 0, "dropped": 0, "pending": 0 });
    assert_eq!(serde_json::to_value(sink.stats().traces).unwrap(), traces);
}
