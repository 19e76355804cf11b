//! The headers of a wait's requests, with user name and password where asked for. Reads the file or variable that holds
//! them; no message shows them.

use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;

use crate::hook::wait::{Auth, Wait};
use crate::http::basic_auth;
use crate::support::cause::words;
use crate::support::small_file;

/// Limit of the file in bytes.
const LARGEST: u64 = 64 << 10;

/// The headers of `wait`, or why user name and password cannot be read.
pub(super) fn headers(wait: &Wait) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for header in &wait.headers {
        headers.append(header.name.clone(), header.value.clone());
    }
    let (read, place) = match &wait.auth {
        None => return Ok(headers),
        Some(Auth::File(path)) => {
            let place = path.display().to_string();
            (
                small_file::read(path, LARGEST)
                    .map_err(|error| format!("cannot read {place}: {}", words(&error)))?,
                place,
            )
        }
        Some(Auth::Variable(name)) => {
            let value = std::env::var(name).map_err(|_| format!("the variable {name} is not set"))?;
            (value.into_bytes(), format!("the variable {name}"))
        }
    };
    let line = read.strip_suffix(b"\n").unwrap_or(&read);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let value = basic_auth(line).ok_or_else(|| format!("{place} does not hold USER:PASSWORD"))?;
    headers.insert(AUTHORIZATION, value);
    Ok(headers)
}
