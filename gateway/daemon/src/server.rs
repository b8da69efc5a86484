//! The HTTP server: the dashboard's router on a socket, plain or encrypted.
//!
//! A client that sends its request's head slowly, or never, is dropped.

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::connect_info::IntoMakeServiceWithConnectInfo;
use axum_server::tls_rustls::RustlsConfig;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use zhiban_dashboard::OverTls;

use crate::config::HttpConfig;
use crate::tls;

/// How long requests under way may take when the gateway stops.
const GRACE: Duration = Duration::from_secs(5);

/// Takes the address, so that a port in use is known before anything else starts.
///
/// # Errors
/// The address cannot be had; the text says which and what to do.
pub(crate) fn listen(address: SocketAddr) -> Result<std::net::TcpListener> {
    let listener = std::net::TcpListener::bind(address).with_context(|| {
        format!(
            "cannot listen on {address}: free the port, or choose another with http.listen or --listen"
        )
    })?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Reads certificate and key, so that a wrong one is known before anything starts; `None` serves
/// plain HTTP.
///
/// # Errors
/// One of them is of no use; the text says which and what to do.
pub(crate) fn encryption(config: &HttpConfig) -> Result<Option<RustlsConfig>> {
    let Some(tls) = &config.tls else {
        return Ok(None);
    };
    let chain = tls::certificates(&tls.cert_file)?;
    let server = tls::server(chain, tls::private_key(&tls.key_file)?)?;
    Ok(Some(RustlsConfig::from_config(Arc::new(server))))
}

/// Serves until stopped.
///
/// # Errors
/// The socket is of no use.
pub(crate) fn serve(
    listener: std::net::TcpListener,
    encryption: Option<RustlsConfig>,
    config: &HttpConfig,
    router: Router,
    tracker: &TaskTracker,
    stop: CancellationToken,
) -> Result<()> {
    let handle = axum_server::Handle::new();
    let header_timeout = config.header_timeout.to_std();
    tracker.spawn({
        let handle = handle.clone();
        async move {
            stop.cancelled().await;
            handle.graceful_shutdown(Some(GRACE));
        }
    });
    if let Some(encryption) = encryption {
        let service = service(router.layer(axum::Extension(OverTls)));
        let mut server = axum_server::from_tcp_rustls(listener, encryption)?
            .handle(handle)
            .http1_only();
        server
            .http_builder()
            .http1()
            .header_read_timeout(header_timeout);
        tracker.spawn(async move { finished(server.serve(service).await) });
    } else {
        let service = service(router);
        let mut server = axum_server::from_tcp(listener)?.handle(handle).http1_only();
        server
            .http_builder()
            .http1()
            .header_read_timeout(header_timeout);
        tracker.spawn(async move { finished(server.serve(service).await) });
    }
    Ok(())
}

fn service(router: Router) -> IntoMakeServiceWithConnectInfo<Router, SocketAddr> {
    router.into_make_service_with_connect_info()
}

fn finished(result: std::io::Result<()>) {
    if let Err(error) = result {
        tracing::error!(%error, "the web server ended");
    }
}
