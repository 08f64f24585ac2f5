//! The services of the layers can be made without the layers.

use std::time::{Duration, UNIX_EPOCH};

use codex_telemetry::{
    CallContext, Clock, ErrorClass, Originator, error_class::ErrorClassService,
    originator::OriginatorService, timing::TimingService,
};

use crate::{checked::MemorySink, support::*};

#[test]
fn services_without_layers_do_the_same_as_with_them() {
    let sink = MemorySink::new();
    let service = ErrorClassService::new(refuses(), overloaded);
    let service = TimingService::new(service, sink.clone());
    let service = OriginatorService::new(service, Originator::Cli);
    assert_eq!(call(service, request()), Err(Refused));

    let end = only(&sink);
    assert_eq!(end.error_class(), Some(ErrorClass::Overloaded));
    assert_eq!(end.originator(), Some(&Originator::Cli));
}

#[test]
fn a_timing_service_takes_a_clock() {
    let sink = MemorySink::new();
    let (clock, manual) = Clock::manual(UNIX_EPOCH);
    let inner = shows(|_| manual.advance(Duration::from_secs(7)));
    let service = TimingService::with_clock(inner, sink.clone(), clock);
    assert_eq!(call(service, request()), Ok(42));
    assert_eq!(only(&sink).duration(), Some(Duration::from_secs(7)));
}

#[test]
fn an_originator_service_replaces_an_originator_only_if_it_always_sets_its_own() {
    let context = || CallContext::new().with_originator(Originator::Sdk);
    let (service, sink) = timed(answers());
    let new = OriginatorService::new(service.clone(), Originator::Cli);
    assert_eq!(call(new, request_with(context())), Ok(42));
    assert_eq!(only(&sink).originator(), Some(&Originator::Sdk));
    let always = OriginatorService::always(service, Originator::Cli);
    assert_eq!(call(always, request_with(context())), Ok(42));
    assert_eq!(only(&sink).originator(), Some(&Originator::Cli));
}
