use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde_json::Value;

/// The files of the threads, with a line for each turn that has ended.
pub(super) struct Rollouts {
    directory: PathBuf,
}

impl Rollouts {
    /// Opens the files in Codex's home.
    pub(super) fn open(home: &Path) -> io::Result<Self> {
        let directory = home.join("sessions");
        fs::create_dir_all(&directory)?;
        Ok(Self { directory })
    }

    /// Creates the file of a new thread.
    pub(super) fn create(&self, thread_id: &str) -> io::Result<()> {
        File::create_new(self.path(thread_id)).map(drop)
    }

    /// Adds a line to the file of a thread, with one write.
    pub(super) fn append(&self, thread_id: &str, turn: &Value) -> io::Result<()> {
        let mut file = File::options().append(true).open(self.path(thread_id))?;
        file.write_all(format!("{turn}\n").as_bytes())
    }

    /// Returns the turns of a thread; `None` if there is no such thread.
    pub(super) fn turns(&self, thread_id: &str) -> io::Result<Option<Vec<Value>>> {
        let text = match fs::read_to_string(self.path(thread_id)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        // A line that was cut when the process was killed is no turn.
        let turns = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        Ok(Some(turns.collect()))
    }

    fn path(&self, thread_id: &str) -> PathBuf {
        self.directory.join(format!("rollout-{thread_id}.jsonl"))
    }
}
