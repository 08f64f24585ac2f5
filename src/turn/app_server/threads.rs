use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Weak},
};

use serde_json::Value;
use tokio::time::Instant;

use super::{requests, router::Release, slot::Slot, thread_tools::ThreadTools, turns::ActiveTurn};
use crate::turn::{ApprovalPolicy, Sandbox, Usage};

/// The threads that a server has loaded.
#[derive(Default)]
pub(super) struct Threads {
    threads: HashMap<String, Thread>,
    /// The threads of sub-agents, with the threads of the turns that started them.
    agents: HashMap<String, String>,
    /// Counts uses, so that the threads that were used last are known.
    uses: u64,
}

/// A thread that is loaded.
pub(super) struct Thread {
    pub(super) settings: ThreadSettings,
    /// The settings and the model before the turn that has the thread, until the server has taken those of the turn.
    before: Option<(ThreadSettings, Option<String>)>,
    /// Whether the server tells this program of it. One of which it does not is unloaded soon.
    pub(super) is_subscribed: bool,
    /// Whether the server has refused a turn of it, and may have lost it. It is loaded before the next one.
    pub(super) is_doubtful: bool,
    /// The model and its provider, as the server has told.
    pub(super) model: Option<String>,
    pub(super) provider: Option<String>,
    /// What the thread has used.
    pub(super) usage: Option<Usage>,
    /// The turn that has the thread.
    turn: Option<Arc<Slot>>,
    /// The turn that is about to have the thread, or has it.
    user: Weak<ActiveTurn>,
    /// What the turn has left that was dropped.
    release: Option<Release>,
    last_use: u64,
    /// Whether the server has unloaded it while a turn had it.
    is_gone: bool,
}

/// With what a thread runs. Codex keeps it from turn to turn.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ThreadSettings {
    pub(super) is_ephemeral: bool,
    pub(super) model: Option<String>,
    pub(super) working_directory: Option<PathBuf>,
    pub(super) sandbox: Option<Sandbox>,
    pub(super) additional_directories: Vec<PathBuf>,
    pub(super) approval_policy: Option<ApprovalPolicy>,
    pub(super) config: Vec<(String, Value)>,
    pub(super) tools: Option<ThreadTools>,
}

impl Threads {
    /// Returns how many threads are loaded, with those of sub-agents.
    pub(super) fn len(&self) -> usize {
        self.threads.len() + self.agents.len()
    }

    pub(super) fn contains(&self, id: &str) -> bool {
        self.threads.contains_key(id)
    }

    pub(super) fn get(&self, id: &str) -> Option<&Thread> {
        self.threads.get(id)
    }

    /// Notes that a thread is loaded, and told of.
    pub(super) fn loaded(&mut self, id: &str, settings: ThreadSettings) {
        self.uses += 1;
        let last_use = self.uses;
        let thread = self.threads.entry(id.to_owned()).or_insert(Thread {
            settings,
            before: None,
            is_subscribed: true,
            is_doubtful: false,
            model: None,
            provider: None,
            usage: None,
            turn: None,
            user: Weak::new(),
            release: None,
            last_use,
            is_gone: false,
        });
        thread.is_subscribed = true;
        thread.is_doubtful = false;
        thread.last_use = last_use;
    }

    /// Keeps a thread for a turn that is about to have it, so that it is not let go before.
    pub(super) fn reserve(&mut self, id: &str, user: &Weak<ActiveTurn>) {
        if let Some(thread) = self.threads.get_mut(id) {
            thread.user.clone_from(user);
        }
    }

    /// Notes the model of a thread, and its provider.
    pub(super) fn has_model(&mut self, id: &str, model: Option<String>, provider: Option<String>) {
        if let Some(thread) = self.threads.get_mut(id) {
            thread.model = model;
            thread.provider = provider;
        }
    }

    /// Notes what a thread has used.
    pub(super) fn has_used(&mut self, id: &str, usage: Usage) {
        if let Some(thread) = self.threads.get_mut(id) {
            thread.usage = Some(usage);
        }
    }

    /// Notes that nobody uses a thread any more.
    pub(super) fn forget(&mut self, id: &str) {
        if let Some(thread) = self.threads.get_mut(id) {
            thread.is_subscribed = false;
        }
    }

    /// Notes that a sub-agent works for a turn. Returns whether that turn is one that was dropped.
    pub(super) fn agent_began(&mut self, agent: &str, root_turn_id: &str) -> bool {
        let has_turn = |thread: &Thread| {
            let turn = thread.turn.as_ref();
            turn.is_some_and(|slot| slot.is_turn(root_turn_id))
        };
        let root = self.threads.iter().find(|(_, thread)| has_turn(thread));
        let Some((root, thread)) = root else {
            return false;
        };
        self.agents.insert(agent.to_owned(), root.clone());
        thread.release.is_some()
    }

    /// Returns the threads of the sub-agents of a thread.
    pub(super) fn agents(&self, id: &str) -> Vec<String> {
        let agents = self.agents.iter().filter(|(_, root)| *root == id);
        agents.map(|(agent, _)| agent.clone()).collect()
    }

    /// Returns the turn in which a sub-agent works, by its thread.
    pub(super) fn slot_of_agent(&self, agent: &str) -> Option<Arc<Slot>> {
        self.slot(self.agents.get(agent)?)
    }

