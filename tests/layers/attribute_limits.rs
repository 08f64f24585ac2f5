//! What a call keeps of its attributes is bounded, however many and however long they are.

use codex_telemetry::{Call, CallContext, Event, Operation, Outcome};
use opentelemetry::{Array, KeyValue, StringValue, Value};

use crate::support::*;

const LIMIT: usize = 16 * 1024;

/// Returns the terminal event of a call that records by `record`.
fn recorded(record: impl FnMut(&CallContext)) -> Event {
    let (service, sink) = timed(shows(record));
    assert_eq!(call(service, request()), Ok(42));
    assert_eq!(sink.events()[0].dropped_attributes(), 0, "of the start");
    only(&sink)
}

/// Returns what is kept of a value.
fn kept(value: Value) -> Value {
    let mut value = Some(value);
    let event = recorded(|context| context.record("value", value.take().expect("one call")));
    event.attribute("value").expect("recorded").clone()
}

#[test]
fn a_call_keeps_128_attributes_and_counts_the_rest() {
    let event = recorded(|context| {
        (0..80_000).for_each(|n| context.record(format!("key {n}"), n));
    });
    assert_eq!(event.attributes().len(), 128);
    assert_eq!(event.attribute("key 127"), Some(&127.into()));
    assert_eq!(event.attribute("key 128"), None);
    assert_eq!(event.dropped_attributes(), 80_000 - 128);
}

#[test]
fn a_key_that_is_recorded_again_takes_no_place_and_has_its_newest_value() {
    let event = recorded(|context| {
        for round in 0..1000 {
            (0..128).for_each(|n| context.record(format!("key {n}"), round * 1000 + n));
        }
    });
    assert_eq!(event.attributes().len(), 128);
    assert_eq!(event.dropped_attributes(), 0);
    assert_eq!(event.attribute("key 0"), Some(&999_000.into()));
    assert_eq!(event.attribute("key 127"), Some(&999_127.into()));
}

#[test]
fn a_child_call_that_a_service_opens_has_the_same_limits() {
    let (service, sink) = timed(shows(|context| {
        let child = context.open_child(Operation::Tool, None, None);
        (0..130).for_each(|n| child.record(format!("key {n}"), "x".repeat(LIMIT + 1)));
        child.record("key 0", 7);
        child.finish();
    }));
    assert_eq!(call(service, request()), Ok(42));
    let child = &sink.find(Operation::Tool, Outcome::Ok)[0];
    assert_eq!(
        (child.attributes().len(), child.dropped_attributes()),
        (128, 2)
    );
    assert_eq!(child.attribute("key 0"), Some(&7.into()));
    let cut = format!("{}…", "x".repeat(LIMIT));
    assert_eq!(child.attribute("key 1"), Some(&cut.into()));
}

#[test]
fn a_long_text_is_cut_at_a_character_boundary() {
    let fits = "x".repeat(LIMIT);
    assert_eq!(kept(fits.clone().into()), fits.clone().into());
    assert_eq!(kept(format!("{fits}y").into()), format!("{fits}…").into());
    // The limit is in the middle of the last `ä`.
    let text = format!("x{}", "ä".repeat(LIMIT / 2));
    let cut = format!("x{}…", "ä".repeat(LIMIT / 2 - 1));
    assert_eq!(kept(text.into()), cut.into());
}

#[test]
fn a_long_array_is_cut() {
    let array = |length: usize| {
        [
            Array::Bool(vec![true; length]),
            Array::I64(vec![7; length]),
            Array::F64(vec![0.5; length]),
            Array::String(vec!["x".into(); length]),
        ]
        .map(Value::Array)
    };
    for (long, expected) in array(100_000).into_iter().zip(array(128)) {
        assert_eq!(kept(long), expected);
    }
    for short in array(128) {
        assert_eq!(kept(short.clone()), short);
    }
}

#[test]
fn the_texts_of_an_array_share_the_limit_of_one_text() {
    let texts = |lengths: [usize; 4], end: &str| {
        let text = |length| StringValue::from(format!("{}{end}", "x".repeat(length)));
        lengths.map(text).to_vec()
    };
    let fit = Value::Array(texts([LIMIT / 4; 4], "").into());
    assert_eq!(kept(fit.clone()), fit);

    let long = texts([LIMIT / 2, LIMIT / 2 + 1, LIMIT, 1], "");
    let mut expected = texts([LIMIT / 2, LIMIT / 2, 0, 0], "…");
    expected[0] = long[0].clone();
    assert_eq!(
        kept(Value::Array(long.into())),
        Value::Array(expected.into())
    );
}

