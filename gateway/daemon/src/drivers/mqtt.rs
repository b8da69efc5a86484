//! MQTT: one task talks to the broker, one feeds the engine. A message is acknowledged only when
//! all it brought is durable; what cannot be decoded is kept raw, counted and acknowledged too.
//!
//! It only subscribes: there is no code here that could send a command to a device.

mod acks;
mod clock;
mod decode;
mod denied;
mod earlier;
mod frames;
mod inbox;
mod line;
mod reason;
mod session;
mod takeover;
mod tls;
mod topics;

use super::{Device, DriverContext, MqttLink};
use crate::engine::{Delivery, EngineHandle, Stopped};
use crate::health::Board;
use crate::journal::{DeadLetter, InboxKey};
use acks::Owed;
use chrono::Utc;
use decode::{Devices, Meaning, Raw};
use inbox::{Item, Outlet, Received};
use reason::Reasons;
use session::{Filters, Session};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use topics::Topics;
use zhiban_core::Timestamp;

/// Debts on their way back to the talk; it always takes them, so this only evens out bursts.
const DEBTS: usize = 4096;
/// A message with more bytes than this is followed until it is durable, whether or not the broker
/// waits to hear of it: many of them must not wait behind the queue that bounds them.
const HEAVY: usize = 4 * 1024;
/// How much of a message that cannot be decoded is kept.
const KEPT: usize = 64 * 1024;
/// No device is taken for silent sooner.
const SHORTEST: Duration = Duration::from_secs(3);

/// Listens to the devices of one broker until it is told to stop or the engine is gone.
pub async fn run(context: DriverContext, link: MqttLink, devices: Vec<Device>) {
    let topics = devices.iter().map(|device| {
        let filters = Topics::new(std::slice::from_ref(device)).filters();
        // As its points do.
        let settings = device.profile.mqtt.as_ref();
        let patience = settings.map(|mqtt| mqtt.period.to_std().saturating_mul(3).max(SHORTEST));
        (device.code.clone(), filters, patience)
    });
    let endpoint = format!("{}:{}", link.host, link.port);
    let reasons = Arc::new(Reasons::new(context.board.clone(), endpoint, topics));
    let devices = Devices::new(devices).reporting(reasons.clone());
    let filters = Filters {
        all: devices.topics().filters(),
        availability: devices.topics().availability_filters(),
    };
    let (inbox, outlet) = inbox::queue();
    let (debts, owed) = mpsc::channel(DEBTS);
    let session = Session::new(&context, link, filters, inbox, owed).reporting(reasons.clone());
    let feeder = Feeder {
        check: format!("mqtt/{}/times", context.link),
        board: context.board,
        link: context.link,
        engine: context.engine,
        devices,
        debts,
        numbers: Numbers::default(),
    };
    tokio::select! {
        () = context.stop.cancelled() => {}
        () = session.run() => {}
        () = reasons.watch() => {}
        Stopped = feeder.run(outlet) => {}
    }
}

/// Feeds the engine.
struct Feeder {
    link: String,
    /// The line on the board about the times of its devices.
    check: String,
    board: Arc<Board>,
    engine: EngineHandle,
    devices: Devices,
    debts: mpsc::Sender<Owed>,
    numbers: Numbers,
}

/// What each number means in the broker's session: a broker gives it again once it is free.
#[derive(Debug, Default)]
struct Numbers {
    /// The hash of the latest message under each.
    latest: HashMap<u16, [u8; 16]>,
    /// Whether the session began with this process, so that no number came before.
    new: bool,
}

impl Numbers {
    fn of_new_session() -> Self {
        Self {
            latest: HashMap::new(),
            new: true,
        }
    }

    /// Notes what came under a number. Says whether that may be what came under it last.
    fn came(&mut self, packet: u16, hash: [u8; 16]) -> bool {
        let last = self.latest.insert(packet, hash);
        last.map_or(!self.new, |last| last == hash)
    }
}

impl Feeder {
    async fn run(mut self, mut outlet: Outlet) -> Stopped {
        while let Some(item) = outlet.next().await {
            let fed = match item {
                Item::Message(message) => self.message(message).await,
                Item::NewSession => {
                    self.numbers = Numbers::of_new_session();
                    Ok(())
                }
                Item::Contested(contested) => {
                    self.engine.inputs(self.devices.contested(contested)).await
                }
                Item::Lost => self.engine.inputs(self.devices.all_down()).await,
            };
            if let Err(stopped) = fed {
                return stopped;
            }
        }
        Stopped
    }

    async fn message(&mut self, mut message: Received) -> Result<(), Stopped> {
        let raw = Raw {
            topic: &message.topic,
            payload: &message.payload,
            retained: message.retained,
            repeated: message.repeated,
            epoch: message.epoch,
            now: Timestamp::from(Utc::now()),
        };
        let meaning = match message.oversize {
            true => self.devices.too_large(raw),
            false => self.devices.decode(raw),
        };
        self.count(&meaning);
        if meaning.times_changed {
            self.show_times();
        }
        let (settled, durable) = oneshot::channel();
        if message.packet.is_some() || message.payload.len() > HEAVY {
            let owed = Owed {
                epoch: message.epoch,
                packet: message.packet,
                durable,
                weight: message.weight.take(),
            };
            self.debts.send(owed).await.map_err(|_| Stopped)?;
        } else if meaning.problem.is_none() {
            return match meaning.inputs.is_empty() {
                true => Ok(()),
                false => self.engine.inputs(meaning.inputs).await,
            };
        }
        if meaning.unknown {
            // Nobody's message: there is nothing to store, only to have it out of the queue. An
            // answer nobody waits for any more is none.
            return settled.send(()).or(Ok(()));
        }
        let key = self.key(&message);
        let delivery = Delivery {
            inputs: meaning.inputs,
            key,
            dead_letter: meaning
                .problem
                .map(|reason| self.dead_letter(message, reason)),
            durable: settled,
        };
        self.engine.deliver(delivery).await
    }

