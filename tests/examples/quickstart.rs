use crate::support::{events, example};

#[test]
fn quickstart_shows_a_timeline_and_the_events_of_every_call() {
    let output = example("quickstart").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    for part in [
        "Codex says: NOTES.md is marked ready",
        "add: 42",
        "fetch: tool `fetch` failed",
        "deploy: ",
        "not on a Friday",
        "cleanup: removed 1, kept 1",
        "codex.turn release-notes",
        "codex.tool command_execution",
    ] {
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
    // A turn, the three tools inside it, three more tools, and a cleanup.
    let lines = text.lines().filter(|line| line.starts_with("{\"event\":"));
    let lines: Vec<_> = lines.collect();
    assert_eq!(events(lines.join("\n").as_bytes()).len(), 2 * 8, "{text}");
    for class in ["tool_failed", "approval_denied"] {
        assert!(
            text.contains(&format!("\"error_class\":\"{class}\"")),
            "{text}"
        );
    }
}
