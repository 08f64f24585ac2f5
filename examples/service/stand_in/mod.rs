//! Stands in for `codex app-server`, and for the model behind it. It runs the turns of many threads at once.
//!
//! The first word of a prompt says what its turn does:
//!
//! | prompt | what the turn does |
//! |---|---|
//! | `upload` | calls the tool `list_uploads`, and answers with what that says |
//! | `publish TEXT` | calls the tool `publish` with the text, and answers with what that says |
//! | `command COMMAND` | asks whether it may run the command, and pretends to run it if so |
//! | `echo …` | answers with the prompt |
//! | `long MS` | writes for that many milliseconds |
//! | `hang` | writes until it is interrupted |
//! | `limit TIME` | fails by a rate limit that lasts that long, before it does anything |
//! | `overloaded` | fails because the model is overloaded, before it does anything |
//! | `fail` | fails because the context window is full |
//! | `crash` | ends the process while a command runs |
//! | anything else | runs a command, and answers |
//!
//! A thread is a file in `$CODEX_HOME/sessions`, with a line for each turn. So a thread outlives the process.

mod rollouts;
mod script;
mod server;
mod threads;
mod turn;
mod usage;
mod wire;

pub(crate) use self::server::serve;
