//! Events that become nothing are neither made nor queued.

use codex_telemetry::{
    Call, Interest, Operation, OtlpConfig, OtlpSink, Sink as _, TimingLayer,
    otlp::{
        Signal,
        config::{LogSelection, OtlpConfigBuilder, Sampler},
    },
};
use futures_util::FutureExt as _;
use tower::{Layer as _, Service as _, service_fn};

use crate::rig::{Gate, Gated, PATIENCE, calls, spans_only};

const TRACES: Signal = Signal::Traces;

fn interest(
    signals: &[Signal],
    configure: impl FnOnce(OtlpConfigBuilder) -> OtlpConfigBuilder,
) -> Interest {
    let config = OtlpConfig::builder().endpoint("http://127.0.0.1:9");
    let config = configure(config.signals(signals.iter().copied()));
    OtlpSink::start(config.build().unwrap()).interest()
}

#[test]
fn a_sink_wants_the_events_that_become_anything() {
    let logs = |selection| move |config: OtlpConfigBuilder| config.log_selection(selection);
    for (signals, selection, wants) in [
        (&[TRACES][..], LogSelection::All, Interest::ENDS),
        (&[Signal::Metrics], LogSelection::All, Interest::ALL),
        (&[Signal::Logs], LogSelection::All, Interest::ALL),
        (&[Signal::Logs], LogSelection::Ends, Interest::ENDS),
        (&[Signal::Logs], LogSelection::Exceptions, Interest::ENDS),
        (&[TRACES, Signal::Logs], LogSelection::All, Interest::ALL),
        (&[TRACES, Signal::Logs], LogSelection::Ends, Interest::ENDS),
        (
            &[TRACES, Signal::Metrics],
            LogSelection::None,
            Interest::ALL,
        ),
    ] {
        let of = interest(signals, logs(selection));
        assert_eq!(of, wants, "{signals:?}, {selection:?}");
    }
}

#[test]
fn traces_alone_of_which_none_is_sampled_want_nothing() {
    for (sampler, wants) in [
        (Sampler::AlwaysOn, Interest::ENDS),
        (Sampler::AlwaysOff, Interest::NONE),
        // The parent of a request decides, or the trace id.
        (Sampler::ParentBasedAlwaysOff, Interest::ENDS),
        (Sampler::TraceIdRatio(0.5), Interest::ENDS),
    ] {
        let of = interest(&[TRACES], |config| config.sampler(sampler));
        assert_eq!(of, wants, "{sampler:?}");
    }
    let off = |config: OtlpConfigBuilder| config.sampler(Sampler::AlwaysOff);
    // Failed traces are kept whole, for which their calls are counted.
    let of = interest(&[TRACES], |config| off(config).keep_failures(true));
    assert_eq!(of, Interest::ALL);
    let of = interest(&[TRACES, Signal::Metrics], off);
    assert_eq!(of, Interest::ALL);
}

#[test]
fn the_start_of_a_span_takes_no_room_in_the_queue() {
    let gate = Gate::closed();
    let exporter = Gated::blocking(&gate);
    let sink = spans_only(|config| config.queue_capacity(1).batch_size(1))
        .span_exporter(exporter.clone())
        .start();
    calls(sink.clone(), 1);
    // From here on, the export thread is blocked.
    gate.wait_for_export();
    calls(sink.clone(), 1);
    let traces = sink.stats().traces;
    assert_eq!((traces.accepted, traces.dropped), (2, 0), "{traces:?}");
    gate.open();
    assert_eq!(sink.blocking_shutdown(PATIENCE), Ok(()));
    assert_eq!(exporter.spans().len(), 2);
}

#[test]
fn traces_alone_that_are_always_off_open_no_call() {
    let sink = spans_only(|config| config.sampler(Sampler::AlwaysOff));
    let sink = sink.start();
    let service = service_fn(|call: Call<()>| {
        assert!(!call.context.is_recording());
        std::future::ready(Ok::<_, ()>(()))
    });
    let mut service = TimingLayer::new(sink.clone()).layer(service);
    let answer = service.call(Call::new(Operation::Turn, ()));
    assert_eq!(answer.now_or_never(), Some(Ok(())));
    assert_eq!(sink.blocking_shutdown(PATIENCE), Ok(()));
}
