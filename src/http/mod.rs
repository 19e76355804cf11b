//! A small HTTP/1.1 client: GET requests, each on a connection of its own, with TLS and time limits.
//!
//! Used by the `http` and `https` conditions and by the sidecar. May open sockets and read the CA file; knows nothing
//! of hooks or Kubernetes. It follows no redirect, uses no proxy and keeps neither connections nor cookies: an answer
//! is what this server said this time.

mod basic_auth;
mod dial;
mod lookup;
mod own_authority;
mod roots;
mod tls;
mod url;
mod words;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{ACCEPT, CONNECTION, HOST, HeaderValue, USER_AGENT};
use hyper::{HeaderMap, Method, Request};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::Error as TlsError;
use tokio_util::task::AbortOnDropHandle;

pub use self::basic_auth::basic_auth;
pub use self::dial::{DialError, Dialer};
pub use self::roots::Roots;
pub use self::tls::RootsError;
pub use self::url::{Endpoint, Malformed, Url};
use crate::support::cause;
use crate::support::durations::shown;
use crate::support::sizes::human_bytes;

/// A client for one server.
pub struct Client {
    dialer: Dialer,
    /// A Unix socket to connect to instead of the endpoint.
    socket: Option<PathBuf>,
    tls: Option<Tls>,
}

struct Tls {
    connector: TlsConnector,
    roots: Roots,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No TCP connection.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// No connection to a Unix socket.
    #[error("the socket {}: {}", path.display(), cause::words(source))]
    Socket {
        /// Its path.
        path: PathBuf,
        /// ENOENT, ECONNREFUSED, EACCES, ...
        source: io::Error,
    },
    /// The server's certificate is not valid.
    #[error("{endpoint}: {why}; trusted: {roots}")]
    Certificate {
        /// The server.
        endpoint: Endpoint,
        /// What is wrong with the certificate.
        why: String,
        /// The trusted authorities.
        roots: Roots,
    },
    /// The handshake failed for another reason; often the server speaks no TLS on this port.
    #[error("{endpoint}: TLS failed: {why}")]
    Tls {
        /// The server.
        endpoint: Endpoint,
        /// What failed.
        why: String,
    },
    /// The server closed the connection too early, or its answer is not HTTP.
    #[error("{endpoint}: {why}")]
    Broken {
        /// The server.
        endpoint: Endpoint,
        /// What happened.
        why: String,
    },
    /// The server accepted the connection but did not answer in time.
    #[error("{endpoint}: the connection was accepted, but there was no answer within {}", shown(*after))]
    Silent {
        /// The server.
        endpoint: Endpoint,
        /// Time waited, counted from the start of the request.
        after: Duration,
    },
    /// The body is longer than the limit.
    #[error("{endpoint}: the answer is longer than {}", human_bytes(*limit as u64))]
    TooLong {
        /// The server.
        endpoint: Endpoint,
        /// The limit in bytes.
        limit: usize,
    },
}

impl Error {
    /// Whether the time ran out without any other finding.
    pub fn is_timeout(&self) -> bool {
        matches!(
            self,
            Self::Silent { .. }
                | Self::Dial(DialError::ResolveTimeout { .. } | DialError::ConnectTimeout { .. })
        )
    }
}

/// Status and headers of an answer; the body follows in chunks. Dropping this closes the connection.
#[derive(Debug)]
pub struct Answer {
    /// The status code, 100 to 999.
    pub status: u16,
    /// The header fields.
    pub headers: HeaderMap,
    endpoint: Endpoint,
    body: Incoming,
    _connection: AbortOnDropHandle<()>,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Client {
    /// A client for an `http://` server or, with `roots`, an `https://` server.
    ///
    /// # Errors
    /// The CA file cannot be used.
    pub fn new(endpoint: Endpoint, roots: Option<Roots>) -> Result<Self, RootsError> {
        let tls = roots.map(|roots| Ok(Tls { connector: roots.connector()?, roots })).transpose()?;
        Ok(Self { dialer: Dialer::new(endpoint), socket: None, tls })
    }

    /// The same server behind a Unix socket. The endpoint then only gives the name for the Host header and TLS.
    #[must_use]
    pub fn through(self, socket: Option<PathBuf>) -> Self {
        Self { socket, ..self }
    }

    /// Sends `GET target` on a new connection; returns as soon as the headers have arrived.
    ///
    /// `target` is path and query. `headers` are added to Host, User-Agent, Accept and Connection; they may replace
    /// Host and Accept.
    ///
    /// # Errors
    /// No connection, no valid certificate, no HTTP, or no headers before `deadline`. Any status is an answer, not an
    /// error.
    pub async fn get(
        &mut self,
        target: &str,
        headers: HeaderMap,
        deadline: Instant,
    ) -> Result<Answer, Error> {
        self.send(target, headers, None, deadline).await
    }

    /// As [`Client::get`], but `POST` with a body.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn post(
        &mut self,
        target: &str,
        headers: HeaderMap,
        body: Bytes,
        deadline: Instant,
    ) -> Result<Answer, Error> {
        self.send(target, headers, Some(body), deadline).await
    }

