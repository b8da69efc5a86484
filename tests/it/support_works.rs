//! Holds the helpers of the tests against the real servers. A helper that lies makes every other
//! test worthless, so none may be used before it is tried here.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_modbus::client::{Context, Reader, Writer, tcp};
use tokio_modbus::slave::{Slave, SlaveContext};

use crate::support::influx::{BUCKET, Influx};
use crate::support::mosquitto::Mosquitto;
use crate::support::proxy::{Fault, FaultProxy};
use crate::support::pymodbus::Pymodbus;
use crate::support::{PATIENCE, csv, process, wait_until};

async fn modbus(port: u16, unit: u8) -> Context {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut context = tcp::connect(address).await.unwrap();
    context.set_slave(Slave(unit));
    context
}

#[tokio::test]
async fn pymodbus_serves_the_patterns_that_it_documents() {
    let Some(server) = Pymodbus::start(&["--units", "1,7"]).await else {
        return;
    };
    let mut seven = modbus(server.port(), 7).await;
    let holding = seven.read_holding_registers(10, 3).await.unwrap().unwrap();
    assert_eq!(holding, [7010, 7011, 7012]);
    let input = seven.read_input_registers(999, 1).await.unwrap().unwrap();
    assert_eq!(input, [7999 + 0x8000]);
    let coils = seven.read_coils(1, 5).await.unwrap().unwrap();
    assert_eq!(coils, [false, true, false, false, true]);
    let inputs = seven.read_discrete_inputs(2, 3).await.unwrap().unwrap();
    assert_eq!(inputs, [false, true, false]);

    let mut one = modbus(server.port(), 1).await;
    let typed = one.read_holding_registers(1000, 6).await.unwrap().unwrap();
    let [
        int16,
        uint16,
        int32_high,
        int32_low,
        uint32_high,
        uint32_low,
    ] = typed[..]
    else {
        panic!("{typed:?}");
    };
    assert_eq!((int16.cast_signed(), uint16), (-1234, 54321));
    let long = |high: u16, low: u16| u32::from(high) << 16 | u32::from(low);
    assert_eq!(long(int32_high, int32_low).cast_signed(), -12_345_678);
    assert_eq!(long(uint32_high, uint32_low), 3_456_789_012);
    let text = one.read_holding_registers(1020, 5).await.unwrap().unwrap();
    let bytes: Vec<u8> = text.iter().flat_map(|word| word.to_be_bytes()).collect();
    assert_eq!(bytes, "值班-07\0".as_bytes());
    one.write_single_register(10, 42).await.unwrap().unwrap();
    let written = one.read_holding_registers(10, 1).await.unwrap().unwrap();
    assert_eq!(written, [42]);
    assert!(one.read_holding_registers(1025, 1).await.unwrap().is_err());
}

#[tokio::test]
async fn pymodbus_keeps_silent_for_a_unit_and_ends_when_killed() {
    let Some(mut server) = Pymodbus::start(&["--units", "1", "--silent", "2"]).await else {
        return;
    };
    let mut silent = modbus(server.port(), 2).await;
    let unanswered = silent.read_holding_registers(0, 1);
    let limit = Duration::from_millis(300);
    assert!(tokio::time::timeout(limit, unanswered).await.is_err());
    let mut one = modbus(server.port(), 1).await;
    assert!(one.read_holding_registers(0, 1).await.unwrap().is_ok());
    server.kill();
    assert!(!process::accepts(server.port()).await);
}

fn mqtt_client(port: u16, id: &str) -> (AsyncClient, rumqttc::EventLoop) {
    let mut options = MqttOptions::new(id, "127.0.0.1", port);
    options.set_clean_session(false);
    AsyncClient::new(options, 16)
}

