//! Manners on a line: what a device with little room for others may count on.

use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const GAP: Duration = Duration::from_millis(25);
const REQUEST: usize = 12;

/// Serves one request after the other with registers of zeros, and takes its time for each. What a
/// gateway without manners does, ends it: a request before the answer, one too soon after it, a second
/// connection.
async fn serve(listener: TcpListener, requests: usize) {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut answered: Option<Instant> = None;
    for _ in 0..requests {
        let mut asked = [0; REQUEST];
        stream.read_exact(&mut asked).await.unwrap();
        let quiet = answered.map_or(GAP, |at| at.elapsed());
        assert!(quiet >= GAP, "asked {quiet:?} after an answer");
        let busy = Duration::from_millis(15);
        let disturbed = async {
            tokio::select! {
                byte = stream.read_u8() => format!("{byte:?} before the answer"),
                _ = listener.accept() => "a second connection".to_owned(),
            }
        };
        let disturbed = tokio::time::timeout(busy, disturbed).await;
        assert!(disturbed.is_err(), "{disturbed:?}");
        let count = asked[11];
        let mut answer = asked[..4].to_vec();
        answer.extend([0, 3 + 2 * count, asked[6], asked[7], 2 * count]);
        answer.extend(vec![0; usize::from(count) * 2]);
        answered = Some(Instant::now());
        stream.write_all(&answer).await.unwrap();
    }
}

#[tokio::test]
async fn a_line_carries_one_request_at_a_time_and_rests_after_each_answer() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let line = ModbusLink {
        gap: span(GAP),
        timeout: span(PATIENCE),
        ..link(port, Framing::Tcp)
    };
    // More than the line can carry: each is due when the one before is answered.
    let units = devices(1..=5, profile(&blocks(), 4, PERIOD));
    let driver = Driver::on(line, units);
    let served = tokio::time::timeout(PATIENCE, serve(listener, 60));
    served.await.expect("60 requests");
    driver.end().await;
}

#[tokio::test]
async fn a_busy_device_gives_no_value_and_is_read_over_the_same_connection_when_it_is_free() {
    for framing in FRAMINGS {
        let peer = Peer::start(framing, |asked| Reply::Now(asked.right())).await;
        let addresses: Vec<u16> = (0..4).collect();
        let rows: Vec<Row> = addresses.iter().copied().map(word).collect();
        let units = devices([1], profile(&rows, 125, PERIOD));
        let mut driver = Driver::start(peer.port(), framing, units);
        while check(&driver.batch().await, &addresses) == 0 {}
        for code in [5, 6] {
            peer.follow(move |asked| Reply::Now(asked.refusal(code)))
                .await;
            let mut told = 0;
            while told < 3 {
                let batch = driver.batch().await;
                for sample in &batch.samples {
                    assert_ne!(sample.value, Some(Value::Integer(0)), "{code}");
                }
                let refused = Quality::Bad(QualityReason::Refused);
                let samples = &batch.samples;
                told += usize::from(samples.iter().all(|sample| sample.quality == refused));
            }
            peer.follow(|asked| Reply::Now(asked.right())).await;
            // All four, in one piece: being busy teaches nothing about registers.
            while check(&driver.batch().await, &addresses) < 4 {}
        }
        assert_eq!(peer.accepted(), 1, "{framing:?}");
        driver.end().await;
    }
}