    /// By what a second copy of a message is known: the broker marks it as sent again, and it
    /// keeps its number. Its own time makes none: a clock may stand still, or know only seconds.
    /// A number is given again, and anew in each session: only the latest under it has a copy.
    fn key(&mut self, message: &Received) -> InboxKey {
        let link: [u8; 32] = Sha256::digest(self.link.as_bytes()).into();
        let mut text = Sha256::new();
        text.update(message.topic.as_bytes());
        text.update([0]);
        text.update(&message.payload);
        let text: [u8; 32] = text.finalize().into();
        // No message has the number 0.
        let number = message.packet.unwrap_or(0).to_be_bytes();
        let parts = link.iter().take(4).chain(&number).chain(&text);
        let mut hash = [0; 16];
        hash.iter_mut()
            .zip(parts)
            .for_each(|(to, from)| *to = *from);
        let numbers = &mut self.numbers;
        let came = message
            .packet
            .is_none_or(|packet| numbers.came(packet, hash));
        InboxKey {
            hash,
            unique: message.repeated && !message.retained && came,
        }
    }

    fn dead_letter(&self, message: Received, reason: &str) -> DeadLetter {
        let mut payload = Vec::from(message.payload);
        payload.truncate(KEPT);
        DeadLetter {
            link: self.link.clone(),
            topic: message.topic,
            payload,
            reason: reason.to_owned(),
        }
    }

    /// Says on the board whose times cannot be read.
    fn show_times(&self) {
        const NAMED: usize = 5;
        let count = self.devices.unreadable_times().count();
        let named: Vec<&str> = self.devices.unreadable_times().take(NAMED).collect();
        let others = if count > NAMED { ", …" } else { "" };
        let detail = match count {
            0 => String::new(),
            _ => format!(
                "the time in the messages of {count} devices cannot be read ({}{others}): their values \
                 are uncertain; correct mqtt.time (format, zone) in the profile",
                named.join(", ")
            ),
        };
        self.board.set(&self.check, count == 0, false, detail);
    }

    fn count(&self, meaning: &Meaning) {
        let kind = match meaning {
            Meaning { unknown: true, .. } => "unknown_topic",
            Meaning {
                problem: Some(_), ..
            } => "undecodable",
            Meaning {
                unreadable_time: true,
                ..
            } => "unreadable_time",
            Meaning {
                wrong_clock: true, ..
            } => "wrong_clock",
            Meaning { repaired: true, .. } => "repaired",
            Meaning { .. } => "good",
        };
        let labels = [("link", self.link.clone()), ("kind", kind.to_owned())];
        metrics::counter!("zhiban_mqtt_messages_total", &labels).increment(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(packet: u16, payload: &'static str) -> Received {
        Received {
            epoch: 1,
            packet: Some(packet),
            retained: false,
            repeated: false,
            oversize: false,
            topic: "a".to_owned(),
            payload: payload.into(),
            weight: None,
        }
    }

    #[test]
    fn an_equal_message_is_another_one_unless_the_broker_sends_it_again() {
        let mut feeder = Feeder {
            link: "test".to_owned(),
            check: "mqtt/test/times".to_owned(),
            board: Arc::default(),
            engine: EngineHandle::channel().0,
            devices: Devices::new(Vec::new()),
            debts: mpsc::channel(1).0,
            numbers: Numbers::default(),
        };
        let again = |packet, payload| Received {
            repeated: true,
            ..received(packet, payload)
        };
        // With a clock that stands still, or that knows only seconds, all of these are new.
        let first = feeder.key(&received(1, "0 on"));
        assert!(!first.unique);
        assert!(!feeder.key(&received(2, "0 on")).unique);
        let copy = feeder.key(&again(1, "0 on"));
        assert!(copy.unique && copy.hash == first.hash);
        assert_ne!(feeder.key(&again(2, "0 on")).hash, first.hash);
        assert_ne!(feeder.key(&again(1, "0 off")).hash, first.hash);
        let kept = Received {
            retained: true,
            ..again(1, "0 on")
        };
        assert!(!feeder.key(&kept).unique, "it must seed the state again");
        // The number now means another message, and then that one no more.
        assert!(!feeder.key(&again(1, "0 off")).unique);
        assert!(feeder.key(&again(1, "0 off")).unique);
        assert!(!feeder.key(&again(1, "0 on")).unique);
        // The broker lost the session: its number 1 is another message, until it came.
        feeder.numbers = Numbers::of_new_session();
        assert!(!feeder.key(&again(1, "0 off")).unique);
        assert!(feeder.key(&again(1, "0 off")).unique);
    }
}
