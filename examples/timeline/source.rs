use std::{
    fs::{self, File, Metadata},
    io::{self, Read, Seek},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::MetadataExt,
    },
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};

use crate::options::Input;

/// How often a file is looked at that has had nothing new.
const INTERVAL: Duration = Duration::from_millis(100);

/// What was read.
pub(crate) enum Chunk {
    Bytes(Vec<u8>),
    /// The file begins anew. A line that was not complete never will be.
    Restarted,
    /// Standard input has ended, or nobody reads the output.
    End,
}

/// A file or a pipe that grows.
pub(crate) enum Source {
    Stdin,
    File {
        path: PathBuf,
        file: File,
        position: u64,
    },
}

// === impl Source ===

impl Source {
    pub(crate) fn open(input: &Input) -> io::Result<Self> {
        Ok(match input {
            Input::Stdin => Self::Stdin,
            Input::File(path) => Self::File {
                path: path.clone(),
                file: File::open(path)?,
                position: 0,
            },
        })
    }

    /// Waits for more.
    pub(crate) fn read(&mut self) -> io::Result<Chunk> {
        loop {
            let mut bytes = vec![0; 64 << 10];
            match self {
                Self::Stdin => {
                    if is_output_closed(None, Some(io::stdin().as_fd()))? {
                        return Ok(Chunk::End);
                    }
                    let read = retried(|| io::stdin().lock().read(&mut bytes))?;
                    bytes.truncate(read);
                    return Ok(if read == 0 {
                        Chunk::End
                    } else {
                        Chunk::Bytes(bytes)
                    });
                }
                Self::File {
                    path,
                    file,
                    position,
                } => {
                    // Looked at before the read, so that the last lines of a file that was replaced are not missed.
                    let change = Change::of(path, file, *position)?;
                    let read = match change {
                        Change::Truncated => 0,
                        _ => retried(|| file.read(&mut bytes))?,
                    };
                    if read > 0 {
                        *position += read as u64;
                        bytes.truncate(read);
                        return Ok(Chunk::Bytes(bytes));
                    }
                    match change {
                        Change::None if is_output_closed(Some(INTERVAL), None)? => {
                            return Ok(Chunk::End);
                        }
                        Change::None => continue,
                        Change::Truncated => file.rewind()?,
                        Change::Replaced => *file = File::open(&*path)?,
                    }
                    *position = 0;
                    return Ok(Chunk::Restarted);
                }
            }
        }
    }
}

/// What has happened to a file since it was read.
#[derive(Clone, Copy)]
enum Change {
    None,
    /// By `copytruncate` of logrotate, for example. A file that has meanwhile grown past what was read is not noticed.
    Truncated,
    /// Another file has its name.
    Replaced,
}

// === impl Change ===

impl Change {
    fn of(path: &Path, file: &File, position: u64) -> io::Result<Self> {
        let opened = file.metadata()?;
        let is_same = |now: &Metadata| (now.dev(), now.ino()) == (opened.dev(), opened.ino());
        Ok(match fs::metadata(path) {
            Ok(now) if !is_same(&now) => Self::Replaced,
            Ok(now) if now.is_file() && now.len() < position => Self::Truncated,
            // An error: it is being replaced.
            _ => Self::None,
        })
    }
}

/// Waits until there is something to read, at most for `time`. Returns whether nobody reads the output any more.
fn is_output_closed(time: Option<Duration>, input: Option<BorrowedFd<'_>>) -> io::Result<bool> {
    let stdout = io::stdout();
    // Errors are reported without being asked for.
    let mut fds = vec![PollFd::from_borrowed_fd(stdout.as_fd(), PollFlags::empty())];
    fds.extend(input.map(|input| PollFd::from_borrowed_fd(input, PollFlags::IN)));
    let time = time.map(Timespec::try_from).transpose();
    match poll(&mut fds, time.map_err(io::Error::other)?.as_ref()) {
        Ok(_) | Err(Errno::INTR) => {
            Ok(fds[0].revents().intersects(PollFlags::ERR | PollFlags::HUP))
        }
        Err(error) => Err(error.into()),
    }
}

fn retried(mut read: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match read() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
