//! The HTTP server: the dashboard's router on a socket, plain or encrypted.
//!
//! A client that sends its request's head slowly, or never, is dropped, and so is the oldest idle connection of
//! whoever opens more than there are places. Drivers and stores keep at least half of the descriptors.

mod connection;
mod descriptors;
mod places;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::extract::connect_info::{ConnectInfo, IntoMakeServiceWithConnectInfo};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use axum_server::{Handle, Server};
use connection::{Answering, Coming, Door, Peer};
use http_body::Body as _;
use places::{Limits, Places};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use zhiban_dashboard::{OverTls, TrustedProxies};

use crate::config::HttpConfig;
use crate::health::Board;
use crate::tls;

/// How long requests under way may take when the gateway stops.
const GRACE: Duration = Duration::from_secs(5);
/// The longest head of a request, and so what one connection may hold in memory before it is understood.
const LONGEST_HEAD: usize = 64 * 1024;

/// The address and the certificate, taken before anything else starts.
pub(crate) struct Socket {
    listener: std::net::TcpListener,
    /// `None` serves plain HTTP.
    encryption: Option<RustlsConfig>,
    /// Where people reach it.
    pub(crate) address: SocketAddr,
}

/// Takes the address and reads the certificate, so that what is wrong with either is known before anything starts.
///
/// # Errors
/// One of them is of no use; the text says which and what to do.
pub(crate) fn open(config: &HttpConfig) -> Result<Socket> {
    let encryption = encryption(config)?;
    let wanted = config.listen;
    let listener = std::net::TcpListener::bind(wanted).with_context(|| {
        format!(
            "cannot listen on {wanted}: free the port, or choose another with http.listen or --listen"
        )
    })?;
    listener.set_nonblocking(true)?;
    Ok(Socket {
        address: listener.local_addr()?,
        listener,
        encryption,
    })
}

fn encryption(config: &HttpConfig) -> Result<Option<RustlsConfig>> {
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
    socket: Socket,
    config: &HttpConfig,
    router: Router,
    board: &Board,
    tracker: &TaskTracker,
    stop: CancellationToken,
) -> Result<()> {
    warn_of_plain_http(config, socket.address, board);
    let handle = Handle::new();
    let header_timeout = config.header_timeout.to_std();
    tracker.spawn({
        let handle = handle.clone();
        async move {
            stop.cancelled().await;
            handle.graceful_shutdown(Some(GRACE));
        }
    });
    let door = Door {
        listener: tokio::net::TcpListener::from_std(socket.listener)?,
        places: Places::new(limits(config)),
    };
    let mut server = Server::<Peer>::from_listener(door)
        .handle(handle)
        .http1_only();
    server
        .http_builder()
        .http1()
        .header_read_timeout(header_timeout)
        .max_buf_size(LONGEST_HEAD);
    if let Some(encryption) = socket.encryption {
        let service = service(router.layer(axum::Extension(OverTls)));
        let acceptor = RustlsAcceptor::new(encryption).handshake_timeout(header_timeout);
        let server = server.acceptor(acceptor);
        tracker.spawn(async move { finished(server.serve(service).await) });
    } else {
        let service = service(router);
        tracker.spawn(async move { finished(server.serve(service).await) });
    }
    Ok(())
}

/// As many connections as the configuration says, but never more than half of the descriptors: without one no
/// device is read and no record is written.
fn limits(config: &HttpConfig) -> Limits {
    let descriptors = descriptors::available();
    let wanted = usize::from(config.max_connections);
    let all = wanted.min(descriptors / 2).max(1);
    if all < wanted {
        tracing::warn!(
            descriptors,
            "at most {all} connections instead of {wanted} (http.max_connections): drivers and stores need the other \
             descriptors; raise the limit of open files, LimitNOFILE in a systemd unit, ulimits in Compose"
        );
    }
    Limits {
        all,
        per_address: usize::from(config.max_connections_per_address),
        proxies: TrustedProxies::new(&config.trusted_proxies),
    }
}

/// Says in the log and on the board when what people type and see could be read on the way.
fn warn_of_plain_http(config: &HttpConfig, address: SocketAddr, board: &Board) {
    let open = config.tls.is_none() && !address.ip().to_canonical().is_loopback();
    if !open {
        board.set("http", true, false, "");
        return;
    }
    if config.trusted_proxies.is_empty() {
        tracing::warn!(
            %address,
            "the page is served without encryption to other machines: whoever is on the network can read passwords. \
             Set http.tls, or put a reverse proxy with a certificate before it and name it in http.trusted_proxies"
        );
    } else {
        tracing::warn!(
            %address,
            "the page is served without encryption to other machines: let only the reverse proxy reach this port"
        );
    }
    board.set(
        "http",
        false,
        false,
        format!("plain HTTP on {address}; passwords can be read on the network"),
    );
}

fn service(router: Router) -> IntoMakeServiceWithConnectInfo<Router, Peer> {
    let router = router.layer(middleware::from_fn(answer));
    router.into_make_service_with_connect_info()
}

/// Marks the connection as one with a request until the last byte of its answer is sent, and tells the router who asks.
async fn answer(
    ConnectInfo(peer): ConnectInfo<Peer>,
    mut request: Request,
    next: Next,
) -> Response {
    let busy = Arc::new(peer.slot.busy());
    request.extensions_mut().insert(ConnectInfo(peer.address));
    if request.body().is_end_stream() {
        busy.answers();
    } else {
        let busy = busy.clone();
        request = request.map(|body| Body::new(Coming { body, busy }));
    }
    let response = next.run(request).await;
    busy.answers();
    response.map(|body| Body::new(Answering { body, _busy: busy }))
}

fn finished(result: std::io::Result<()>) {
    if let Err(error) = result {
        tracing::error!(%error, "the web server ended");
    }
}
