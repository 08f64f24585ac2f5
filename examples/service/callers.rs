//! Who may call: names with tokens, and the room that each of them has.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use axum::{
    extract::FromRequestParts,
    http::{StatusCode, header::AUTHORIZATION, request::Parts},
};
use codex_telemetry::{
    ErrorClass, Originator,
    attachment::{AttachmentError, AttachmentStore},
};
use subtle::ConstantTimeEq;

use tokio::sync::Semaphore;

use crate::{answer::Failure, app::App, journal::Journal};

/// How many uploads of a caller may come in at once.
const MAX_UPLOADING: usize = 4;

/// The callers by name.
pub(crate) struct Callers(BTreeMap<String, Arc<Caller>>);

/// A caller. Nothing of it is shared with another one: its directory has its uploads, its turns and its work.
pub(crate) struct Caller {
    pub(crate) originator: Originator,
    token: String,
    /// The working directory of its turns.
    pub(crate) work: PathBuf,
    pub(crate) uploads: AttachmentStore,
    /// How many uploads may come in at once.
    pub(crate) uploading: Semaphore,
    pub(crate) journal: Journal,
}

// === impl Callers ===

impl Callers {
    /// Opens the rooms of the callers. Without `tokens` there is one, whose token is in a file.
    pub(crate) fn open(
        state: &Path,
        tokens: Option<&str>,
        max_upload: u64,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let tokens = match tokens {
            Some(tokens) => tokens.to_owned(),
            None => format!("local={}", own_token(&state.join("token"))?),
        };
        let mut callers = BTreeMap::new();
        for pair in tokens.split(',') {
            // The text is a secret, so no error has it.
            let (name, token) = pair
                .split_once('=')
                .ok_or("SERVICE_TOKENS needs name=token, with commas between them")?;
            if token.len() < 16 {
                return Err(format!("the token of {name} needs 16 characters or more").into());
            }
            let caller = Caller::open(state, name, token, max_upload)?;
            if callers
                .values()
                .any(|other: &Arc<Caller>| other.token == token)
            {
                return Err(format!("the token of {name} is that of another caller").into());
            }
            if callers.insert(name.to_owned(), Arc::new(caller)).is_some() {
                return Err(format!("SERVICE_TOKENS has {name} twice").into());
            }
        }
        Ok(Self(callers))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Caller>> {
        self.0.values()
    }

    /// Returns the caller on whose behalf a call is made.
    pub(crate) fn of(&self, originator: Option<&Originator>) -> Option<&Arc<Caller>> {
        self.0.get(originator?.as_str())
    }

    /// Returns the caller with a token. The time that it takes says nothing about the tokens but their lengths.
    fn with_token(&self, token: &str) -> Option<&Arc<Caller>> {
        let mut found = None;
        for caller in self.0.values() {
            if caller.token.as_bytes().ct_eq(token.as_bytes()).into() {
                found = Some(caller);
            }
        }
        found
    }
}

// === impl Caller ===

impl Caller {
    fn open(
        state: &Path,
        name: &str,
        token: &str,
        max_upload: u64,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        // The name becomes a directory. That of an originator has letters, digits, `.`, `_` and `-`.
        let originator = Originator::named(name)?;
        if name.starts_with('.') {
            return Err(format!("the name {name} begins with a dot").into());
        }
        let directory = state.join("callers").join(name);
        let work = directory.join("work");
        private_directory(&work)?;
        // As Codex tells it.
        let work = fs::canonicalize(work)?;
        Ok(Self {
            originator,
            token: token.to_owned(),
            work,
            uploading: Semaphore::new(MAX_UPLOADING),
            uploads: open_store(&directory.join("attachments"), max_upload)?,
            journal: Journal::open(&directory.join("turns.jsonl"))?,
        })
    }
}

fn open_store(directory: &Path, max_size: u64) -> Result<AttachmentStore, AttachmentError> {
    AttachmentStore::builder()
        .max_size(max_size)
        .open(directory)
}

/// Creates a directory that nobody else may read, with those above it.
pub(crate) fn private_directory(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

/// Returns the token in a file that nobody else may read. Makes one the first time.
fn own_token(path: &Path) -> io::Result<String> {
    match fs::read_to_string(path) {
        Ok(token) => return Ok(token.trim().to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let token = uuid::Uuid::new_v4().simple().to_string();
    // It has its name when it is whole.
    let new = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(token.as_bytes())?;
    fs::rename(new, path)?;
    Ok(token)
}

/// The caller of a request. Each route takes it, so that none answers without a token.
pub(crate) struct Authorized(pub(crate) Arc<Caller>);

impl FromRequestParts<App> for Authorized {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Failure> {
        let header = parts.headers.get(AUTHORIZATION);
        let token = header.and_then(|value| value.to_str().ok()?.split_once(' '));
        let token = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        match token.and_then(|(_, token)| app.callers.with_token(token)) {
            Some(caller) => Ok(Self(Arc::clone(caller))),
            None => Err(Failure::new(
                StatusCode::UNAUTHORIZED,
                ErrorClass::Unauthorized,
                "send `Authorization: Bearer TOKEN`",
            )),
        }
    }
}
