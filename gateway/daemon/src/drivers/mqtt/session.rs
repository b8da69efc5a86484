//! The talk with the broker: one task that polls and never waits to send. Each connection gets a
//! client of its own, so that nothing a broken one left inside the library can wedge the next.

use super::acks::{Acks, NotDurable, Owed};
use super::inbox::{Inbox, Received};
use super::oversize::{Oversize, Remedy};
use super::tls;
use crate::drivers::backoff::Backoff;
use crate::drivers::{DriverContext, MqttLink};
use crate::health::Board;
use rumqttc::{
    AsyncClient, ConnectionError, Event, MqttOptions, NetworkOptions, Packet, Publish, QoS,
    StateError, SubscribeFilter, SubscribeReasonCode, Transport, mqttbytes,
};
use secrecy::ExposeSecret;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// Requests (acknowledgements, subscriptions) that may wait inside the client.
const REQUESTS: usize = 4096;
/// How many filters go into one request.
const FILTERS: usize = 50;
const CONNECTION_TIMEOUT_SECONDS: u64 = 5;
/// A connection on which nothing at all happens for this long beyond the keep-alive is given up.
const STUCK: Duration = Duration::from_secs(60);
/// The broker may be away for so long before the devices count as out of reach.
const GRACE: Duration = Duration::from_secs(3);
/// The largest message at first: 1 MiB and its head.
const USUAL_PACKET: usize = 1024 * 1024 + 64 * 1024;
/// The largest that is ever let in: it must fit into a small machine's memory.
const MOST_PACKET: usize = 16 * 1024 * 1024;
/// How long it takes until the broker is tried again that still sends one above that, although the
/// session was given up.
const PAUSE: Duration = Duration::from_secs(120);
/// A larger payload is not looked at, only its beginning is kept.
const MOST_PAYLOAD: usize = 8 * 1024 * 1024;
const KEPT: usize = 64 * 1024;

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("{0}")]
    Failed(#[from] Box<ConnectionError>),
    #[error("nothing happened for {} s", .0.as_secs())]
    Stuck(Duration),
    #[error("the gateway is too far behind; the broker will send again")]
    Full,
    #[error("a message could not be stored; the broker will send it again")]
    NotDurable,
    #[error(
        "the broker's session is given up, with all that waited in it, for a message of more than \
         {} MiB; let the broker refuse such messages (max_packet_size)", MOST_PACKET >> 20
    )]
    GivenUp,
    #[error("encryption: {0}")]
    Tls(#[from] tls::TlsError),
}

impl End {
    /// The stable name, a label of the metrics.
    fn kind(&self) -> &'static str {
        match self {
            Self::Failed(_) => "failed",
            Self::Stuck(_) => "stuck",
            Self::Full => "full",
            Self::NotDurable => "not_durable",
            Self::GivenUp => "given_up",
            Self::Tls(_) => "tls",
        }
    }
}

/// The filters of a link.
#[derive(Debug)]
pub(super) struct Filters {
    /// All.
    pub(super) all: BTreeSet<String>,
    /// Those whose kept messages are wanted at each connection: they say who is there.
    pub(super) availability: BTreeSet<String>,
}

/// The talk with one broker.
pub(super) struct Session {
    name: String,
    /// Its line on the board.
    check: String,
    board: Arc<Board>,
    link: MqttLink,
    filters: Filters,
    inbox: Inbox,
    owed: mpsc::Receiver<Owed>,
    acks: Acks,
    epoch: u64,
    backoff: Backoff,
    /// Whether the broker confirmed all filters to this process.
    subscribed: bool,
    /// Confirmations of all filters that are still to come.
    unconfirmed: usize,
    packet_limit: usize,
    /// Messages above every limit.
    oversize: Oversize,
    /// Whether the next connection only makes the broker forget the session.
    give_up: bool,
    /// Whether the broker began a session and the feeding task was not told yet.
    new_session: bool,
    /// When the devices count as out of reach; `None` while connected or after it was said.
    lost_at: Option<Instant>,
    /// Why the last attempt ended, so that the log says it once.
    trouble: Option<String>,
}

