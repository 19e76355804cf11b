//! As `support/os.rs`, with the standard library, `tempfile` and `terminal_size`.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// An empty file without a name, or one that is removed at the end of the program.
pub fn memory_file() -> io::Result<File> {
    tempfile::tempfile()
}

/// Standard input, read to its end, as a file of its own.
pub fn stdin() -> io::Result<File> {
    let mut file = memory_file()?;
    io::copy(&mut io::stdin().lock(), &mut file)?;
    file.flush()?;
    Ok(file)
}

/// Opens for reading.
pub fn open_at_once(path: &Path) -> io::Result<File> {
    File::open(path)
}

/// Does nothing: here, reading waits anyway.
pub fn let_wait(_file: &File) -> io::Result<()> {
    Ok(())
}

/// Columns of the terminal on stdout.
pub fn columns() -> Option<usize> {
    let (width, _) = terminal_size::terminal_size_of(io::stdout())?;
    Some(usize::from(width.0)).filter(|&columns| columns > 0)
}

/// The system's words for error `number`.
pub fn description(number: i32) -> Option<String> {
    let text = io::Error::from_raw_os_error(number).to_string();
    let words = text.strip_suffix(&format!(" (os error {number})")).unwrap_or(&text);
    Some(words.trim_end_matches('.').to_owned())
}

/// The SHA-256 of `bytes`, for content security policies.
pub fn sha256(bytes: &[u8]) -> Vec<u8> {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).to_vec()
}

/// Only copies ask.
pub fn user_who_may_not_write(_directory: &Path) -> Option<u32> {
    None
}

/// Reads at an offset. Moves the file's position, which the callers do not use.
pub trait FileExt {
    /// As pread(2).
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize>;

    /// Fills `buffer`, or answers `UnexpectedEof`.
    fn read_exact_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()>;
}

impl FileExt for File {
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let mut file = self;
        file.seek(SeekFrom::Start(at))?;
        file.read(buffer)
    }

    fn read_exact_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        let mut file = self;
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(buffer)
    }
}

/// The bytes of a name as the standard library keeps them; UTF-8 if the name is text.
pub trait OsStrExt {
    /// The bytes.
    fn as_bytes(&self) -> &[u8];
}

impl OsStrExt for OsStr {
    fn as_bytes(&self) -> &[u8] {
        self.as_encoded_bytes()
    }
}

/// A name from bytes. Bytes that are not UTF-8 are no name on these systems.
pub trait OsStringExt {
    /// The name.
    fn from_vec(bytes: Vec<u8>) -> Self;
}

impl OsStringExt for OsString {
    fn from_vec(bytes: Vec<u8>) -> Self {
        String::from_utf8_lossy(&bytes).into_owned().into()
    }
}