    async fn send(
        &mut self,
        target: &str,
        headers: HeaderMap,
        body: Option<Bytes>,
        deadline: Instant,
    ) -> Result<Answer, Error> {
        let started = Instant::now();
        let stream = self.connect(deadline).await?;
        let endpoint = self.dialer.endpoint().clone();
        match tokio::time::timeout_at(deadline, self.exchange(stream, target, headers, body)).await {
            Ok(answer) => answer,
            Err(_) => Err(Error::Silent { endpoint, after: started.elapsed() }),
        }
    }

    async fn connect(&mut self, deadline: Instant) -> Result<Box<dyn Stream>, Error> {
        let Some(path) = self.socket.clone() else {
            return Ok(Box::new(self.dialer.dial(deadline).await?));
        };
        match tokio::time::timeout_at(deadline, UnixStream::connect(&path)).await {
            Ok(Ok(stream)) => Ok(Box::new(stream)),
            Ok(Err(source)) => Err(Error::Socket { path, source }),
            Err(_) => Err(Error::Socket { path, source: io::ErrorKind::TimedOut.into() }),
        }
    }

    async fn exchange(
        &self,
        stream: Box<dyn Stream>,
        target: &str,
        headers: HeaderMap,
        body: Option<Bytes>,
    ) -> Result<Answer, Error> {
        let endpoint = self.dialer.endpoint();
        let stream: Box<dyn Stream> = match &self.tls {
            None => stream,
            Some(tls) => Box::new(tls.handshake(endpoint, stream).await?),
        };
        let broken =
            |error: hyper::Error| Error::Broken { endpoint: endpoint.clone(), why: words::of_http(&error) };
        let request = request(endpoint, self.tls.is_some(), target, headers, body)?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let connection = AbortOnDropHandle::new(tokio::spawn(async move {
            // The request or the body reports the same error.
            let _ = connection.await;
        }));
        let (head, body) = sender.send_request(request).await.map_err(broken)?.into_parts();
        Ok(Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            endpoint: endpoint.clone(),
            body,
            _connection: connection,
        })
    }
}

impl Tls {
    async fn handshake(
        &self,
        endpoint: &Endpoint,
        stream: Box<dyn Stream>,
    ) -> Result<tokio_rustls::client::TlsStream<Box<dyn Stream>>, Error> {
        let name = ServerName::try_from(endpoint.host.clone()).map_err(|_| Error::Tls {
            endpoint: endpoint.clone(),
            why: "no certificate can have its name".into(),
        })?;
        self.connector.connect(name, stream).await.map_err(|error| {
            let (endpoint, why) = (endpoint.clone(), words::of_handshake(&error));
            match error.get_ref().and_then(|inner| inner.downcast_ref()) {
                Some(TlsError::InvalidCertificate(_)) => {
                    Error::Certificate { endpoint, why, roots: self.roots.clone() }
                }
                _ => Error::Tls { endpoint, why },
            }
        })
    }
}

fn request(
    endpoint: &Endpoint,
    secure: bool,
    target: &str,
    headers: HeaderMap,
    body: Option<Bytes>,
) -> Result<Request<Full<Bytes>>, Error> {
    let invalid = |what: &str| {
        let why = format!("{what} holds what no request can, or is too long");
        Error::Broken { endpoint: endpoint.clone(), why }
    };
    let method = if body.is_some() { Method::POST } else { Method::GET };
    let mut request = Request::builder()
        .method(method)
        .uri(target)
        .body(Full::new(body.unwrap_or_default()))
        .map_err(|_| invalid("the path"))?;
    *request.headers_mut() = headers;
    // The default port is left out (RFC 9110, section 7.2).
    let default_port = if secure { 443 } else { 80 };
    let host = endpoint.to_string();
    let host = if endpoint.port == default_port {
        host.strip_suffix(&format!(":{default_port}")).unwrap_or(&host)
    } else {
        &host
    };
    let host = HeaderValue::from_str(host).map_err(|_| invalid("the host name"))?;
    let fields = request.headers_mut();
    fields.entry(HOST).or_insert(host);
    fields.insert(USER_AGENT, HeaderValue::from_static(concat!("hook-runner/", env!("CARGO_PKG_VERSION"))));
    fields.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
    fields.insert(CONNECTION, HeaderValue::from_static("close"));
    Ok(request)
}

impl Answer {
    /// A header's value, if it exists and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The next chunk of the body; `None` at its end.
    ///
    /// # Errors
    /// The connection broke before the end.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            match self.body.frame().await {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    // Trailers are ignored.
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
                Some(Err(error)) => {
                    return Err(Error::Broken {
                        endpoint: self.endpoint.clone(),
                        why: words::of_http(&error),
                    });
                }
            }
        }
    }

    /// The whole body, of at most `limit` bytes, before `deadline`.
    ///
    /// # Errors
    /// It is longer, it breaks off, or time runs out.
    pub async fn body(mut self, limit: usize, deadline: Instant) -> Result<Vec<u8>, Error> {
        let started = Instant::now();
        let mut whole = Vec::new();
        loop {
            let chunk = tokio::time::timeout_at(deadline, self.chunk()).await;
            match chunk
                .map_err(|_| Error::Silent { endpoint: self.endpoint.clone(), after: started.elapsed() })??
            {
                None => return Ok(whole),
                Some(chunk) if whole.len() + chunk.len() > limit => {
                    return Err(Error::TooLong { endpoint: self.endpoint, limit });
                }
                Some(chunk) => whole.extend_from_slice(&chunk),
            }
        }
    }
}
