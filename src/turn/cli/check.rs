use serde_json::Value;

use crate::turn::{TurnError, TurnRequest, prompt};

/// How deep a value of the configuration may be nested. Codex does not read one that is nested more than 80 levels
/// deep as TOML, and takes it for a text.
const MAX_DEPTH: usize = 64;

/// Rejects what Codex would misread without an error.
pub(in crate::turn) fn check(request: &TurnRequest) -> Result<(), TurnError> {
    let invalid = |reason| Err(TurnError::InvalidRequest { reason });
    if let Some(path) = request.working_directory()
        && !path.is_dir()
    {
        let path = path.to_owned();
        return Err(TurnError::WorkingDirectory { path });
    }
    for image in request.images() {
        let path = image.display();
        if !image.is_file() {
            return invalid(format!("the image {path} is not a file"));
        }
    }
    for (name, path) in request.files() {
        let wrong =
            prompt::wrong_file(name, path).or_else(|| (!path.is_file()).then_some("is not a file"));
        if let Some(wrong) = wrong {
            let path = path.to_string_lossy();
            return invalid(format!("the attached file {} {wrong}", path.escape_debug()));
        }
    }
    if request.model().is_some_and(|model| model.contains('\0')) {
        return invalid("the model has a NUL character".to_owned());
    }
    check_config(request.config())?;
    if request.resume().is_some_and(|id| !is_thread_id(id)) {
        return invalid(
            "the id of the thread to resume is not 32 hexadecimal digits in 5 groups: use \
             `Turn::thread_id`"
                .to_owned(),
        );
    }
    Ok(())
}

/// Rejects settings that Codex would misread without an error.
pub(in crate::turn) fn check_config<'a>(
    mut config: impl Iterator<Item = (&'a str, &'a Value)>,
) -> Result<(), TurnError> {
    let wrong = config.find_map(|(key, value)| {
        let wrong = wrong_key(key).or_else(|| wrong_value(value, 0))?;
        // What follows may be a value.
        let name = key.split('=').next().unwrap_or_default();
        Some(format!("the setting `{}` {wrong}", name.escape_debug()))
    });
    match wrong {
        Some(reason) => Err(TurnError::InvalidRequest { reason }),
        None => Ok(()),
    }
}

/// Returns what is wrong with a key of the configuration, of which Codex has no error.
fn wrong_key(key: &str) -> Option<&'static str> {
    Some(if key.contains('\0') {
        "has a NUL character in its key"
    } else if key.contains('=') {
        "has a `=` in its key, which ends there: give the key and the value apart"
    } else if key.contains(['"', '\'']) {
        // Also in quotes.
        "has a quote in its key, but Codex splits the key at each dot: give a table as the value instead"
    } else if key.trim() != key {
        "has white space around its key, which Codex removes: leave it out"
    } else if key.split('.').any(str::is_empty) {
        "has an empty part in its key: give a name before, between and behind the dots"
    } else {
        return None;
    })
}

/// Returns what is wrong with a value of the configuration, which is TOML for Codex, of which Codex has no error.
fn wrong_value(value: &Value, depth: usize) -> Option<&'static str> {
    let mut inside: Box<dyn Iterator<Item = &Value>> = match value {
        // By the app-server Codex takes it for an empty text.
        Value::Null => return Some("has a null, which TOML does not have: leave it out"),
        // Codex takes such an integer for a text, or, by the app-server, for another number.
        Value::Number(number) if number.as_i64().is_none() && !number.is_f64() => {
            return Some("has an integer above 2^63 - 1, which TOML does not have: give a text");
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) => return None,
        Value::Array(list) => Box::new(list.iter()),
        Value::Object(table) => Box::new(table.values()),
    };
    if depth == MAX_DEPTH {
        return Some("is nested too deep, at which Codex takes it for a text: split it");
    }
    inside.find_map(|value| wrong_value(value, depth + 1))
}

/// Returns the id of the thread to resume, in Codex's own spelling.
pub(in crate::turn) fn thread_id(request: &TurnRequest) -> Option<String> {
    request.resume().map(str::to_ascii_lowercase)
}

fn is_thread_id(text: &str) -> bool {
    let groups = text.split('-').map(|group| {
        let hex = group.bytes().all(|byte| byte.is_ascii_hexdigit());
        hex.then_some(group.len())
    });
    groups.eq([8, 4, 4, 4, 12].map(Some))
}
