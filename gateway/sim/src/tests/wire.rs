//! Reads the Modbus units through bare sockets with frames made by hand.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::modbus::frame::{Framing, Parsed, crc, parse};
use crate::rng::Rng;
use crate::{Building, BuildingOptions, MqttChoice, start};

const LIMIT: Duration = Duration::from_secs(5);

pub(super) async fn building(scenario: &[&str]) -> Building {
    start(BuildingOptions {
        mqtt: MqttChoice::None,
        scenario: scenario.iter().map(|s| (*s).to_owned()).collect(),
        ..BuildingOptions::default()
    })
    .await
    .unwrap()
}

async fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

fn mbap(transaction: u16, unit: u8, pdu: &[u8]) -> Vec<u8> {
    let mut frame = transaction.to_be_bytes().to_vec();
    frame.extend([0, 0, 0, pdu.len() as u8 + 1, unit]);
    frame.extend(pdu);
    frame
}

async fn read_mbap(stream: &mut TcpStream) -> (u16, u8, Vec<u8>) {
    let mut head = [0; 7];
    timeout(LIMIT, stream.read_exact(&mut head))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(head[2..4], [0, 0]);
    let mut pdu = vec![0; usize::from(u16::from_be_bytes([head[4], head[5]])) - 1];
    timeout(LIMIT, stream.read_exact(&mut pdu))
        .await
        .unwrap()
        .unwrap();
    (u16::from_be_bytes([head[0], head[1]]), head[6], pdu)
}

async fn ask(stream: &mut TcpStream, unit: u8, pdu: &[u8]) -> Vec<u8> {
    stream.write_all(&mbap(7, unit, pdu)).await.unwrap();
    let (transaction, answered, pdu) = read_mbap(stream).await;
    assert_eq!((transaction, answered), (7, unit));
    pdu
}

#[tokio::test]
async fn units_answer_reads_and_refuse_the_rest() {
    let building = building(&[]).await;
    let mut stream = connect(building.modbus_addr()).await;
    for unit in 1..=6 {
        let plate = ask(&mut stream, unit, &[3, 0, 108, 0, 2]).await;
        assert_eq!(plate, [3, 4, 0x24, 0x06, 0x00, unit]);
    }
    assert_eq!(ask(&mut stream, 10, &[3, 0, 0, 0, 1]).await, [3, 2, 0, 1]);
    let contacts = ask(&mut stream, 20, &[2, 0, 0, 0, 13]).await;
    assert_eq!((contacts[..2].to_vec(), contacts[2] & 3), (vec![2, 2], 3));
    // Beyond the map, too many, an unknown function, a malformed request, an unknown unit.
    assert_eq!(ask(&mut stream, 1, &[4, 0, 19, 0, 2]).await, [0x84, 2]);
    assert_eq!(ask(&mut stream, 1, &[4, 0, 0, 0, 126]).await, [0x84, 3]);
    assert_eq!(ask(&mut stream, 1, &[2, 0, 0, 0, 1]).await, [0x82, 1]);
    assert_eq!(ask(&mut stream, 1, &[4, 0, 0]).await, [0x84, 3]);
    assert_eq!(ask(&mut stream, 77, &[4, 0, 0, 0, 1]).await, [0x84, 0x0B]);
    for write in [
        &[5, 0, 0, 255, 0][..],
        &[6, 0, 0, 0, 1],
        &[15, 0, 0, 0, 1, 1, 1],
        &[16, 0, 0, 0, 1, 2, 0, 0],
    ] {
        let refused = ask(&mut stream, 10, write).await;
        assert_eq!(refused, [write[0] | 0x80, 1]);
    }
    let counters = &building.state()["FP1"]["modbus"]["counters"];
    assert_eq!(counters["write_attempts"], 4);
    assert_eq!(counters["requests"], 5);
    assert_eq!(counters["answered"], 1);
    // A frame that isn't Modbus ends the connection.
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    assert_eq!(
        timeout(LIMIT, stream.read(&mut [0; 8]))
            .await
            .unwrap()
            .unwrap_or(0),
        0
    );
    building.stop().await;
}

