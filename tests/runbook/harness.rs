//! The test of the page can fail.

use std::time::Duration;

use tempfile::TempDir;

use crate::{page::blocks, run::run, session::processes_in, tools::bash};

fn faults_within(page: &str, within: Duration) -> Vec<String> {
    let home = TempDir::new().unwrap();
    let faults = run(page, bash(home.path()), home.path(), within);
    // What a page leaves running ends with its run.
    while !processes_in(home.path()).is_empty() {
        std::thread::yield_now();
    }
    faults
}

fn faults(page: &str) -> Vec<String> {
    faults_within(page, Duration::from_secs(60))
}

#[track_caller]
fn assert_fault(page: &str, told: &str) {
    let faults = faults(page);
    assert!(
        faults.len() == 1 && faults[0].contains(told),
        "not {told:?}: {faults:?}"
    );
}

#[test]
fn a_page_that_tells_the_truth_passes() {
    let page = "
```sh
name=reader; greet() { echo \"hello, $1\"; }
```

It says:

```sh
greet \"$name\"; date +%T; seq 3
```

```text
hello, reader
…:…:…
…
3
```
";
    assert_eq!(faults(page), [""; 0]);
}

#[test]
fn another_result_than_the_stated_one_fails() {
    let page = "```sh\necho 5 calls\n```\n\n```text\n6 calls\n```\n";
    assert_fault(page, "it printed\n5 calls\n");
}

#[test]
fn a_block_that_prints_and_is_not_said_to_fails() {
    assert_fault("```sh\necho oh >&2\n```\n", "it printed\noh\n");
}

#[test]
fn a_block_that_prints_nothing_and_is_said_to_fails() {
    assert_fault("```sh\ntrue\n```\n```text\nall\n```\n", "it printed\n");
}

#[test]
fn a_block_that_fails_fails() {
    assert_fault("```sh\nls /no/such/directory\n```\n", "exit code 2");
    assert_fault("```sh\nno-such-command\n```\n", "exit code 127");
}

#[test]
fn a_block_that_ends_the_shell_fails() {
    assert_fault("```sh\nexit 0\n```\n", "the shell has ended");
}

#[test]
fn a_block_that_does_not_end_fails_and_is_ended_with_all_behind_it() {
    let page = "```sh\nsleep 303.601\n```\n```sh\nsleep 303.602\n```\n";
    let faults = faults_within(page, Duration::from_millis(300));
    assert!(faults[0].contains("not end in time"), "{faults:?}");
    assert!(faults[1].contains("the shell has ended"), "{faults:?}");
}

#[test]
fn what_another_program_would_have_to_build_fails() {
    assert_fault("```sh\ncargo build\n```\n", "cargo build: not in a test");
}

#[test]
fn a_live_block_sees_what_the_next_one_does() {
    let live =
        "```sh live\ntail -n 9 -F file | sed -u s/^/saw:/\n```\n```text\nsaw:old\nsaw:new\n```\n";
    let before = "```sh\necho old >file\n```\n";
    let page = format!("{before}{live}```sh\necho new >>file\n```\n");
    assert_eq!(faults(&page), [""; 0]);
    let page = format!("{before}{live}");
    assert_fault(&page, "no block behind it");
    let faults = faults_within(
        &format!("{before}{live}```sh\necho other >>file\n```\n"),
        Duration::from_secs(2),
    );
    assert!(faults[0].contains("saw:other"), "{faults:?}");
}

#[test]
fn practice_comes_first() {
    let page = "# A\n```sh\necho $made\n```\n```text\nit\n```\n## Practice\n```sh\nmade=it\n```\n";
    assert_eq!(faults(page), [""; 0]);
}

#[test]
fn a_block_that_nothing_would_try_is_refused() {
    for (page, told) in [
        ("```text\ntail -F file\n```\n", "no commands print this"),
        (
            "```sh\nls\n```\n```text\na\n```\n```text\nb\n```\n",
            "no commands print this",
        ),
        ("```\nls\n```\n", "nothing tries"),
        ("```python\n```\n", "nothing tries"),
        ("- so:\n  ```sh\n  ls\n  ```\n", "indented"),
        ("```sh\nls\n", "without an end"),
    ] {
        let refused = blocks(page).unwrap_err();
        assert!(refused.contains(told), "{page}: {refused}");
    }
}
