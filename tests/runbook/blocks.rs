use std::time::Duration;

use tempfile::TempDir;

use crate::{
    page::PAGE,
    receiver::Receiver,
    run::run,
    session::processes_in,
    tools::{are_there, bash},
};

/// Far more than any command of the page takes.
const WITHIN: Duration = Duration::from_secs(60);

#[test]
fn every_command_of_the_page_does_what_the_page_says_and_the_last_cleans_up() {
    if !are_there() {
        return;
    }
    let receiver = Receiver::http();
    let address = receiver.endpoint();
    let page = PAGE.replace("http://127.0.0.1:4318", &address);
    let home = TempDir::new().unwrap();

    let faults = run(&page, bash(home.path()), home.path(), WITHIN);
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    let left = processes_in(home.path());
    assert!(left.is_empty(), "processes are left: {left:?}");
}
