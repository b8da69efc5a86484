//! Serves the pages over the small building of the fixture, for work on them: `cargo run -p zhiban-dashboard
//! --features fixture --example preview`. Somebody is caught in its elevator. Never part of the program.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a tool for developers"
)]

use std::net::SocketAddr;
use zhiban_dashboard::fixture::{Fixture, PASSWORD, USER};
use zhiban_dashboard::router;

#[tokio::main]
async fn main() {
    let fixture = Fixture::start();
    if std::env::args().nth(1).as_deref() != Some("calm") {
        fixture.trap();
        fixture.trip();
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8190")
        .await
        .unwrap();
    println!(
        "http://{} {USER} {PASSWORD}",
        listener.local_addr().unwrap()
    );
    let service = router(fixture.app.clone()).into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service).await.unwrap();
}