impl Session {
    /// A talk that has not begun.
    pub(super) fn new(
        context: &DriverContext,
        link: MqttLink,
        filters: Filters,
        inbox: Inbox,
        owed: mpsc::Receiver<Owed>,
    ) -> Self {
        Self {
            name: context.link.clone(),
            check: format!("mqtt/{}", context.link),
            board: context.board.clone(),
            link,
            filters,
            inbox,
            owed,
            acks: Acks::default(),
            epoch: 0,
            backoff: Backoff::default(),
            subscribed: false,
            unconfirmed: 0,
            packet_limit: USUAL_PACKET,
            oversize: Oversize::default(),
            give_up: false,
            new_session: false,
            lost_at: Some(Instant::now() + GRACE),
            trouble: None,
        }
    }

    /// Talks for ever.
    pub(super) async fn run(mut self) {
        loop {
            let end = match self.connection().await {
                Ok(never) => match never {},
                Err(end) => end,
            };
            let now = Instant::now();
            if self.acks.end() {
                self.lost_at = Some(now + GRACE);
            }
            self.unconfirmed = 0;
            let pause = self.note(&end, now);
            self.oversize.ended(now);
            let next = self.backoff.failed(now).max(now + pause);
            while Instant::now() < next {
                tokio::select! {
                    () = sleep_until(next) => {}
                    // Of the connection that is gone.
                    Some(_) = self.owed.recv() => {}
                    () = until(self.lost_at) => self.tell_lost(),
                }
            }
        }
    }

    /// One connection, from the first attempt to its end.
    async fn connection(&mut self) -> Result<std::convert::Infallible, End> {
        let (client, mut events) = AsyncClient::new(self.options()?, REQUESTS);
        let mut network = NetworkOptions::new();
        network.set_connection_timeout(CONNECTION_TIMEOUT_SECONDS);
        network.set_tcp_nodelay(true);
        events.set_network_options(network);
        let limit = STUCK + self.link.keep_alive.to_std();
        loop {
            let stuck = Instant::now() + limit;
            // Polled to its end: a poll that is dropped half-way could lose what it held.
            let mut polling = Box::pin(events.poll());
            let event = loop {
                tokio::select! {
                    event = &mut polling => break event.map_err(Box::new)?,
                    Some(owed) = self.owed.recv() => self.acks.push(owed),
                    settled = self.acks.settle() => match settled {
                        Ok(()) => self.acks.flush(&client),
                        Err(NotDurable) => return Err(End::NotDurable),
                    },
                    () = sleep_until(stuck) => return Err(End::Stuck(limit)),
                    () = until(self.lost_at) => self.tell_lost(),
                }
            };
            drop(polling);
            if let Event::Incoming(packet) = event {
                self.take(packet, &client)?;
            }
            self.acks.flush(&client);
        }
    }

    fn options(&self) -> Result<MqttOptions, tls::TlsError> {
        let link = &self.link;
        let mut options = MqttOptions::new(&link.client_id, &link.host, link.port);
        let keep_alive = link.keep_alive.to_std();
        options
            .set_keep_alive(keep_alive.clamp(Duration::from_secs(1), Duration::from_secs(3600)))
            .set_clean_session(self.give_up)
            .set_manual_acks(true)
            .set_max_packet_size(self.packet_limit, self.packet_limit);
        if let Some((user, password)) = &link.credentials {
            options.set_credentials(user, password.expose_secret());
        }
        if let Some(settings) = &link.tls {
            let config = tls::config(settings)?;
            options.set_transport(Transport::tls_with_config(config.into()));
        }
        Ok(options)
    }

    fn take(&mut self, packet: Packet, client: &AsyncClient) -> Result<(), End> {
        if let Packet::Publish(publish) = packet {
            return self.received(publish);
        }
        if let Packet::ConnAck(welcome) = packet {
            if std::mem::take(&mut self.give_up) {
                return Err(End::GivenUp);
            }
            self.new_session |= !welcome.session_present;
            self.subscribed &= welcome.session_present;
            if self.new_session {
                self.inbox.new_session().map_err(|_| End::Full)?;
                self.new_session = false;
            }
            self.oversize.connected(Instant::now());
            self.epoch = self.acks.begin();
            self.lost_at = None;
            self.subscribe(client, welcome.session_present);
            tracing::info!(
                link = %self.name, session_present = welcome.session_present, "connected"
            );
            self.trouble = None;
            self.board.set(&self.check, true, false, "");
        } else if let Packet::SubAck(confirmed) = packet {
            self.confirmed(&confirmed.return_codes);
        }
        Ok(())
    }

