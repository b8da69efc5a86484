//! Certificates and keys from the files that the configuration names.
//!
//! What `check` finds in a file and what the gateway does with it are one code. It never trusts
//! what it could not read whole.

use rustls::pki_types::pem::{Error, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{RootCertStore, ServerConfig};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a file is of no use; what it is, and after a semicolon what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// It cannot be read.
    #[error("{path} cannot be read ({error}); name a file that the gateway may read", path = .0.display(), error = .1)]
    Unreadable(PathBuf, std::io::Error),
    /// No certificate is in it.
    #[error("{} holds no certificate; name a PEM file that begins with -----BEGIN CERTIFICATE-----", .0.display())]
    NoCertificate(PathBuf),
    /// No key is in it.
    #[error("{} holds no private key; name a PEM file with an unencrypted key, -----BEGIN PRIVATE KEY-----", .0.display())]
    NoKey(PathBuf),
    /// They do not belong together, or are of a kind that is not known.
    #[error(
        "certificate and key are of no use together ({0}); name the key that this certificate was made for"
    )]
    Pair(rustls::Error),
}

/// The chain in a PEM file, in the file's order.
pub(crate) fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = open(file)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let all = all.ok().filter(|all| !all.is_empty());
    all.ok_or_else(|| TlsError::NoCertificate(file.to_owned()))
}

/// The private key in a PEM file.
pub(crate) fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let key = PrivateKeyDer::from_pem_slice(&open(file)?);
    key.map_err(|_: Error| TlsError::NoKey(file.to_owned()))
}

/// The authorities in a PEM file, every one of them usable.
pub(crate) fn authorities(file: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        let added = roots.add(certificate);
        added.map_err(|_| TlsError::NoCertificate(file.to_owned()))?;
    }
    Ok(roots)
}

/// The settings of a server with this certificate. It speaks HTTP/1.1 and offers nothing else: a
/// browser takes HTTP/2 wherever it is offered.
pub(crate) fn server(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Pair)?;
    let mut config = versions
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(TlsError::Pair)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn open(file: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(file).map_err(|error| TlsError::Unreadable(file.to_owned(), error))
}