async fn next(events: &mut rumqttc::EventLoop, wanted: impl Fn(&Packet) -> bool) -> Packet {
    let waiting = async {
        loop {
            if let Event::Incoming(packet) = events.poll().await.unwrap()
                && wanted(&packet)
            {
                return packet;
            }
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap()
}

#[tokio::test]
async fn mosquitto_keeps_a_session_over_stop_and_start() {
    let Some(mut broker) = Mosquitto::start().await else {
        return;
    };
    assert_eq!(broker.url(), format!("mqtt://127.0.0.1:{}", broker.port()));
    let (reader, mut events) = mqtt_client(broker.port(), "reader");
    reader.subscribe("pumps/#", QoS::AtLeastOnce).await.unwrap();
    next(&mut events, |p| matches!(p, Packet::SubAck(_))).await;
    drop((reader, events));

    let (writer, mut events) = mqtt_client(broker.port(), "writer");
    writer
        .publish("pumps/1", QoS::AtLeastOnce, false, "tripped")
        .await
        .unwrap();
    next(&mut events, |p| matches!(p, Packet::PubAck(_))).await;
    drop((writer, events));

    broker.stop().await;
    assert!(!process::accepts(broker.port()).await);
    broker.start_again().await;
    let (_reader, mut events) = mqtt_client(broker.port(), "reader");
    let kept = next(&mut events, |p| matches!(p, Packet::Publish(_))).await;
    assert!(matches!(kept, Packet::Publish(p) if p.payload == "tripped"));
    broker.kill();
    assert!(!process::accepts(broker.port()).await);
}

#[tokio::test]
async fn influxd_keeps_its_data_over_kill_stop_and_start() {
    let Some(mut server) = Influx::start().await else {
        return;
    };
    let written = server
        .write("pump,asset=P1 pressure=2.5,fault=\"过载, \\\"E5\\\"\" 1700000000000000000\n")
        .await;
    assert_eq!(written, (204, String::new()));
    let (status, text) = server.write("pump,asset=P1 pressure=\n").await;
    assert_eq!((status, text.contains("invalid")), (400, true), "{text}");

    server.kill();
    server.start_again().await;
    server.stop().await;
    assert!(!process::accepts(server.port()).await);
    server.start_again().await;
    let rows = server
        .query(&format!("from(bucket: \"{BUCKET}\") |> range(start: 0)"))
        .await;
    let field = |name: &str| {
        let row = rows.iter().find(|row| row["_field"] == name).unwrap();
        (row["_value"].as_str(), row["asset"].as_str())
    };
    assert_eq!(rows.len(), 2);
    assert_eq!(field("pressure"), ("2.5", "P1"));
    assert_eq!(field("fault"), ("过载, \"E5\"", "P1"));
}

#[test]
fn annotated_csv_is_read_table_by_table() {
    let text = "#datatype,string,long,double\r\n,result,table,a\r\n,_result,0,1\r\n,_result,0,\"x,\"\"y\r\nz\"\r\n\r\n,result,table,b\r\n,_result,1,2\r\n\r\n";
    let rows = csv::rows(text);
    assert_eq!(rows.len(), 3);
    assert_eq!(rows[0]["a"], "1");
    assert_eq!(rows[1]["a"], "x,\"y\r\nz");
    assert_eq!(
        (rows[2]["b"].as_str(), rows[2]["table"].as_str()),
        ("2", "1")
    );
}

/// Answers every four bytes with the same four bytes.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut four = [0; 4];
                while stream.read_exact(&mut four).await.is_ok() {
                    stream.write_all(&four).await.unwrap();
                }
            });
        }
    });
    address
}

/// What comes back for `ping` within a limit: bytes, or nothing when none or the end came.
async fn ping(stream: &mut TcpStream, limit: Duration) -> Vec<u8> {
    let mut answer = vec![0; 4];
    let exchange = async {
        stream.write_all(b"ping").await?;
        stream.read(&mut answer).await
    };
    let length = match tokio::time::timeout(limit, exchange).await {
        Ok(Ok(length)) => length,
        Ok(Err(_)) | Err(_) => 0,
    };
    answer.truncate(length);
    answer
}

#[tokio::test]
async fn the_proxy_breaks_what_it_is_told_to_and_heals() {
    let proxy = FaultProxy::start(echo().await).await;
    let short = Duration::from_millis(200);
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(ping(&mut stream, PATIENCE).await, b"ping");

    proxy.set(Fault::Corrupt { at: 1, bits: 0x20 });
    assert_eq!(ping(&mut stream, PATIENCE).await, b"pIng");
    proxy.set(Fault::Delay(Duration::from_millis(100)));
    let asked = Instant::now();
    assert_eq!(ping(&mut stream, PATIENCE).await, b"ping");
    assert!(asked.elapsed() >= Duration::from_millis(100));
    proxy.set(Fault::Truncate(2));
    assert_eq!(ping(&mut stream, PATIENCE).await, b"pi");
    proxy.set(Fault::BlackHole);
    assert_eq!(ping(&mut stream, short).await, b"");
    proxy.set(Fault::None);
    assert_eq!(ping(&mut stream, PATIENCE).await, b"ping");

    proxy.set(Fault::CloseAfter(3));
    assert_eq!(ping(&mut stream, PATIENCE).await, b"pin");
    assert_eq!(ping(&mut stream, PATIENCE).await, b"");
    proxy.set(Fault::None);
    assert_eq!(proxy.accepted(), 1);
}

#[tokio::test]
async fn the_proxy_cuts_and_refuses_connections() {
    let proxy = FaultProxy::start(echo().await).await;
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(ping(&mut stream, PATIENCE).await, b"ping");
    proxy.cut();
    assert_eq!(ping(&mut stream, PATIENCE).await, b"");

    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(ping(&mut stream, PATIENCE).await, b"ping");
    proxy.set(Fault::Refuse);
    wait_until(PATIENCE, "connections to be refused", async || {
        !process::accepts(proxy.port()).await
    })
    .await;
    assert_eq!(ping(&mut stream, PATIENCE).await, b"");
    proxy.set(Fault::None);
    wait_until(PATIENCE, "connections to be accepted", async || {
        process::accepts(proxy.port()).await
    })
    .await;
}

#[tokio::test]
#[should_panic(expected = "in vain for: the moon")]
async fn waiting_in_vain_says_for_what() {
    wait_until(Duration::from_millis(30), "the moon", async || false).await;
}
