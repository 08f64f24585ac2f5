//! Every name that events and metrics use can be listed, and each value is displayed, and serialized, as its
//! name.

use std::{collections::BTreeSet, fmt::Display};

use codex_telemetry::{ErrorClass, EventKind, Operation, Originator, Outcome, Severity};

use crate::support::*;

/// Asserts that `value` is displayed as `name`.
#[track_caller]
fn assert_named(value: &(impl Display + AsJson), name: &str) {
    assert_eq!(value.to_string(), name);
    value.assert_json(name);
}

/// Checks `Serialize` where the feature is on.
trait AsJson {
    fn assert_json(&self, name: &str);
}

#[cfg(feature = "json")]
impl<T: serde::Serialize> AsJson for T {
    #[track_caller]
    fn assert_json(&self, name: &str) {
        let json = serde_json::to_value(self).expect("a name is a string");
        assert_eq!(json, name);
    }
}

#[cfg(not(feature = "json"))]
impl<T> AsJson for T {
    fn assert_json(&self, _: &str) {}
}

#[test]
fn the_retryable_classes_are_those_that_can_pass_without_a_change() {
    let retryable: Vec<_> = ErrorClass::ALL
        .iter()
        .filter(|class| class.is_retryable())
        .map(|class| class.as_str())
        .collect();
    assert_eq!(
        retryable,
        [
            "transport",
            "timeout",
            "rate_limit",
            "server_error",
            "overloaded"
        ]
    );
}

#[test]
fn the_names_of_the_two_common_originators_are_not_names_of_applications() {
    for (name, originator) in [("cli", Originator::Cli), ("sdk", Originator::Sdk)] {
        assert_eq!(Originator::named(name), Ok(originator));
    }
}

#[test]
fn the_event_names_can_be_listed() {
    let mut names = BTreeSet::new();
    for operation in Operation::ALL {
        for kind in EventKind::ALL {
            let name = operation.event_name(*kind);
            assert_eq!(name, format!("{operation}.{kind}"));
            names.insert(name);
        }
    }
    let list: Vec<_> = names.iter().map(|name| &**name).collect();
    assert_eq!(
        list,
        [
            "codex.approval.exception",
            "codex.approval.start",
            "codex.approval.stop",
            "codex.attachment.cleanup.exception",
            "codex.attachment.cleanup.start",
            "codex.attachment.cleanup.stop",
            "codex.attachment.stage.exception",
            "codex.attachment.stage.start",
            "codex.attachment.stage.stop",
            "codex.chat.exception",
            "codex.chat.start",
            "codex.chat.stop",
            "codex.tool.exception",
            "codex.tool.start",
            "codex.tool.stop",
            "codex.turn.exception",
            "codex.turn.start",
            "codex.turn.stop",
        ]
    );
    let custom = Operation::Custom("billing.sync");
    assert_eq!(custom.event_name(EventKind::Start), "billing.sync.start");
}

#[test]
fn an_event_has_the_name_of_its_operation_and_kind() {
    for operation in Operation::ALL {
        let (service, sink) = timed(answers());
        let request = codex_telemetry::Call::new(*operation, ());
        assert_eq!(call(service, request), Ok(42));
        let events = sink.events();
        assert_eq!(events[0].name(), operation.event_name(EventKind::Start));
        assert_eq!(only(&sink).name(), operation.event_name(EventKind::Stop));
    }
}

#[test]
fn outcomes_kinds_and_severities_of_events_have_names() {
    let names: Vec<_> = Outcome::ALL.iter().map(|it| it.as_str()).collect();
    assert_eq!(names, ["ok", "error", "cancelled", "panic"]);
    Outcome::ALL
        .iter()
        .for_each(|it| assert_named(it, it.as_str()));

    let names: Vec<_> = EventKind::ALL.iter().map(|it| it.as_str()).collect();
    assert_eq!(names, ["start", "stop", "exception"]);
    EventKind::ALL
        .iter()
        .for_each(|it| assert_named(it, it.as_str()));

    let names: Vec<_> = Severity::ALL.iter().map(|it| it.as_str()).collect();
    assert_eq!(names, ["INFO", "WARN", "ERROR"]);
    Severity::ALL
        .iter()
        .for_each(|it| assert_named(it, it.as_str()));

    let kinds: Vec<_> = Outcome::ALL.iter().map(|it| it.event_kind()).collect();
    assert_eq!(kinds[0], EventKind::Stop);
    assert_eq!(kinds[1..], [EventKind::Exception; 3]);
    let terminal: Vec<_> = EventKind::ALL.iter().map(|it| it.is_terminal()).collect();
    assert_eq!(terminal, [false, true, true]);
}

#[test]
fn operations_error_classes_and_originators_have_names() {
    for operation in Operation::ALL {
        assert_named(operation, operation.as_str());
    }
    assert_named(&Operation::Custom("billing.sync"), "billing.sync");
    for class in ErrorClass::ALL {
        assert_named(class, class.as_str());
    }
    assert_named(&ErrorClass::RateLimit, "rate_limit");
    assert_named(&ErrorClass::Custom("no_budget"), "no_budget");

    assert_named(&Originator::Cli, "cli");
    assert_named(&Originator::Sdk, "sdk");
    let named = Originator::named("release-bot").expect("a valid name");
    assert_named(&named, "release-bot");
    let Originator::Named(name) = &named else {
        panic!("{named:?}");
    };
    assert_eq!(name.as_str(), "release-bot");
    assert_eq!("release-bot".parse(), Ok(named));
}

#[test]
fn the_error_of_an_invalid_originator_says_how_to_mend_it_and_does_not_show_the_text() {
    let error = Originator::named("a secret").unwrap_err();
    assert_eq!(
        error.to_string(),
        "invalid originator name (8 bytes): use 1 to 64 of the characters A-Z a-z 0-9 . _ -"
    );
}
