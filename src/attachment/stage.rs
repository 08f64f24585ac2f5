use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
};

use rustix::fs::OFlags;
use sha2::{Digest, Sha256};

use super::{
    Attachment, AttachmentError, Expiry, Ttl, blocking::Abandoned, inner::Inner, lock::Lock, name,
    staging::Staging,
};

const BUFFER: usize = 128 << 10;

/// One attachment on its way into the store.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) source: Source,
    pub(super) name: String,
    pub(super) ttl: Ttl,
}

/// Where the content comes from.
#[derive(Debug)]
pub(super) enum Source {
    Bytes(Vec<u8>),
    File(PathBuf),
}

impl Stage {
    /// Stages the attachment.
    ///
    /// The content is always written, also when the store holds it: then the new file takes the place
    /// of the old one. That way nothing is ever changed in a file that this did not create, be it
    /// truncated, linked elsewhere or of another owner.
    pub(super) fn run(
        &self,
        store: &Inner,
        abandoned: &Abandoned,
    ) -> Result<Attachment, AttachmentError> {
        abandoned.check()?;
        let root = store.directory.path();
        let failed = || AttachmentError::io("stage an attachment in", root);
        let mut source = self.open()?;
        let mut staging = Staging::create(&store.directory).map_err(failed())?;
        let (hash, size) = self.copy(&mut source, staging.file(), store, abandoned)?;

        let expiry = store.horizon.expiry(self.ttl, store.now());
        let file_name = name::file_name(&hash, &self.name);
        seal(staging.file(), store, expiry).map_err(failed())?;

        let path = root.join(&file_name);
        let failed = || AttachmentError::io("put the attachment in its place,", &path);
        let lock = Lock::acquire(&store.directory).map_err(failed())?;
        abandoned.check()?;
        let before = store.directory.look(file_name.as_str()).map_err(failed())?;
        let before = before
            .filter(|found| found.is_file())
            .map(|found| store.horizon.read(found.modified));
        let longer = before.filter(|before| *before > expiry);
        if let Some(longer) = longer {
            let time = store.horizon.write(longer);
            staging.file().set_modified(time).map_err(failed())?;
        }
        lock.count_stage().map_err(failed())?;
        staging.place(&file_name, &lock).map_err(failed())?;
        drop(lock);

        if longer.is_some() {
            staging.file().sync_all().map_err(failed())?;
        }
        store.directory.sync().map_err(failed())?;
        Ok(Attachment {
            path,
            name: self.name.clone(),
            hash,
            size,
            expiry: longer.unwrap_or(expiry),
        })
    }

    fn open(&self) -> Result<Opened<'_>, AttachmentError> {
        let path = match &self.source {
            Source::Bytes(bytes) => return Ok(Opened::Bytes(bytes)),
            Source::File(path) => path,
        };
        let failed = || AttachmentError::io("read", path);
        let mut options = OpenOptions::new();
        // NONBLOCK, as a pipe would otherwise wait for its other end before it is refused.
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        let file = options.read(true).custom_flags(flags).open(path);
        let file = file.map_err(failed())?;
        if !file.metadata().map_err(failed())?.is_file() {
            return Err(AttachmentError::NotAFile { path: path.clone() });
        }
        Ok(Opened::File(file))
    }

    /// Copies the content, and returns its hash and its size.
    fn copy(
        &self,
        source: &mut Opened<'_>,
        mut to: &File,
        store: &Inner,
        abandoned: &Abandoned,
    ) -> Result<(String, u64), AttachmentError> {
        let mut hasher = Sha256::new();
        let mut size = 0;
        let mut buffer = vec![0; BUFFER];
        loop {
            abandoned.check()?;
            let count = match source.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                count => count.map_err(AttachmentError::io("read", self.path()))?,
            };
            if count == 0 {
                break;
            }
            // Counted as it comes: a file may grow while it is read.
            size += count as u64;
            if size > store.max_size {
                return Err(self.too_large(store));
            }
            let piece = &buffer[..count];
            hasher.update(piece);
            let failed = AttachmentError::io("write an attachment in", store.directory.path());
            to.write_all(piece).map_err(failed)?;
        }
        Ok((hex(&hasher.finalize()), size))
    }

    fn path(&self) -> PathBuf {
        match &self.source {
            Source::Bytes(_) => PathBuf::from(&self.name),
            Source::File(path) => path.clone(),
        }
    }

    fn too_large(&self, store: &Inner) -> AttachmentError {
        AttachmentError::TooLarge {
            name: self.name.clone(),
            limit: store.max_size,
        }
    }
}

enum Opened<'a> {
    Bytes(&'a [u8]),
    File(File),
}

impl Read for Opened<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Bytes(bytes) => bytes.read(buffer),
            Self::File(file) => file.read(buffer),
        }
    }
}

/// Gives the file its expiry, and makes that and the content outlive a power failure.
fn seal(file: &File, store: &Inner, expiry: Expiry) -> io::Result<()> {
    file.set_modified(store.horizon.write(expiry))?;
    file.sync_all()
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
