use std::{mem::take, path::Path, process::Command, time::Duration};

use crate::{
    page::{Block, Language, blocks},
    pattern::matches,
    session::{Live, Session},
};

/// The section whose blocks are run first.
const FIRST: &str = "Practice";

/// A live block that still runs.
struct ActiveBlock {
    block: Block,
    live: Live,
}

/// Runs the blocks of a page in the shell that a command starts, and returns how their output differs from the page.
///
/// Each block must end within `timeout`.
pub(crate) fn run(page: &str, bash: Command, directory: &Path, timeout: Duration) -> Vec<String> {
    let blocks = match blocks(page) {
        Ok(blocks) => blocks,
        Err(error) => return vec![error],
    };
    let mut session = Session::start(bash, directory, timeout);
    let mut active = Vec::new();
    let mut failures = Vec::new();
    let (first, then): (Vec<_>, Vec<_>) =
        blocks.into_iter().partition(|block| block.section == FIRST);
    for block in first.into_iter().chain(then) {
        match block.language {
            Language::Shell => {
                let result = session.run(&block.text);
                failures.extend(check(&block, result));
                for ActiveBlock { block, live } in take(&mut active) {
                    let printed = session.wait_for(&live, &block.output);
                    let ended = session.end(&live);
                    failures.extend(check(&block, printed.and(ended)));
                }
            }
            Language::LiveShell => match start(&mut session, &block) {
                Ok(live) => active.push(ActiveBlock { block, live }),
                Err(error) => failures.push(failure(&block, &error)),
            },
            // The tests in `queries` check these.
            Language::PromQl | Language::TraceQl => {}
        }
    }
    failures.extend(
        active
            .iter()
            .map(|ActiveBlock { block, .. }| failure(block, "no block of sh follows it")),
    );
    failures
}

/// Starts a live block and waits for the first line of its output, which shows that it is ready.
fn start(session: &mut Session, block: &Block) -> Result<Live, String> {
    let first = block.output.lines().next().ok_or("it has no output")?;
    let live = session.start_live(&block.text)?;
    session.wait_for(&live, &format!("{first}\n…"))?;
    Ok(live)
}

fn check(block: &Block, result: Result<String, String>) -> Option<String> {
    match result {
        Ok(printed) if matches(&block.output, &printed) => None,
        Ok(printed) => Some(failure(block, &format!("it printed\n{printed}"))),
        Err(error) => Some(failure(block, &error)),
    }
}

fn failure(block: &Block, error: &str) -> String {
    let Block {
        line, text, output, ..
    } = block;
    format!("RUNBOOK.md:{line}\n{text}-- expected output\n{output}-- error: {error}\n")
}

mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::{session::processes_in, tools::bash};

    fn failures_within(page: &str, timeout: Duration) -> Vec<String> {
        let home = TempDir::new().unwrap();
        let failures = run(page, bash(home.path()), home.path(), timeout);
        // The session has killed what the page left running.
        while !processes_in(home.path()).is_empty() {
            std::thread::yield_now();
        }
        failures
    }

    fn failures(page: &str) -> Vec<String> {
        failures_within(page, Duration::from_secs(60))
    }

    #[track_caller]
    fn assert_failure(page: &str, error: &str) {
        let failures = failures(page);
        assert!(
            failures.len() == 1 && failures[0].contains(error),
            "not {error:?}: {failures:?}"
        );
    }

    #[test]
    fn a_page_with_the_right_output_passes() {
        let page = "
```sh
name=reader; greet() { echo \"hello, $1\"; }
```

It prints:

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
        assert_eq!(failures(page), [""; 0]);
    }

    #[test]
    fn a_block_that_prints_something_else_fails() {
        let page = "```sh\necho 5 calls\n```\n\n```text\n6 calls\n```\n";
        assert_failure(page, "it printed\n5 calls\n");
    }

    #[test]
    fn a_block_that_prints_and_has_no_output_on_the_page_fails() {
        assert_failure("```sh\necho oh >&2\n```\n", "it printed\noh\n");
    }

    #[test]
    fn a_block_that_prints_nothing_and_has_output_on_the_page_fails() {
        assert_failure("```sh\ntrue\n```\n```text\nall\n```\n", "it printed\n");
    }

    #[test]
    fn a_block_with_an_exit_code_other_than_0_fails() {
        assert_failure("```sh\nls /no/such/directory\n```\n", "exit code 2");
        assert_failure("```sh\nno-such-command\n```\n", "exit code 127");
    }

    #[test]
    fn a_block_that_ends_the_shell_fails() {
        assert_failure("```sh\nexit 0\n```\n", "the shell has ended");
    }

    #[test]
    fn a_block_that_does_not_end_fails_and_so_do_those_behind_it() {
        let page = "```sh\nsleep 303.601\n```\n```sh\nsleep 303.602\n```\n";
        let failures = failures_within(page, Duration::from_millis(300));
        assert!(failures[0].contains("not end in time"), "{failures:?}");
        assert!(failures[1].contains("the shell has ended"), "{failures:?}");
    }

    #[test]
    fn a_command_that_would_start_a_build_fails() {
        assert_failure("```sh\ncargo build\n```\n", "cargo build: not in a test");
    }

    #[test]
    fn a_live_block_sees_what_the_next_block_does() {
        let live = "```sh live\ntail -n 9 -F file | sed -u s/^/saw:/\n```\n```text\nsaw:old\nsaw:new\n```\n";
        let before = "```sh\necho old >file\n```\n";
        let page = format!("{before}{live}```sh\necho new >>file\n```\n");
        assert_eq!(failures(&page), [""; 0]);
        let page = format!("{before}{live}");
        assert_failure(&page, "no block of sh follows it");
        let failures = failures_within(
            &format!("{before}{live}```sh\necho other >>file\n```\n"),
            Duration::from_secs(2),
        );
        assert!(failures[0].contains("saw:other"), "{failures:?}");
    }

    #[test]
    fn the_section_practice_is_run_first() {
        let page =
            "# A\n```sh\necho $made\n```\n```text\nit\n```\n## Practice\n```sh\nmade=it\n```\n";
        assert_eq!(failures(page), [""; 0]);
    }
}
