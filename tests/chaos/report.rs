//! The table that the test prints.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde_json::Value;

use crate::{
    codex,
    events::Events,
    ledger::Ledger,
    processes::Usage,
    receiver::{Receiver, Replied},
    turns::Turns,
};

pub(crate) struct Report<'a> {
    pub(crate) took: Duration,
    pub(crate) ledger: &'a Ledger,
    pub(crate) turns: &'a Turns,
    pub(crate) events: &'a [Events],
    pub(crate) receiver: &'a Receiver,
    pub(crate) codex: codex::Counts,
    pub(crate) stats: &'a Value,
    pub(crate) usage: Usage,
    pub(crate) resumed: usize,
    pub(crate) uploads: u64,
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sum = |of: fn(&Events) -> u64| self.events.iter().map(of).sum::<u64>();
        let mut statuses = BTreeMap::<_, u64>::new();
        for turn in self.turns.values() {
            let status = turn["status"].as_str().unwrap_or_default();
            *statuses.entry(status).or_default() += 1;
        }
        let spans = self.receiver.spans();
        let received = self.events.iter().map(|life| life.received(&spans));
        let requests = self.receiver.requests();
        let failed = requests
            .iter()
            .filter(|request| request.replied != Replied::Http(200));
        let Usage {
            descriptors,
            threads,
            memory,
        } = self.usage;
        writeln!(f, "lives: {}, in {:.0?}", self.events.len(), self.took)?;
        writeln!(
            f,
            "killed: the program {} times, Codex {} times; stopped for a moment: Codex {} times",
            self.events.len() - 1,
            self.codex.killed,
            self.codex.stopped,
        )?;
        let answers = &self.ledger.lock().answers;
        writeln!(f, "requests: {}", answers.values().sum::<u64>())?;
        for (answer, count) in answers {
            writeln!(f, "  {count:>7}  {answer}")?;
        }
        writeln!(f, "turns: {}", self.turns.len())?;
        for (status, count) in statuses {
            writeln!(f, "  {count:>7}  {status}")?;
        }
        writeln!(f, "threads resumed in the last life: {}", self.resumed)?;
        writeln!(f, "uploads removed in the end: {}", self.uploads)?;
        writeln!(
            f,
            "events: {} starts, {} ends; calls that were open at a kill: {}",
            sum(|life| life.starts),
            sum(|life| life.ends),
            sum(|life| life.open() as u64),
        )?;
        writeln!(
            f,
            "collector: {} requests, of which {} failed; {} spans received of {} calls",
            requests.len(),
            failed.count(),
            received.sum::<u64>(),
            sum(|life| life.ends),
        )?;
        writeln!(f, "stats of the last life: {}", self.stats)?;
        write!(
            f,
            "the last life after the load: {descriptors} descriptors, {threads} threads, {} MiB",
            memory >> 20
        )
    }
}
