//! Encryption of a broker's link: the system's authorities, or one file's. It never trusts a
//! certificate that it could not check.

use crate::drivers::MqttTls;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::path::Path;
use std::sync::Arc;

/// Why a link cannot be encrypted.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsError {
    /// The file is missing or holds no certificate.
    #[error("no certificate can be read from {0}")]
    Authority(String),
    /// The library refused.
    #[error(transparent)]
    Library(#[from] rustls::Error),
}

/// The settings of the library.
pub(super) fn config(tls: &MqttTls) -> Result<ClientConfig, TlsError> {
    let mut roots = RootCertStore::empty();
    match &tls.ca_file {
        Some(file) => {
            let certificates =
                read(file).ok_or_else(|| TlsError::Authority(file.display().to_string()))?;
            roots.add_parsable_certificates(certificates);
        }
        // A system certificate that does not parse is left out; the others serve.
        None => {
            let system = rustls_native_certs::load_native_certs().certs;
            roots.add_parsable_certificates(system);
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

fn read(file: &Path) -> Option<Vec<CertificateDer<'static>>> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file).ok()?.collect();
    all.ok().filter(|all| !all.is_empty())
}
