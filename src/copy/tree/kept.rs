//! Checks that what was copied is still where the path leads, after later steps. Reads only.

use crate::copy::error::Error;
use crate::copy::io::path::shown_path;
use crate::copy::tree::place::Place;

/// Fails if the path no longer leads to the directory that was copied into, and that directory still exists elsewhere.
///
/// # Errors
/// As [`crate::copy::copy()`].
pub fn check_kept(place: &Place) -> Result<(), Error> {
    let path = place.path();
    if place.is_kept().map_err(|e| Error::system("open the destination", path, e))? {
        return Ok(());
    }
    Err(Error::apart(format!(
        "{} no longer leads to the directory that was copied into: a command of this run moved that directory or put \
         another in its place; let the command move what is in it, or change a link to it",
        shown_path(path)
    )))
}
