//! Reads a file that an option names, with a limit on its size.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use super::sizes::human_bytes;

/// The content of `path`, at most `most` bytes.
///
/// # Errors
/// What the system answers, or `FileTooLarge`.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(path)?.take(most + 1).read_to_end(&mut content)?;
    if content.len() as u64 > most {
        let message = format!("it is larger than {}", human_bytes(most));
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(content)
}
