use std::{mem::take, path::Path, process::Command, time::Duration};

use crate::{
    notation::matches,
    page::{Block, Language, blocks},
    session::{Live, Session},
};

/// The section whose blocks are run first.
const FIRST: &str = "Practice";

/// A block that is under way.
struct Waiting {
    block: Block,
    live: Live,
}

/// Runs the blocks of a page by a command that starts bash, and returns how they fell short of it.
pub(crate) fn run(page: &str, bash: Command, directory: &Path, within: Duration) -> Vec<String> {
    let blocks = match blocks(page) {
        Ok(blocks) => blocks,
        Err(why) => return vec![why],
    };
    let mut session = Session::start(bash, directory, within);
    let mut waiting = Vec::new();
    let mut faults = Vec::new();
    let (first, then): (Vec<_>, Vec<_>) =
        blocks.into_iter().partition(|block| block.section == FIRST);
    for block in first.into_iter().chain(then) {
        match block.language {
            Language::Shell => {
                let ran = session.run(&block.text);
                faults.extend(check(&block, ran));
                for Waiting { block, live } in take(&mut waiting) {
                    let told = session.wait_for(&live, &block.result);
                    let ended = session.end(&live);
                    faults.extend(check(&block, told.and(ended)));
                }
            }
            Language::LiveShell => match start(&mut session, &block) {
                Ok(live) => waiting.push(Waiting { block, live }),
                Err(why) => faults.push(fault(&block, &why)),
            },
            // `queries` looks at them.
            Language::PromQl | Language::TraceQl => {}
        }
    }
    faults.extend(
        waiting
            .iter()
            .map(|Waiting { block, .. }| fault(block, "no block behind it is what it waits for")),
    );
    faults
}

/// Starts a live block and waits for its first line, which says that it listens.
fn start(session: &mut Session, block: &Block) -> Result<Live, String> {
    let first = block.result.lines().next().ok_or("it prints nothing")?;
    let live = session.start_live(&block.text)?;
    session.wait_for(&live, &format!("{first}\n…"))?;
    Ok(live)
}

fn check(block: &Block, ran: Result<String, String>) -> Option<String> {
    match ran {
        Ok(printed) if matches(&block.result, &printed) => None,
        Ok(printed) => Some(fault(block, &format!("it printed\n{printed}"))),
        Err(why) => Some(fault(block, &why)),
    }
}

fn fault(block: &Block, why: &str) -> String {
    let Block {
        line, text, result, ..
    } = block;
    format!("RUNBOOK.md:{line}\n{text}-- is to print\n{result}-- but: {why}\n")
}
