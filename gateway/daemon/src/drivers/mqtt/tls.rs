//! Encryption of a broker's link: the system's authorities, or one file's. It never trusts a
//! certificate that it could not check.

use crate::drivers::MqttTls;
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;

/// Why a link cannot be encrypted.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsError {
    /// The file is missing or holds no certificate.
    #[error(transparent)]
    Authority(#[from] crate::tls::TlsError),
    /// The library refused.
    #[error(transparent)]
    Library(#[from] rustls::Error),
}

/// The settings of the library.
pub(super) fn config(tls: &MqttTls) -> Result<ClientConfig, TlsError> {
    let roots = match &tls.ca_file {
        Some(file) => crate::tls::authorities(file)?,
        // A system certificate that does not parse is left out; the others serve.
        None => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            roots
        }
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}
