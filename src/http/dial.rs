//! Opens a TCP connection to a host and port: resolves the name and tries its addresses in turn, within time limits.
//! Knows nothing of HTTP or TLS; `tcp:` conditions use it directly.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::Instant;

use super::lookup;
use super::url::Endpoint;
use crate::support::blocking::Repeated;
use crate::support::cause::words;
use crate::support::durations::shown;

/// Time limit of one address while others are left to try. Two SYNs fit in: the first is repeated after 1 s (RFC 6298,
/// section 2).
const ONE_OF_MANY: Duration = Duration::from_secs(3);

/// Opens connections to one endpoint.
#[derive(Debug)]
pub struct Dialer {
    endpoint: Endpoint,
    lookup: Repeated<io::Result<Vec<SocketAddr>>>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The name has no address, or the name server did not answer.
    #[error("the name {host:?} cannot be resolved: {}", words(source))]
    Resolve {
        /// The name.
        host: String,
        /// What getaddrinfo answered.
        source: io::Error,
    },
    /// The name server did not answer in time.
    #[error("the name server has not answered for {host:?} within {}", shown(*after))]
    ResolveTimeout {
        /// The name.
        host: String,
        /// Time waited.
        after: Duration,
    },
    /// The last address tried refused, or could not be reached.
    #[error("{address}: {}", words(source))]
    Connect {
        /// The address.
        address: SocketAddr,
        /// ECONNREFUSED, EHOSTUNREACH, ...
        source: io::Error,
    },
    /// The last address tried did not answer.
    #[error("{address}: no connection within {}", shown(*after))]
    ConnectTimeout {
        /// The address.
        address: SocketAddr,
        /// Time waited.
        after: Duration,
    },
}

impl Dialer {
    /// A dialer for `endpoint`. Resolves nothing yet.
    pub fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, lookup: Repeated::default() }
    }

    /// The endpoint.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Connects to the first address that accepts, before `deadline`. The name is resolved each time, because the
    /// address changes while an application starts.
    ///
    /// # Errors
    /// There is no address, or none accepts: the last address's error is returned.
    pub async fn dial(&mut self, deadline: Instant) -> Result<TcpStream, DialError> {
        let addresses = self.addresses(deadline).await?;
        let last = addresses.len() - 1;
        let mut failed = None;
        for (index, address) in addresses.into_iter().enumerate() {
            let started = Instant::now();
            let until = if index == last { deadline } else { deadline.min(started + ONE_OF_MANY) };
            failed = Some(match tokio::time::timeout_at(until, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    // If the option is refused, latency is a little higher; nothing else.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Ok(Err(source)) => DialError::Connect { address, source },
                Err(_) => DialError::ConnectTimeout { address, after: started.elapsed() },
            });
            if Instant::now() >= deadline {
                break;
            }
        }
        Err(failed.unwrap_or_else(|| self.unresolved(io::ErrorKind::NotFound.into())))
    }

    /// At least one address.
    async fn addresses(&mut self, deadline: Instant) -> Result<Vec<SocketAddr>, DialError> {
        let Endpoint { host, port } = self.endpoint.clone();
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let started = Instant::now();
        let name = host.clone();
        let lookup = self.lookup.run(move || lookup::addresses(&name, port));
        match tokio::time::timeout_at(deadline, lookup).await {
            Err(_) => Err(DialError::ResolveTimeout { host, after: started.elapsed() }),
            Ok(Ok(Ok(addresses))) => Ok(addresses),
            Ok(Ok(Err(source)) | Err(source)) => Err(self.unresolved(source)),
        }
    }

    fn unresolved(&self, source: io::Error) -> DialError {
        DialError::Resolve { host: self.endpoint.host.clone(), source }
    }
}