    /// A session that the broker kept still has its filters, unless they changed since this
    /// process began; the kept messages about availability are asked for each time.
    fn subscribe(&mut self, client: &AsyncClient, session_present: bool) {
        let known = session_present && self.subscribed;
        let wanted = match known {
            true => &self.filters.availability,
            false => &self.filters.all,
        };
        let filters: Vec<SubscribeFilter> = wanted
            .iter()
            .map(|filter| SubscribeFilter::new(filter.clone(), QoS::AtLeastOnce))
            .collect();
        self.subscribed = known;
        self.unconfirmed = 0;
        for some in filters.chunks(FILTERS) {
            match client.try_subscribe_many(some.iter().cloned()) {
                Ok(()) => self.unconfirmed += 1,
                Err(_) => tracing::error!(link = %self.name, "a topic filter is not valid"),
            }
        }
    }

    fn confirmed(&mut self, codes: &[SubscribeReasonCode]) {
        if codes.contains(&SubscribeReasonCode::Failure) {
            // Not confirmed: it is asked for again at the next connection.
            tracing::error!(link = %self.name, "the broker refused a topic filter");
            self.unconfirmed = usize::MAX;
        }
        if self.unconfirmed != usize::MAX {
            self.unconfirmed = self.unconfirmed.saturating_sub(1);
            if self.unconfirmed == 0 && !self.subscribed {
                tracing::info!(link = %self.name, "subscribed");
                self.subscribed = true;
            }
        }
    }

    fn received(&mut self, publish: Publish) -> Result<(), End> {
        let owes = publish.qos != QoS::AtMostOnce;
        let oversize = publish.payload.len() > MOST_PAYLOAD;
        let payload = match publish.payload.get(..KEPT) {
            Some(start) if oversize => bytes::Bytes::copy_from_slice(start),
            Some(_) | None => publish.payload,
        };
        let pushed = self.inbox.push(Received {
            epoch: self.epoch,
            packet: owes.then_some(publish.pkid),
            retained: publish.retain,
            repeated: publish.dup,
            oversize,
            topic: publish.topic,
            payload,
        });
        match pushed {
            Ok(()) => Ok(()),
            // Unacknowledged, the broker keeps it: without a connection it also stops sending.
            Err(_) if owes => Err(End::Full),
            Err(_) => {
                self.count("zhiban_mqtt_dropped_total", "full");
                Ok(())
            }
        }
    }

    /// Counts an end, and logs it when it is a new kind of trouble. Says how long to wait at least.
    fn note(&mut self, end: &End, now: Instant) -> Duration {
        self.count("zhiban_mqtt_disconnects_total", end.kind());
        let mut trouble = end.to_string();
        let mut pause = Duration::ZERO;
        if let End::Failed(error) = end
            && let Some(size) = too_large(error)
            && self.make_room(size, now) == Remedy::Pause
        {
            pause = PAUSE;
            trouble = format!(
                "a message of more than {} MiB comes again, although the broker's session was \
                 given up; clear it where it is retained, and let the broker refuse such messages \
                 (max_packet_size)",
                MOST_PACKET >> 20
            );
        }
        if self.trouble.as_ref() != Some(&trouble) {
            tracing::warn!(link = %self.name, "no connection: {trouble}");
            self.trouble = Some(trouble);
        }
        if self.lost_at.is_none() {
            self.show_trouble();
        }
        pause
    }

    /// The broker sends a message again that was not confirmed, so it must be let in to be put
    /// aside. One above every limit would end each connection for ever: the session is given up.
    fn make_room(&mut self, size: usize, now: Instant) -> Remedy {
        let room = size.saturating_add(1024);
        if room <= MOST_PACKET {
            self.packet_limit = room.max(USUAL_PACKET);
            tracing::warn!(link = %self.name, size, "a very large message; the limit is raised");
            return Remedy::Retry;
        }
        let remedy = self.oversize.refused(size, now);
        self.give_up = remedy == Remedy::GiveUp;
        tracing::error!(link = %self.name, size, give_up = self.give_up, "a message is too large");
        remedy
    }

