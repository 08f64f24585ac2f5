//! Contents, which are recorded only for a sink that captures them.

use codex_telemetry::{
    CallContext, Event, EventKind, FanOut, Interest, Operation, Sink, TimingLayer, event::names,
};
use opentelemetry::KeyValue;
use tower::Layer;

use crate::{checked::MemorySink, support::*};

const SECRET: &str = "hunter2";

fn never() -> String {
    panic!("the content was collected")
}

/// Makes a call in which `look` sees the context.
fn look(sink: impl Sink + 'static, look: impl FnMut(&CallContext)) {
    let service = TimingLayer::new(sink).layer(shows(look));
    assert_eq!(call(service, request()), Ok(42));
}

#[test]
fn a_content_is_not_collected_unless_a_sink_captures_it() {
    fn record(context: &CallContext) {
        assert!(!context.captures_content());
        context.record_content(names::INPUT_MESSAGES, never);
        let child = context.open_child(Operation::Tool, None, None);
        child.record_content(names::TOOL_CALL_ARGUMENTS, never);
        child.finish();
    }
    look(MemorySink::new(), record);
    look(|_: Event| (), record);
    look((), record);
    look(FanOut::new().with(MemorySink::new()), record);
    // One that is disabled does not capture anything.
    struct Disabled;
    impl Sink for Disabled {
        fn emit(&self, _: Event) {}
        fn interest(&self) -> Interest {
            Interest::NONE
        }
        fn captures_content(&self, _: bool) -> bool {
            true
        }
    }
    look(FanOut::new().with(|_: Event| ()).with(Disabled), record);
    record(&CallContext::new());
}

#[test]
fn arc_option_and_fan_out_return_the_answer_of_the_inner_sink() {
    let captures = |sink: &dyn Sink| sink.captures_content(true);
    let capturing = MemorySink::capturing_content;
    assert!(captures(&std::sync::Arc::new(capturing())));
    assert!(captures(&Some(capturing())));
    assert!(captures(
        &FanOut::new().with(MemorySink::new()).with(capturing())
    ));
    assert!(!captures(&std::sync::Arc::new(MemorySink::new())));
    assert!(!captures(&Some(MemorySink::new())));
    assert!(!captures(&None::<MemorySink>));
    assert!(!captures(&FanOut::new().with(MemorySink::new())));
}

#[test]
fn a_content_is_not_collected_after_the_end_of_its_call() {
    let sink = MemorySink::capturing_content();
    let mut kept = None;
    look(sink.clone(), |context| {
        assert!(context.captures_content());
        kept = Some(context.clone());
    });
    let kept = kept.unwrap();
    assert!(!kept.captures_content());
    kept.record_content(names::INPUT_MESSAGES, never);
}

#[test]
fn only_the_terminal_event_has_the_content_and_it_is_no_attribute() {
    let sink = MemorySink::capturing_content();
    look(sink.clone(), |context| {
        context.record("rows", 12);
        context.record_content(names::INPUT_MESSAGES, || SECRET.to_owned());
    });
    let [start, end] = &sink.events()[..] else {
        panic!("{}", sink.timeline());
    };
    assert_eq!(start.kind(), EventKind::Start);
    assert_eq!(start.content(), []);
    assert_eq!(
        end.content(),
        [KeyValue::new(names::INPUT_MESSAGES, SECRET)]
    );
    assert_eq!(end.attributes(), [KeyValue::new("rows", 12)]);
    assert_eq!(end.attribute(names::INPUT_MESSAGES), None);
    assert!(!format!("{end:?}{}", sink.timeline()).contains(SECRET));
}

#[test]
fn each_call_has_its_own_content_and_the_last_of_a_key_counts() {
    let sink = MemorySink::capturing_content();
    look(sink.clone(), |context| {
        let child = context.open_child(Operation::Tool, None, None);
        for text in ["first", "last"] {
            child.record_content(names::TOOL_CALL_RESULT, || text.to_owned());
        }
        child.finish();
    });
    let ended = ended(&sink);
    let result = KeyValue::new(names::TOOL_CALL_RESULT, "last");
    assert_eq!(ended[0].content(), [result]);
    assert_eq!(ended[1].content(), []);
}

#[test]
fn a_content_over_64_kib_is_cut_at_a_character_boundary() {
    const LIMIT: usize = 64 * 1024;
    let sink = MemorySink::capturing_content();
    look(sink.clone(), |context| {
        context.record_content("whole", || "x".repeat(LIMIT));
        context.record_content("cut", || format!("x{}", "ä".repeat(LIMIT)));
    });
    let end = only(&sink);
    let [whole, cut] = end.content() else {
        panic!("{:?}", end.content().len());
    };
    assert_eq!(whole.value.as_str(), "x".repeat(LIMIT));
    assert_eq!(
        cut.value.as_str(),
        format!("x{}…", "ä".repeat((LIMIT - 1) / 2))
    );
}

#[test]
fn a_sink_that_panics_when_it_is_asked_is_detached_and_the_call_goes_on() {
    struct Panicking;
    impl Sink for Panicking {
        fn emit(&self, _: Event) {}
        fn captures_content(&self, _: bool) -> bool {
            panic!("asked")
        }
    }
    let other = MemorySink::capturing_content();
    look(
        FanOut::new().with(Panicking).with(other.clone()),
        |context| {
            context.record_content(names::INPUT_MESSAGES, || SECRET.to_owned());
        },
    );
    assert_eq!(only(&other).content().len(), 1);
}

#[test]
#[cfg(feature = "json")]
fn json_lines_do_not_show_the_content_that_another_sink_captures() {
    use codex_telemetry::JsonLinesSink;

    let lines = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    #[derive(Clone)]
    struct Shared(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);
    impl std::io::Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let memory = MemorySink::capturing_content();
    let json = JsonLinesSink::new(Shared(lines.clone()));
    look(FanOut::new().with(json).with(memory.clone()), |context| {
        context.record_content(names::INPUT_MESSAGES, || SECRET.to_owned());
    });
    assert_eq!(only(&memory).content().len(), 1);
    let lines = String::from_utf8(lines.lock().unwrap().clone()).unwrap();
    assert_eq!(lines.lines().count(), 2);
    assert!(
        !lines.contains(SECRET) && !lines.contains("gen_ai"),
        "{lines}"
    );
}