#[tokio::test]
async fn rtu_framing_reaches_the_same_units() {
    let building = building(&[]).await;
    let mut stream = connect(building.rtu_addr()).await;
    let framed = |body: &[u8]| {
        let mut frame = body.to_vec();
        frame.extend(crc(body).to_le_bytes());
        frame
    };
    // The example of the specification of the serial line.
    assert_eq!(crc(&[0x02, 0x07]), 0x1241);
    let mut wrong = framed(&[3, 3, 0, 108, 0, 2]);
    wrong[7] ^= 1;
    stream.write_all(&wrong).await.unwrap();
    let mut answer = [0; 9];
    let silence = timeout(Duration::from_millis(200), stream.read_exact(&mut answer)).await;
    assert!(silence.is_err(), "a broken frame gets no answer");
    stream
        .write_all(&framed(&[3, 3, 0, 108, 0, 2]))
        .await
        .unwrap();
    timeout(LIMIT, stream.read_exact(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(answer.to_vec(), framed(&[3, 3, 4, 0x24, 0x06, 0x00, 0x03]));
    let write = framed(&[3, 16, 0, 0, 0, 1, 2, 0, 0]);
    stream.write_all(&write).await.unwrap();
    let mut refused = [0; 5];
    timeout(LIMIT, stream.read_exact(&mut refused))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(refused.to_vec(), framed(&[3, 0x90, 1]));
    building.stop().await;
}

#[tokio::test]
async fn silent_slow_and_late_units_leave_the_others_alone() {
    let building = building(&["unit-silent@A1", "unit-slow@A2", "unit-late@A3"]).await;
    let mut stream = connect(building.modbus_addr()).await;
    let begun = Instant::now();
    for (transaction, unit) in [(1, 3), (2, 2), (3, 1), (4, 4)] {
        let request = mbap(transaction, unit, &[3, 0, 108, 0, 2]);
        stream.write_all(&request).await.unwrap();
    }
    let mut order = Vec::new();
    for _ in 0..3 {
        let (transaction, unit, _) = read_mbap(&mut stream).await;
        order.push((transaction, unit, begun.elapsed()));
    }
    assert_eq!((order[0].0, order[0].1), (4, 4));
    assert_eq!((order[1].0, order[1].1), (2, 2));
    assert_eq!((order[2].0, order[2].1), (1, 3));
    assert!(order[1].2 >= Duration::from_millis(250));
    assert!(order[2].2 >= Duration::from_millis(1500));
    assert_eq!(
        building.state()["A1"]["modbus"]["counters"]["unanswered"],
        1
    );
    building
        .scenario("all-clear", Some("A1"), None)
        .await
        .unwrap();
    assert_eq!(
        ask(&mut stream, 1, &[3, 0, 108, 0, 1]).await,
        [3, 2, 0x24, 0x06]
    );
    building.stop().await;
}

#[tokio::test]
async fn garbage_is_never_a_right_answer() {
    let building = building(&["garbage@A4"]).await;
    let request = mbap(7, 4, &[3, 0, 108, 0, 2]);
    for lie in 0..16 {
        let mut stream = connect(building.modbus_addr()).await;
        stream.write_all(&request).await.unwrap();
        let mut answer = vec![0; 64];
        let length = timeout(LIMIT, stream.read(&mut answer))
            .await
            .unwrap()
            .unwrap();
        answer.truncate(length);
        assert!(length > 0);
        assert_ne!(
            answer,
            mbap(7, 4, &[3, 4, 0x24, 0x06, 0x00, 0x04]),
            "lie {lie}"
        );
    }
    assert_eq!(building.state()["A4"]["modbus"]["counters"]["spoiled"], 16);
    building.stop().await;
}

#[tokio::test]
async fn stop_closes_the_ports() {
    let building = building(&[]).await;
    let address = building.modbus_addr();
    let mut open = connect(address).await;
    building.stop().await;
    assert_eq!(
        timeout(LIMIT, open.read(&mut [0; 8]))
            .await
            .unwrap()
            .unwrap_or(0),
        0
    );
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_dropped_building_ends() {
    let building = building(&[]).await;
    let mut open = connect(building.modbus_addr()).await;
    drop(building);
    assert_eq!(
        timeout(LIMIT, open.read(&mut [0; 8]))
            .await
            .unwrap()
            .unwrap_or(0),
        0
    );
}

#[test]
fn no_bytes_upset_the_parser() {
    let mut rng = Rng::new(1, 1);
    for _ in 0..100_000 {
        let length = rng.below(24);
        let mut bytes: Vec<u8> = (0..length).map(|_| rng.next() as u8).collect();
        if rng.below(2) == 0 && length > 6 {
            bytes[2..6].copy_from_slice(&[0, 0, 0, 6]);
        }
        for framing in [Framing::Tcp, Framing::Rtu] {
            if let Parsed::Request(_, used) = parse(framing, &bytes) {
                assert!((1..=bytes.len()).contains(&used));
            }
        }
    }
}
