use crate::turn::{TurnError, TurnRequest};

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
    let mut texts = request.config().map(|(key, _)| key).chain(request.model());
    if texts.any(|text| text.contains('\0')) {
        return invalid("the model or a key of the configuration has a NUL character".to_owned());
    }
    if let Some((key, _)) = request.config().find(|(_, value)| value.is_null()) {
        return invalid(format!(
            "the value of the configuration's {key} is null: leave it out"
        ));
    }
    if request.resume().is_some_and(|id| !is_thread_id(id)) {
        return invalid(
            "the id of the thread to resume is not 32 hexadecimal digits in 5 groups: use \
             `Turn::thread_id`"
                .to_owned(),
        );
    }
    Ok(())
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
