//! Says what went wrong on the wire in words for someone who has to repair a server, a certificate or a network. The
//! libraries' texts are written for programmers.

use std::error::Error as _;
use std::io;

use tokio_rustls::rustls::{CertificateError, Error as TlsError};

use super::own_authority::is_authority;
use crate::support::cause;

/// Why a TLS handshake failed.
pub(super) fn of_handshake(error: &io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(fault) => of_tls(fault),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            "the server closed the connection before the handshake was over".into()
        }
        None => cause::words(error),
    }
}

/// Why TLS failed.
pub(super) fn of_tls(error: &TlsError) -> String {
    match error {
        TlsError::InvalidCertificate(fault) => of_certificate(error, fault),
        // The numbers are listed in RFC 8446, section 6.
        TlsError::AlertReceived(alert) => {
            format!("the server ended the handshake with alert {} (RFC 8446, section 6)", u8::from(*alert))
        }
        TlsError::InvalidMessage(_) => "what the server sends is not TLS".into(),
        TlsError::PeerIncompatible(_) => {
            "server and program have no version (1.2, 1.3) or cipher of TLS in common".into()
        }
        TlsError::NoCertificatesPresented => "the server sent no certificate".into(),
        _ => "the server does not keep to the protocol".into(),
    }
}

fn of_certificate(error: &TlsError, fault: &CertificateError) -> String {
    use CertificateError as C;
    let words = match fault {
        C::UnknownIssuer => "was issued by an authority that is not trusted here",
        C::Expired | C::ExpiredContext { .. } => "has expired",
        C::NotValidYet | C::NotValidYetContext { .. } => "is not valid yet (or this node's clock is behind)",
        C::NotValidForNameContext { presented, .. } if !presented.is_empty() => {
            return format!("its certificate is for another name: it has {}", presented.join(", "));
        }
        C::NotValidForName | C::NotValidForNameContext { .. } => "is for another name",
        C::BadEncoding => "cannot be decoded",
        // Typically an authority that was recreated under its old name.
        C::BadSignature => "was not signed by the authority of that name that is trusted here",
        C::InvalidPurpose | C::InvalidPurposeContext { .. } => "is not for a server",
        C::Other(_) if is_authority(error) => {
            "is an authority's own (CA:TRUE); give that very certificate with --ca-file"
        }
        C::Revoked => "was revoked",
        C::UnhandledCriticalExtension => "has a critical extension that this program does not know",
        C::UnsupportedSignatureAlgorithmContext { .. } => {
            "is signed in a way that this program does not know"
        }
        _ => "is refused; `openssl verify` says more of it",
    };
    format!("its certificate {words}")
}

/// Why an answer did not come or was incomplete.
pub(super) fn of_http(error: &hyper::Error) -> String {
    if error.is_incomplete_message() {
        return "the connection was closed before the answer was complete".into();
    }
    if error.is_parse() {
        return "what it sends is not HTTP/1.1, or the head of its answer is too long".into();
    }
    let mut source = error.source();
    while let Some(inner) = source {
        if let Some(error) = inner.downcast_ref::<io::Error>() {
            let why = match error.get_ref().and_then(|inner| inner.downcast_ref()) {
                Some(fault) => of_tls(fault),
                None => cause::words(error),
            };
            return format!("the connection broke: {why}");
        }
        source = inner.source();
    }
    "the connection broke".into()
}
