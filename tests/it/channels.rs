//! The conformance suite of the notification channels: what every channel does when the other
//! side takes, refuses, is busy, is silent or is not there. A new channel joins by a [`Bench`].

mod email;
mod webhook;

use std::time::{Duration, Instant};

use zhiban::channels::{Channel, DeliveryError, Rendered, RenderedAsset};

use crate::support::free_port;

/// The limit every channel here is given.
const LIMIT: Duration = Duration::from_millis(400);
/// Never to be seen in an error.
const SECRET: &str = "geheim-0123456789";

/// A message as the outbox makes it.
fn message() -> Rendered {
    Rendered {
        id: "home/WO-20261123-001/raised/1".to_owned(),
        reason: "raised".to_owned(),
        priority: 1,
        life_safety: true,
        language: "zh-CN",
        title: "【紧急】A3 3号客梯 电梯困人".to_owned(),
        text: "电梯困人\n设备:A3 3号客梯\n先做:安抚被困人员,通知维保单位 \"速来\"\n".repeat(8),
        asset: RenderedAsset {
            code: "A3".to_owned(),
            name: "3号客梯".to_owned(),
            location: Some("一号楼".to_owned()),
        },
        work_order: Some("WO-20261123-001".to_owned()),
        alarm: Some("7".to_owned()),
        person: None,
        at: "2026-11-23T00:00:00.000Z".to_owned(),
        signal: Some("present"),
        raised_at: None,
        returned_at: None,
        danger: Some("people"),
        place: None,
        site: "home".to_owned(),
        url: None,
        respond_by: None,
        due_at: None,
        due_left_seconds: None,
        reopened_at: None,
        unrecorded: false,
    }
}

/// What a channel must make of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Delivered.
    Taken,
    /// Worth another try.
    Again,
    /// Refused: how long it is tried all the same is the outbox's to say.
    Refused,
}

/// Delivers once and holds what every channel promises: an end in time, and no secret told.
async fn judge(channel: &dyn Channel) -> (Verdict, Option<DeliveryError>) {
    let begun = Instant::now();
    let result = channel.deliver(&message()).await;
    let took = begun.elapsed();
    assert!(took < LIMIT * 3 + Duration::from_secs(20), "took {took:?}");
    match result {
        Ok(()) => (Verdict::Taken, None),
        Err(error) => {
            let told = format!("{error} {error:?}");
            assert!(!told.contains(SECRET), "{told}");
            assert!(!told.contains("127.0.0.1"), "no address: {told}");
            let verdict = match error {
                DeliveryError::Transient { .. } => Verdict::Again,
                DeliveryError::Permanent(_) => Verdict::Refused,
            };
            (verdict, Some(error))
        }
    }
}

/// Makes a channel of one kind that leads to a port of this machine.
trait Bench {
    /// The channel.
    fn channel(port: u16) -> Box<dyn Channel>;
}

/// Nobody listens; somebody listens and says nothing; somebody hangs up at once.
async fn holds_what_every_channel_holds<B: Bench>() {
    let absent = B::channel(free_port());
    assert_eq!(judge(&*absent).await.0, Verdict::Again, "nobody listens");

    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .unwrap();
    let silent = B::channel(listener.local_addr().unwrap().port());
    assert_eq!(judge(&*silent).await.0, Verdict::Again, "silence");
    drop(listener);

    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .unwrap();
    let rude = B::channel(listener.local_addr().unwrap().port());
    let hanging_up = async {
        loop {
            drop(listener.accept().await);
        }
    };
    tokio::select! {
        () = hanging_up => {}
        (verdict, _) = judge(&*rude) => assert_eq!(verdict, Verdict::Again, "hung up"),
    }
}
