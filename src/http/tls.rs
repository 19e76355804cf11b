//! TLS connections to servers with a certificate of a trusted authority.
//!
//! May read the CA file; knows nothing of requests. Verification cannot be switched off: for a private authority, give
//! its certificate.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::own_authority::OwnAuthority;
use super::roots::Roots;
use super::words;
use crate::support::{cause, small_file};

/// Limit of a CA file in bytes; those of distributions have a few hundred KiB.
const LARGEST_CA_FILE: u64 = 8 << 20;

/// A CA file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    /// Missing, unreadable, or not PEM.
    #[error("cannot read the CA file {}: {why}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// In words.
        why: String,
    },
    /// No `BEGIN CERTIFICATE` in it.
    #[error("the CA file {} holds no certificate: expected PEM with BEGIN CERTIFICATE", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// One of its certificates cannot be a trust anchor (X.509 v3).
    #[error("certificate {number} in the CA file {} is not usable: {why}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Which one, counted from 1.
        number: usize,
        /// What is wrong with it.
        why: String,
    },
    /// The TLS library refuses its own settings.
    #[error("TLS cannot be set up")]
    Setup,
}

impl Roots {
    /// Reads the authorities and builds the TLS connector.
    ///
    /// # Errors
    /// The CA file cannot be read or holds no usable certificate.
    pub fn connector(&self) -> Result<TlsConnector, RootsError> {
        let mut store = RootCertStore::empty();
        let given = match self {
            Self::Bundled => {
                store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
                Vec::new()
            }
            Self::File(path) => add_file(&mut store, path)?,
        };
        let provider = Arc::new(ring::default_provider());
        let chains = WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(&provider));
        let chains = chains.build().map_err(|_| RootsError::Setup)?;
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|_| RootsError::Setup)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(OwnAuthority { chains, given }))
            .with_no_client_auth();
        Ok(TlsConnector::from(Arc::new(config)))
    }
}

fn add_file(store: &mut RootCertStore, path: &Path) -> Result<Vec<CertificateDer<'static>>, RootsError> {
    let unreadable = |why: String| RootsError::Unreadable { path: path.into(), why };
    let pem = small_file::read(path, LARGEST_CA_FILE).map_err(|error| unreadable(cause::words(&error)))?;
    let mut given = Vec::new();
    for (index, certificate) in CertificateDer::pem_slice_iter(&pem).enumerate() {
        let certificate =
            certificate.map_err(|_| unreadable("what is between BEGIN and END is no PEM".into()))?;
        given.push(certificate.clone());
        store.add(certificate).map_err(|error| RootsError::Certificate {
            path: path.into(),
            number: index + 1,
            why: words::of_tls(&error),
        })?;
    }
    if store.is_empty() {
        return Err(RootsError::Empty { path: path.into() });
    }
    Ok(given)
}
