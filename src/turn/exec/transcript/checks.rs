//! What holds for any output of Codex, as property tests and fuzzers make it up.

use std::{
    collections::HashMap,
    convert::Infallible,
    future::{Future, ready},
    pin::pin,
    process::ExitStatus,
    task::{Context, Waker},
};

use tower::{Service, service_fn};
use tower_layer::Layer;

use super::{Expected, Transcript};
use crate::{
    call::{Call, CallContext},
    event::{EventKind, Operation},
    sink::MemorySink,
    timing::TimingLayer,
    turn::{TurnError, TurnRequest, Usage, exec::redact::Redactor},
};

/// Checks that any output is folded to the end or refused at one line, that what ended the turn stays
/// its end, and that each call that began has ended once.
#[allow(unreachable_pub, reason = "a fuzz target reaches it")]
pub fn any_output(output: &[u8], is_resumed: bool) {
    let sink = MemorySink::new();
    let mut turns = TimingLayer::new(sink.clone()).layer(service_fn(|call: Call<()>| {
        fold(output, is_resumed, call.context);
        ready(Ok::<_, Infallible>(()))
    }));
    let turn = pin!(turns.call(Call::new(Operation::Turn, ())));
    let polled = turn.poll(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_ready());

    let mut open = HashMap::new();
    for event in sink.events() {
        let count = open.entry(event.span_id()).or_insert(0);
        *count += if event.kind() == EventKind::Start {
            1
        } else {
            -1
        };
        assert!((0..=1).contains(count), "{event:?}");
    }
    assert!(open.values().all(|count| *count == 0), "{open:?}");
}

fn fold(output: &[u8], is_resumed: bool, context: CallContext) {
    let expected = Expected {
        resumed: is_resumed.then(|| ("thread".to_owned(), Some(Usage::default()))),
        sandbox: None,
    };
    let (_, parameters) = TurnRequest::new("a prompt").into_parts();
    let mut transcript = Transcript::new(context, expected, Redactor::new(&parameters));

    let mut refused = None;
    let mut taken = 0;
    for line in output.split(|byte| *byte == b'\n') {
        let was_over = transcript.is_over();
        taken += 1;
        match transcript.take(line) {
            Ok(_) => assert!(transcript.is_over() || !was_over, "the end was taken back"),
            Err(error) => {
                refused = Some(error);
                break;
            }
        }
    }
    assert_eq!(transcript.lines(), taken);
    let is_over = transcript.is_over();
    match refused {
        Some(TurnError::Protocol { line, .. }) => assert!(line == taken && !is_over),
        Some(TurnError::InvalidRequest { .. }) => assert!(is_resumed),
        Some(error) => panic!("{error}"),
        None => match transcript.finish(Ok(ExitStatus::default())) {
            Ok(turn) => assert!(is_over, "{turn:?}"),
            Err(error) => assert_eq!(is_over, matches!(error, TurnError::Failed { .. })),
        },
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::turn::exec::decode::properties::event;

    proptest! {
        #[test]
        fn any_events_are_folded_or_refused(
            events in vec(event(), 0..12),
            is_resumed in any::<bool>(),
        ) {
            any_output(events.join("\n").as_bytes(), is_resumed);
        }

        #[test]
        fn any_bytes_among_events_are_folded_or_refused(
            events in vec(event(), 0..4),
            bytes in vec(any::<u8>(), 0..64),
            more in vec(event(), 0..4),
        ) {
            let (events, more) = (events.join("\n"), more.join("\n"));
            let output = [events.as_bytes(), &bytes, more.as_bytes()].join(&b'\n');
            any_output(&output, false);
        }
    }
}
