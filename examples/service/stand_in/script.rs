//! What a turn does, by its prompt.

use std::{
    process,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::turn::{End, Step, Turn};

/// How often a turn writes that takes long.
const SHORT_STEP: Duration = Duration::from_millis(50);

/// How often a turn writes that does not end.
const LONG_STEP: Duration = Duration::from_secs(1);

/// Does what the prompt says.
pub(super) fn play(turn: &mut Turn, prompt: &str) -> Step {
    let prompt = prompt.trim();
    let (word, rest) = prompt
        .split_once(char::is_whitespace)
        .unwrap_or((prompt, ""));
    // The files of a request are on lines of their own.
    let rest = rest.lines().next().unwrap_or_default().trim();
    match word {
        "upload" => call(turn, "list_uploads", &json!({})),
        "publish" => call(turn, "publish", &json!({"text": rest})),
        "command" => command(turn, rest),
        "echo" => last_response(turn, prompt),
        "long" => write_for(turn, rest.parse().map_or(SHORT_STEP, Duration::from_millis)),
        "hang" => hang(turn),
        "limit" => {
            let wait = if rest.is_empty() { "20ms" } else { rest };
            Err(End::Failed {
                kind: "rateLimitExceeded",
                message: format!("Rate limit reached for stand-in. Please try again in {wait}.")
                    .into(),
            })
        }
        "overloaded" => Err(End::Failed {
            kind: "serverOverloaded",
            message: "Selected model is at capacity. Please try a different model.".into(),
        }),
        "fail" => Err(End::Failed {
            kind: "contextWindowExceeded",
            message: "Codex ran out of room in the model's context window.".into(),
        }),
        "crash" => {
            turn.respond("I look at the files.")?;
            turn.start_command("ls")?;
            process::exit(1);
        }
        _ => work(turn),
    }
}

/// A turn that does nothing special.
fn work(turn: &mut Turn) -> Step {
    turn.respond("I look at the files.")?;
    turn.start_command("ls")?;
    turn.run_command("NOTES.md\n")?;
    turn.tell_usage()?;
    last_response(turn, "There is one file, and it has the notes.")
}

fn call(turn: &mut Turn, tool: &str, arguments: &Value) -> Step {
    turn.respond("I call a tool.")?;
    let said = turn.call(tool, arguments)?;
    turn.tell_usage()?;
    last_response(turn, &said)
}

fn command(turn: &mut Turn, command: &str) -> Step {
    turn.respond("I run a command.")?;
    turn.start_command(command)?;
    let may_run = turn.approve_command(command)?;
    if may_run {
        turn.run_command("done\n")?;
    }
    turn.tell_usage()?;
    let said = match may_run {
        true => "The command was run.",
        false => "The command was not run.",
    };
    last_response(turn, said)
}

fn write_for(turn: &mut Turn, time: Duration) -> Step {
    let began = Instant::now();
    let message = turn.start_message()?;
    let mut text = String::new();
    while began.elapsed() < time {
        turn.write(&message, "and so on ")?;
        text.push_str("and so on ");
        turn.pause(SHORT_STEP.min(time.saturating_sub(began.elapsed())))?;
    }
    turn.complete_message(&message, &text)?;
    turn.tell_usage()
}

fn hang(turn: &mut Turn) -> Step {
    let message = turn.start_message()?;
    loop {
        turn.write(&message, "and so on ")?;
        turn.pause(LONG_STEP)?;
    }
}

fn last_response(turn: &mut Turn, text: &str) -> Step {
    turn.respond(text)?;
    turn.tell_usage()
}
