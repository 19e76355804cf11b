//! A real HTTP server on loopback, with or without TLS, whose answers are bytes that a test chooses.
//!
//! Blocking, a thread for each connection, so that a test can stop in the middle of a line, close, or never
//! answer. It reads the request's head and hands it to the test's function with the open connection.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A request.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) body: String,
    /// Path and query.
    pub(crate) target: String,
    headers: Vec<(String, String)>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().expect("split gives one piece at least")
    }

    /// A query parameter, with the escapes of RFC 3986 undone.
    pub(crate) fn query(&self, name: &str) -> Option<String> {
        let query = self.target.split_once('?')?.1;
        let value = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
        let mut plain = Vec::new();
        let mut bytes = value.bytes();
        while let Some(byte) = bytes.next() {
            if byte == b'%' {
                let hex: String = bytes.by_ref().take(2).map(char::from).collect();
                plain.push(u8::from_str_radix(&hex, 16).expect("two hex digits after %"));
            } else {
                plain.push(byte);
            }
        }
        Some(String::from_utf8(plain).expect("a query in UTF-8"))
    }
}

/// The open connection, on which the test's function writes what it likes.
pub(crate) type Wire<'a> = &'a mut dyn Write;

/// Writes a complete answer.
pub(crate) fn answer(wire: Wire<'_>, status: u16, body: &str) {
    answer_with(wire, status, &[], body);
}

/// Writes a complete answer with more header fields.
pub(crate) fn answer_with(wire: Wire<'_>, status: u16, headers: &[(&str, &str)], body: &str) {
    let mut head = format!("HTTP/1.1 {status} Test\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        head.extend([*name, ": ", *value, "\r\n"]);
    }
    // The client may be gone, which is its own business.
    let _ = write!(wire, "{head}\r\n{body}");
    let _ = wire.flush();
}

/// A running server; it ends with the value.
pub(crate) struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    stop: Arc<AtomicBool>,
    secure: bool,
}

impl Server {
    /// Plain HTTP on 127.0.0.1.
    pub(crate) fn http(handler: impl Fn(&Request, Wire<'_>) + Send + Sync + 'static) -> Self {
        Self::start("127.0.0.1:0", None, handler)
    }

    /// HTTPS on 127.0.0.1.
    pub(crate) fn https(
        tls: Arc<ServerConfig>,
        handler: impl Fn(&Request, Wire<'_>) + Send + Sync + 'static,
    ) -> Self {
        Self::start("127.0.0.1:0", Some(tls), handler)
    }

    /// Listens on `bind`.
    pub(crate) fn start(
        bind: &str,
        tls: Option<Arc<ServerConfig>>,
        handler: impl Fn(&Request, Wire<'_>) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(bind).unwrap_or_else(|error| panic!("listen on {bind}: {error}"));
        let server = Self {
            address: listener.local_addr().expect("the listener's address"),
            requests: Arc::default(),
            stop: Arc::default(),
            secure: tls.is_some(),
        };
        let (requests, stop, handler) = (server.requests.clone(), server.stop.clone(), Arc::new(handler));
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(connection) = connection else { continue };
                let (requests, handler, tls) = (requests.clone(), handler.clone(), tls.clone());
                std::thread::spawn(move || serve(connection, tls, &requests, &*handler));
            }
        });
        server
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// The server's URL, with `path` (which starts with a slash).
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", if self.secure { "https" } else { "http" }, self.address)
    }

    /// What was asked so far.
    pub(crate) fn requests(&self) -> MutexGuard<'_, Vec<Request>> {
        self.requests.lock().expect("no test thread panicked with the lock")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the accepting thread, which then sees the flag.
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(
    connection: TcpStream,
    tls: Option<Arc<ServerConfig>>,
    requests: &Mutex<Vec<Request>>,
    handler: &(dyn Fn(&Request, Wire<'_>) + Send + Sync),
) {
    let _ = connection.set_nodelay(true);
    match tls {
        None => {
            let mut reader = BufReader::new(connection);
            if let Some(request) = read_request(&mut reader) {
                requests.lock().expect("the lock").push(request.clone());
                handler(&request, reader.get_mut());
            }
        }
        Some(config) => {
            let session = ServerConnection::new(config).expect("a TLS session");
            let mut reader = BufReader::new(StreamOwned::new(session, connection));
            if let Some(request) = read_request(&mut reader) {
                requests.lock().expect("the lock").push(request.clone());
                handler(&request, reader.get_mut());
            }
        }
    }
}

fn read_request(reader: &mut BufReader<impl Read>) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split(' ').map(str::to_owned);
    let (method, target) = (words.next()?, words.next()?);
    let mut headers = Vec::new();
    loop {
        let mut field = String::new();
        reader.read_line(&mut field).ok()?;
        match field.trim_end().split_once(':') {
            Some((name, value)) => headers.push((name.to_owned(), value.trim().to_owned())),
            None => break,
        }
    }
    let mut request = Request { method, target, headers, body: String::new() };
    let length = request.header("content-length").map_or(0, |length| length.parse().expect("a length"));
    reader.take(length).read_to_string(&mut request.body).ok()?;
    Some(request)
}

/// A certificate authority made for one test.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters of an authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self { issuer: CertifiedIssuer::self_signed(params, key).expect("an authority") }
    }

    /// Its certificate as a PEM file in `dir`.
    pub(crate) fn file_in(&self, dir: &tempfile::TempDir) -> PathBuf {
        let path = dir.path().join("ca.crt");
        std::fs::write(&path, self.issuer.pem()).expect("write the CA file");
        path
    }

    /// A server's settings with a certificate for `names` (host names or IP addresses).
    pub(crate) fn server(&self, names: &[&str]) -> Arc<ServerConfig> {
        self.server_with(names, |_| ())
    }

    /// The same, with a chance to spoil the certificate.
    pub(crate) fn server_with(
        &self,
        names: &[&str],
        spoil: impl FnOnce(&mut CertificateParams),
    ) -> Arc<ServerConfig> {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).expect("parameters of a server");
        spoil(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        settings(certificate.der().clone(), &key)
    }

    /// An authority that serves by itself, as `openssl req -x509` makes one; and its certificate as a PEM file in `dir`.
    pub(crate) fn own_server(
        dir: &tempfile::TempDir,
        names: &[&str],
        spoil: impl FnOnce(&mut CertificateParams),
    ) -> (Arc<ServerConfig>, PathBuf) {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).expect("parameters of a server");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        spoil(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        let path = dir.path().join("own.crt");
        std::fs::write(&path, certificate.pem()).expect("write the CA file");
        (settings(certificate.der().clone(), &key), path)
    }
}

fn settings(certificate: CertificateDer<'static>, key: &KeyPair) -> Arc<ServerConfig> {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("protocol versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a certificate and its key");
    Arc::new(config)
}