    /// Writes on the board why there is no connection.
    fn show_trouble(&self) {
        let trouble = self.trouble.as_deref().unwrap_or("no answer yet");
        self.board.set(&self.check, false, false, trouble);
    }

    fn tell_lost(&mut self) {
        // Without room the news waits; the devices' silence makes them stale meanwhile.
        self.lost_at = match self.inbox.lost() {
            Ok(()) => None,
            Err(_) => Some(Instant::now() + GRACE),
        };
        self.show_trouble();
    }

    fn count(&self, name: &'static str, kind: &'static str) {
        let labels = [("link", self.name.clone()), ("kind", kind.to_owned())];
        metrics::counter!(name, &labels).increment(1);
    }
}

/// The size of a packet that was refused for it.
fn too_large(error: &ConnectionError) -> Option<usize> {
    if let ConnectionError::MqttState(StateError::Deserialization(
        mqttbytes::Error::PayloadSizeLimitExceeded(size),
    )) = error
    {
        return Some(*size);
    }
    None
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drivers::mqtt::inbox;
    use crate::engine::EngineHandle;
    use rumqttc::{ConnAck, ConnectReturnCode};
    use zhiban_dashboard::ports::Health;

    fn session(inbox: Inbox) -> Session {
        let context = DriverContext {
            link: "test".to_owned(),
            engine: EngineHandle::channel().0,
            board: Arc::default(),
            stop: tokio_util::sync::CancellationToken::new(),
        };
        let link = MqttLink {
            host: "127.0.0.1".to_owned(),
            port: 1883,
            client_id: "test".to_owned(),
            credentials: None,
            keep_alive: zhiban_core::Duration::from_secs(5),
            tls: None,
        };
        let filters = Filters {
            all: BTreeSet::from(["a".to_owned()]),
            availability: BTreeSet::new(),
        };
        Session::new(&context, link, filters, inbox, mpsc::channel(1).1)
    }

    fn welcome(session_present: bool) -> Packet {
        Packet::ConnAck(ConnAck::new(ConnectReturnCode::Success, session_present))
    }

    #[tokio::test]
    async fn a_retained_message_above_every_limit_costs_one_session_and_is_named() {
        let (inbox, _outlet) = inbox::queue();
        let mut session = session(inbox);
        let (client, _events) = AsyncClient::new(session.options().unwrap(), REQUESTS);
        session.lost_at = None;
        let too_large = mqttbytes::Error::PayloadSizeLimitExceeded(17 << 20);
        let state = StateError::Deserialization(too_large);
        let end = End::Failed(Box::new(ConnectionError::MqttState(state)));
        let mut given_up = 0;
        for n in 0..5 {
            session.take(welcome(true), &client).unwrap();
            let pause = session.note(&end, Instant::now());
            assert_eq!(pause, if n < 2 { Duration::ZERO } else { PAUSE });
            given_up += u32::from(std::mem::take(&mut session.give_up));
        }
        assert_eq!(given_up, 1);
        let line = &session.board.checks()[0];
        assert!(!line.ok && line.detail.contains("retained"), "{line:?}");
    }

    #[tokio::test]
    async fn a_session_lost_while_the_queue_is_full_is_subscribed_to_later() {
        let (inbox, mut outlet) = inbox::queue();
        let mut session = session(inbox);
        let (client, _events) = AsyncClient::new(session.options().unwrap(), REQUESTS);
        session.subscribed = true;
        while session.inbox.lost().is_ok() {}
        let lost = session.take(welcome(false), &client);
        assert!(matches!(lost, Err(End::Full)), "{lost:?}");
        outlet.next().await;
        // The broker kept the session that it had just begun; no filter is in it.
        session.take(welcome(true), &client).unwrap();
        assert_eq!((session.subscribed, session.unconfirmed), (false, 1));
    }
}
