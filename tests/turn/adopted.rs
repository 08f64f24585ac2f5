//! A program that adopts orphaned processes, as the first process of a container does, reaps those that it
//! has killed.
#![cfg(target_os = "linux")]

use rustix::process::{getpid, set_child_subreaper};

use crate::{
    orphans::{Program, in_program},
    support::{
        GOOD_TURN, Stack, children, comes_true, fake_codex, request, unique_sleep, until_gone,
    },
};

#[tokio::test]
async fn adopted_processes_that_were_killed_are_reaped() {
    if let Some((script, marker)) = in_program() {
        set_child_subreaper(Some(getpid())).unwrap();
        let stack = Stack::new(fake_codex().watchdog(false));
        // Orphans of a process that exits, and the tree of a process that is killed.
        stack.run(request(&script)).await.unwrap();
        let hanging = format!("setsid sh -c '{marker} & {marker}' & {GOOD_TURN}\nwait");
        let stack = Stack::new(
            fake_codex()
                .watchdog(false)
                .exit_grace(std::time::Duration::ZERO),
        );
        stack.run(request(&hanging)).await.unwrap();
        until_gone(&marker).await;
        let reaped = comes_true(|| children().is_empty()).await;
        assert!(reaped, "{:?}", children());
        return;
    }
    let sleep = unique_sleep();
    let script = format!("setsid sh -c '{sleep} & {sleep}' & {GOOD_TURN}");
    let test = "adopted::adopted_processes_that_were_killed_are_reaped";
    let program = Program::start(test, &script, &sleep);
    assert!(program.exit().await.success());
}
