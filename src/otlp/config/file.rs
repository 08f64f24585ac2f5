use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::Path,
};

/// A file of credentials or certificates is smaller. A larger one would only fill the memory.
const MAX_BYTES: u64 = 1 << 20;

/// Returns the content of a regular file. Others, such as pipes and devices, may block or not end.
pub(crate) fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut content = Vec::new();
    File::open(path)?
        .take(MAX_BYTES + 1)
        .read_to_end(&mut content)?;
    if content.len() as u64 > MAX_BYTES {
        return Err(io::Error::other("larger than 1 MiB"));
    }
    Ok(content)
}