#[test]
fn an_attribute_with_a_long_key_is_dropped_and_counted() {
    let event = recorded(|context| {
        context.record("k".repeat(256), 1);
        context.record("k".repeat(257), 2);
    });
    assert_eq!(event.attributes().len(), 1);
    assert_eq!(event.attribute(&"k".repeat(256)), Some(&1.into()));
    assert_eq!(event.dropped_attributes(), 1);
}

#[test]
fn a_long_name_or_id_is_cut_in_the_events_and_whole_in_the_request() {
    let long = "x".repeat(1000);
    let context = CallContext::new()
        .with_thread_id(long.clone())
        .with_turn_id(long.clone())
        .with_call_id(long.clone());
    let (service, sink) = timed(shows({
        let long = long.clone();
        move |context| {
            assert_eq!(context.call_id(), Some(&*long));
            let child = context.open_child(
                Operation::Tool,
                Some(long.clone().into()),
                Some(long.clone().into()),
            );
            child.finish();
            context.record_thread_id(format!("y{long}"));
            context.record_turn_id(format!("y{long}"));
        }
    }));
    let request = Call::new(Operation::Tool, ()).with_name(long.clone());
    assert_eq!(call(service, request.with_context(context)), Ok(42));

    let (cut, recorded) = (
        format!("{}…", "x".repeat(256)),
        format!("y{}…", "x".repeat(255)),
    );
    let events = sink.events();
    assert_eq!(events.len(), 4);
    for (number, event) in events.iter().enumerate() {
        let ids = if number == 3 { &recorded } else { &cut };
        assert_eq!(event.call_name(), Some(&*cut), "{number}");
        assert_eq!(event.call_id(), Some(&*cut), "{number}");
        assert_eq!(event.thread_id(), Some(&**ids), "{number}");
        assert_eq!(event.turn_id(), Some(&**ids), "{number}");
    }
}

#[test]
fn a_name_and_ids_of_256_bytes_are_whole() {
    let fits = "x".repeat(256);
    let context = CallContext::new().with_thread_id(fits.clone());
    let (service, sink) = timed(answers());
    let request = Call::new(Operation::Tool, ()).with_name(fits.clone());
    assert_eq!(call(service, request.with_context(context)), Ok(42));
    let event = only(&sink);
    assert_eq!(event.call_name(), Some(&*fits));
    assert_eq!(event.thread_id(), Some(&*fits));
}

#[test]
fn a_span_event_has_the_limits_of_a_call_and_counts_what_it_drops() {
    let long = "x".repeat(LIMIT + 1);
    let event = recorded(|context| {
        let attributes = (0..130).map(|n| KeyValue::new(format!("key {n}"), long.clone()));
        let long_key = KeyValue::new("k".repeat(257), 1);
        context.add_event_with("large", [long_key].into_iter().chain(attributes));
        context.add_event("small");
    });
    let [large, small] = event.span_events() else {
        panic!("{:?}", event.span_events());
    };
    assert_eq!(large.attributes.len(), 128);
    assert_eq!(large.dropped_attributes_count, 3);
    let cut = format!("{}…", "x".repeat(LIMIT));
    assert_eq!(large.attributes[0], KeyValue::new("key 0", cut));
    assert_eq!(
        (small.attributes.len(), small.dropped_attributes_count),
        (0, 0)
    );
    // Those of a span event are not those of its call.
    assert_eq!(
        (event.attributes(), event.dropped_attributes()),
        (&[][..], 0)
    );
}

#[test]
fn a_span_event_has_each_key_once_with_its_last_value() {
    let event = recorded(|context| {
        let attributes = [("a", 1), ("b", 2), ("a", 3)];
        let attributes = attributes.map(|(key, value)| KeyValue::new(key, value));
        context.add_event_with("twice", attributes);
    });
    let expected = [KeyValue::new("a", 3), KeyValue::new("b", 2)];
    assert_eq!(event.span_events()[0].attributes, expected);
}

#[test]
fn a_call_keeps_128_span_events_with_their_attributes_and_counts_the_rest() {
    let event = recorded(|context| {
        (0..200).for_each(|n| context.add_event_with("tick", [KeyValue::new("number", n)]));
    });
    assert_eq!(event.span_events().len(), 128);
    assert_eq!(event.dropped_span_events(), 72);
    let last = &event.span_events()[127].attributes;
    assert_eq!(*last, [KeyValue::new("number", 127)]);
}