    /// Forgets the sub-agents of a thread, and returns their threads.
    pub(super) fn take_agents(&mut self, id: &str) -> Vec<String> {
        let agents = self.agents(id);
        self.agents.retain(|_, root| root != id);
        agents
    }

    /// Notes that the server has refused a turn of a thread.
    pub(super) fn was_refused(&mut self, id: &str) {
        self.did_not_begin(id);
        if let Some(thread) = self.threads.get_mut(id) {
            thread.is_doubtful = true;
        }
    }

    /// Notes that the server has taken the settings of a turn.
    pub(super) fn began(&mut self, id: &str) {
        if let Some(thread) = self.threads.get_mut(id) {
            thread.before = None;
        }
    }

    /// Notes that the server may not have taken the settings of a turn: the next one sets its own, whatever they
    /// were.
    pub(super) fn did_not_begin(&mut self, id: &str) {
        if let Some(thread) = self.threads.get_mut(id)
            && let Some((settings, model)) = thread.before.take()
        {
            thread.settings = requests::without_those_of_turn(settings);
            thread.model = model;
        }
    }

    /// Removes a thread that the server has unloaded. Returns the turn that had it.
    pub(super) fn closed(&mut self, id: &str) -> Option<Arc<Slot>> {
        self.agents.remove(id);
        let thread = self.threads.get_mut(id)?;
        let slot = thread.turn.clone();
        thread.is_gone = true;
        if slot.is_none() {
            self.threads.remove(id);
        }
        slot
    }

    /// Gives a thread to a turn.
    pub(super) fn attach(&mut self, id: &str, slot: &Arc<Slot>, settings: ThreadSettings) {
        self.loaded(id, settings.clone());
        if let Some(thread) = self.threads.get_mut(id) {
            thread.turn = Some(Arc::clone(slot));
            thread.before = Some((thread.settings.clone(), thread.model.clone()));
            if settings.model != thread.settings.model {
                thread.model.clone_from(&settings.model);
            }
            thread.settings = settings;
        }
    }

    /// Takes a thread from its turn. Returns the threads that are to be let go: an ephemeral one cannot be resumed,
    /// and of the others only some stay.
    pub(super) fn detach(&mut self, id: &str, max: usize) -> Vec<String> {
        let mut unused = Vec::new();
        self.uses += 1;
        if self.threads.get(id).is_some_and(|thread| thread.is_gone) {
            self.threads.remove(id);
        }
        if let Some(thread) = self.threads.get_mut(id) {
            thread.turn = None;
            thread.user = Weak::new();
            thread.last_use = self.uses;
        }
        let mut idle = Vec::new();
        for (id, thread) in &mut self.threads {
            if !thread.is_idle() {
                continue;
            }
            if thread.settings.is_ephemeral {
                thread.is_subscribed = false;
                unused.push(id.clone());
            } else {
                idle.push((id, thread));
            }
        }
        if idle.len() > max {
            idle.sort_unstable_by_key(|(_, thread)| thread.last_use);
            let excess = idle.len() - max;
            for (id, thread) in idle.into_iter().take(excess) {
                thread.is_subscribed = false;
                unused.push(id.clone());
            }
        }
        unused
    }

    /// Returns the turn that has a thread.
    pub(super) fn slot(&self, id: &str) -> Option<Arc<Slot>> {
        self.threads.get(id)?.turn.clone()
    }

    /// Returns the turns that the server runs, with their threads.
    pub(super) fn running(&self) -> Vec<(String, Arc<Slot>)> {
        let turns = self.threads.iter();
        turns
            .filter_map(|(id, thread)| Some((id.clone(), Arc::clone(thread.turn.as_ref()?))))
            .filter(|(_, slot)| !slot.has_ended())
            .collect()
    }

    /// Keeps what a dropped turn has left until the turn has ended. Gives it back if the thread is unknown.
    pub(super) fn release_later(&mut self, id: &str, release: Release) -> Option<Release> {
        match self.threads.get_mut(id) {
            Some(thread) => {
                thread.release = Some(release);
                None
            }
            None => Some(release),
        }
    }

    pub(super) fn take_release(&mut self, id: &str) -> Option<Release> {
        self.threads.get_mut(id)?.release.take()
    }

    pub(super) fn first_release(&self) -> Option<Instant> {
        let releases = self
            .threads
            .values()
            .filter_map(|thread| thread.release.as_ref());
        releases.filter_map(Release::deadline).min()
    }

    /// Takes what dropped turns have left whose time is over.
    pub(super) fn overdue_releases(&mut self, now: Instant) -> Vec<Release> {
        let threads = self.threads.values_mut();
        threads
            .filter_map(|thread| {
                let is_due = |release: &mut Release| release.deadline().is_some_and(|at| at <= now);
                thread.release.take_if(is_due)
            })
            .collect()
    }

    /// Forgets all threads. Returns what is to be dropped.
    pub(super) fn clear(&mut self) -> HashMap<String, Thread> {
        self.agents.clear();
        std::mem::take(&mut self.threads)
    }
}

// === impl Thread ===

impl Thread {
    /// Returns whether the thread is loaded for no turn.
    fn is_idle(&self) -> bool {
        self.is_subscribed && self.turn.is_none() && self.user.strong_count() == 0
    }
}
