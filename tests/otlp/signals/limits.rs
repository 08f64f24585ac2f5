//! The limits of the attributes and of the events of a record.

use codex_telemetry::{CallContext, Operation};

use super::support::Rig;

#[test]
fn a_record_has_128_attributes_by_default_and_those_of_the_crate_first() {
    let rig = Rig::new();
    let work = |context: CallContext| {
        (0..1000).for_each(|n| context.record(format!("key {n}"), n));
        Ok(())
    };
    rig.calls
        .run(Operation::Tool, "ls", CallContext::new(), work)
        .unwrap();
    let receiver = rig.flush();
    let span = receiver.spans().remove(0);
    let log = receiver.logs().remove(1);
    for attributes in [&span.attributes, &log.attributes] {
        assert_eq!(attributes.len(), 128);
        assert_eq!(attributes["gen_ai.tool.name"], "ls");
        assert_eq!(attributes["codex.outcome"], "ok");
        assert_eq!(attributes["key 0"], 0);
    }
    // Four are the crate's own.
    assert_eq!(span.dropped_attributes, 1000 - (128 - 4));
}
