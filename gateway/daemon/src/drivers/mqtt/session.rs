//! The talk with the broker: one task that never waits for anybody but the network. While the
//! gateway is far behind it reads no further, and the broker's acknowledgements come later.

use super::acks::{Acks, NotDurable, Owed};
use super::denied::{self, Denied};
use super::earlier::Earlier;
use super::frames::Frame;
use super::inbox::{Inbox, Received};
use super::line::{Broken, FILTERS, Line};
use super::reason::{Reasons, Why};
use super::takeover::Takeover;
use crate::drivers::backoff::Backoff;
use crate::drivers::{DriverContext, MqttLink};
use crate::health::Board;
use rumqttc::{
    ConnAck, Packet, Publish, QoS, Subscribe, SubscribeFilter, SubscribeReasonCode, mqttbytes,
};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// The broker may be away for so long before the devices count as out of reach.
const GRACE: Duration = Duration::from_secs(3);
/// The longest wait between two attempts: what the broker holds for the gateway, a fire among it,
/// must not wait for long once the broker is back.
const LONGEST: Duration = Duration::from_secs(5);

/// What is said of a topic that is left out.
const CLOSES: &str = "the broker closes the connection when it is asked for this topic, which is left out; it is asked \
                      for again each hour and after a reload";

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error(transparent)]
    Broken(#[from] Broken),
    #[error("a message could not be stored; the broker will send it again")]
    NotDurable,
}

impl End {
    /// The stable name, a label of the metrics.
    fn kind(&self) -> &'static str {
        match self {
            Self::Broken(broken) => match broken {
                Broken::Closed => "closed",
                Broken::Silent | Broken::Stuck => "stuck",
                Broken::Io(_) | Broken::Refused(_) | Broken::Protocol(_) => "failed",
                Broken::Tls(_) => "tls",
            },
            Self::NotDurable => "not_durable",
        }
    }

    /// What it means for the devices; `None` when it is no matter of theirs.
    fn why(&self) -> Option<Why> {
        Some(match self {
            Self::NotDurable => return None,
            Self::Broken(broken) => match broken {
                Broken::Io(_) if !broken.by_peer() => Why::NotReached,
                Broken::Io(_) | Broken::Closed | Broken::Silent | Broken::Stuck => Why::Lost,
                Broken::Refused(_) => Why::Refused,
                Broken::Protocol(_) => Why::NoMqtt,
                Broken::Tls(_) => Why::Tls,
            },
        })
    }

    fn by_broker(&self) -> bool {
        match self {
            Self::Broken(broken) => broken.by_peer(),
            Self::NotDurable => false,
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
    /// Whether the broker began a session and the feeding task was not told yet.
    new_session: bool,
    /// A message that found no room; nothing behind it is read meanwhile.
    held: Option<Box<Received>>,
    takeover: Takeover,
    /// Whether the feeding task knows that another client takes the connection, as far as it was
    /// told.
    told_contested: bool,
    /// When the devices count as out of reach; `None` while connected or after it was said.
    lost_at: Option<Instant>,
    /// Why the last attempt ended, so that the log says it once.
    trouble: Option<String>,
    /// The requests that the broker has still to answer, by their numbers.
    requested: Vec<Subscribe>,
    /// Those that are asked one at a time, each after the answer to the one before.
    waiting: VecDeque<Subscribe>,
    /// When the first of these is asked.
    ask_at: Option<Instant>,
    denied: Denied,
    /// Those that it refused.
    refused: BTreeSet<String>,
    reasons: Arc<Reasons>,
    earlier: Earlier,
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
        let earlier = Earlier::new(context.memory.topics.clone(), &link, &filters.all);
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
            new_session: false,
            held: None,
            takeover: Takeover::default(),
            told_contested: false,
            lost_at: Some(Instant::now() + GRACE),
            trouble: None,
            requested: Vec::new(),
            waiting: VecDeque::new(),
            ask_at: None,
            denied: Denied::default(),
            refused: BTreeSet::new(),
            reasons: Arc::default(),
            earlier,
        }
    }

    /// Says of each device why it gives no values.
    pub(super) fn reporting(mut self, reasons: Arc<Reasons>) -> Self {
        self.reasons = reasons;
        self
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
            self.held = None;
            self.unconfirmed = 0;
            self.note(&end, now);
            let next = self.backoff.failed(now).min(now + LONGEST);
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
        let (mut line, welcome) = self.open().await?;
        self.welcome(&welcome, &mut line)?;
        loop {
            self.take(&mut line)?;
            self.acks.flush(&mut line)?;
            let full = self.held.is_some() || self.new_session;
            tokio::select! {
                worked = line.work(!full) => worked?,
                () = self.inbox.room(), if full => {}
                Some(owed) = self.owed.recv() => self.owes(owed),
                settled = self.acks.settle() => settled.map_err(|NotDurable| End::NotDurable)?,
                () = until(self.lost_at) => self.tell_lost(),
                () = until(self.takeover.over()) => self.uncontested(),
                () = until(self.ask_at) => self.ask_next(&mut line)?,
                () = until(self.denied.due()), if self.is_answered() => self.ask_again(&mut line)?,
            }
        }
    }

    async fn open(&mut self) -> Result<(Line, ConnAck), End> {
        let link = self.link.clone();
        let mut opening = Box::pin(Line::open(&link));
        loop {
            tokio::select! {
                opened = &mut opening => return Ok(opened?),
                // Of the connection that is gone.
                Some(_) = self.owed.recv() => {}
                () = until(self.lost_at) => self.tell_lost(),
            }
        }
    }

    fn owes(&mut self, owed: Owed) {
        self.acks.push(owed);
        while let Ok(owed) = self.owed.try_recv() {
            self.acks.push(owed);
        }
    }

    /// The broker accepted the connection.
    fn welcome(&mut self, welcome: &ConnAck, line: &mut Line) -> Result<(), End> {
        self.new_session |= !welcome.session_present;
        self.subscribed &= welcome.session_present;
        self.takeover.accepted(Instant::now());
        self.epoch = self.acks.begin();
        self.lost_at = None;
        self.refused = self.denied.all().cloned().collect();
        self.reasons.connected();
        for filter in &self.refused {
            self.reasons.filter_refused(filter, CLOSES);
        }
        (self.requested, self.waiting, self.ask_at) = Default::default();
        let subscriptions = self.subscriptions();
        let next = subscriptions.last().map_or(1, |last| last.pkid + 1);
        if self.denied.apart() {
            self.waiting = subscriptions.into();
            self.ask_at = Some(Instant::now() + denied::QUIET);
        } else {
            self.requested.clone_from(&subscriptions);
            for request in subscriptions {
                line.subscribe(request)?;
            }
        }
        for request in self.earlier.take_back(welcome.session_present, next) {
            line.unsubscribe(request)?;
        }
        tracing::info!(
            link = %self.name, session_present = welcome.session_present, "connected"
        );
        self.trouble = None;
        self.show();
        Ok(())
    }

    /// Takes what was read, as far as there is room for it.
    fn take(&mut self, line: &mut Line) -> Result<(), End> {
        self.tell_contested();
        if self.new_session {
            if self.inbox.new_session().is_err() {
                return Ok(());
            }
            self.new_session = false;
        }
        if let Some(message) = self.held.take()
            && !self.hand_over(*message)
        {
            return Ok(());
        }
        while let Some(frame) = line.frame()? {
            let room = match frame {
                Frame::Packet(Packet::Publish(publish)) => self.received(publish, None),
                Frame::Oversize(publish, size) => self.received(publish, Some(size)),
                Frame::Packet(Packet::SubAck(confirmed)) => {
                    self.confirmed(confirmed.pkid, &confirmed.return_codes);
                    self.ask_next(line)?;
                    true
                }
                Frame::Packet(Packet::UnsubAck(confirmed)) => {
                    if let Some(topics) = self.earlier.confirmed(confirmed.pkid) {
                        tracing::info!(link = %self.name, topics, "topics of an earlier configuration are taken back");
                    }
                    true
                }
                // The answer to a ping; nothing else is expected of a broker.
                Frame::Packet(_) => true,
            };
            if !room {
                break;
            }
        }
        Ok(())
    }

    /// A session that the broker kept still has its filters, unless they changed since this
    /// process began; the kept messages about availability are asked for each time.
    fn subscriptions(&mut self) -> Vec<Subscribe> {
        let wanted = match self.subscribed {
            true => &self.filters.availability,
            false => &self.filters.all,
        };
        let (valid, wrong): (Vec<_>, Vec<_>) = wanted
            .iter()
            .partition(|filter| mqttbytes::valid_filter(filter));
        for filter in wrong {
            tracing::error!(link = %self.name, filter, "a topic filter is not valid");
            self.reasons.filter_refused(filter, "");
        }
        let asked: Vec<&String> = valid
            .iter()
            .filter(|one| !self.denied.is_out(one))
            .copied()
            .collect();
        let together = if self.denied.apart() { 1 } else { FILTERS };
        let filters = |some: &[&String]| {
            let filters = some.iter().map(|filter| (*filter).clone());
            filters
                .map(|filter| SubscribeFilter::new(filter, QoS::AtLeastOnce))
                .collect()
        };
        let numbered = (1..).zip(asked.chunks(together));
        let requests: Vec<Subscribe> = numbered
            .map(|(pkid, some)| Subscribe {
                pkid,
                filters: filters(some),
            })
            .collect();
        let all = asked.len() == valid.len();
        self.unconfirmed = if all { requests.len() } else { usize::MAX };
        requests
    }

    /// Whether nothing is asked that the broker did not answer.
    fn is_answered(&self) -> bool {
        self.requested.is_empty() && self.waiting.is_empty()
    }

    /// Asks for the next topic of those that are asked for one at a time.
    fn ask_next(&mut self, line: &mut Line) -> Result<(), End> {
        self.ask_at = None;
        if self.is_answered() {
            self.denied.answered();
        } else if self.requested.is_empty()
            && let Some(next) = self.waiting.pop_front()
        {
            self.requested.push(next.clone());
            line.subscribe(next)?;
        }
        Ok(())
    }

    /// Asks once more for a topic that was left out: somebody may have let the gateway read it.
    fn ask_again(&mut self, line: &mut Line) -> Result<(), End> {
        let Some(filter) = self.denied.again() else {
            return Ok(());
        };
        self.refused.remove(&filter);
        self.reasons.filter_asked(&filter);
        self.show();
        let filters = vec![SubscribeFilter::new(filter, QoS::AtLeastOnce)];
        self.waiting.push_back(Subscribe { pkid: 1, filters });
        self.ask_next(line)
    }

    /// The broker's answer to a request: a code for each of its filters, in their order.
    fn confirmed(&mut self, number: u16, codes: &[SubscribeReasonCode]) {
        let place = self.requested.iter().position(|asked| asked.pkid == number);
        let asked = place.map(|place| self.requested.remove(place));
        let filters = asked.iter().flat_map(|asked| &asked.filters);
        let pairs = filters.zip(codes);
        let refused = pairs.filter(|(_, code)| **code == SubscribeReasonCode::Failure);
        let refused: Vec<String> = refused.map(|(filter, _)| filter.path.clone()).collect();
        for filter in &refused {
            tracing::error!(link = %self.name, filter, "the broker refuses the subscription to a topic");
            self.reasons.filter_refused(filter, "");
        }
        if codes.contains(&SubscribeReasonCode::Failure) {
            // Not confirmed: it is asked for again at the next connection.
            self.unconfirmed = usize::MAX;
            self.refused.extend(refused);
            self.show();
        }
        if self.unconfirmed != usize::MAX {
            self.unconfirmed = self.unconfirmed.saturating_sub(1);
            if self.unconfirmed == 0 && !self.subscribed {
                tracing::info!(link = %self.name, "subscribed");
                self.subscribed = true;
            }
        }
    }

    /// Takes a message; of one that was too large to be looked at only its beginning came. Says
    /// whether there was room for it.
    fn received(&mut self, publish: Publish, oversize: Option<usize>) -> bool {
        if let Some(size) = oversize {
            tracing::warn!(
                link = %self.name, topic = publish.topic, size,
                "a message is too large and is put aside; its beginning is kept"
            );
            self.count("zhiban_mqtt_oversize_total", "put_aside");
        }
        let owes = publish.qos != QoS::AtMostOnce;
        self.hand_over(Received {
            epoch: self.epoch,
            packet: owes.then_some(publish.pkid),
            retained: publish.retain,
            repeated: publish.dup,
            oversize: oversize.is_some(),
            topic: publish.topic,
            payload: publish.payload,
            weight: None,
        })
    }

    /// Hands a message over to the feeding task. One that the broker waits to hear of is held
    /// until there is room; any other is dropped and counted.
    fn hand_over(&mut self, message: Received) -> bool {
        match self.inbox.push(message) {
            Ok(()) => true,
            Err(message) if message.packet.is_some() => {
                self.held = Some(message);
                false
            }
            Err(_) => {
                self.count("zhiban_mqtt_dropped_total", "full");
                true
            }
        }
    }

    /// Counts an end, and logs it when it is a new kind of trouble.
    fn note(&mut self, end: &End, now: Instant) {
        self.count("zhiban_mqtt_disconnects_total", end.kind());
        let before = self.takeover.suspected();
        let for_a_topic = self.note_unanswered(end, now);
        self.takeover.ended(end.by_broker() && !for_a_topic, now);
        let contested = self.takeover.suspected();
        if contested && !before {
            tracing::error!(link = %self.name, "{}", self.contest());
        }
        let trouble = end.to_string();
        let why = end
            .why()
            .map(|why| if contested { Why::OtherClient } else { why });
        if let Some(why) = why {
            self.reasons.lost(why, &trouble);
        }
        if self.trouble.as_ref() != Some(&trouble) {
            tracing::warn!(link = %self.name, "no connection: {trouble}");
            self.trouble = Some(trouble);
        }
        if self.lost_at.is_none() || contested != before {
            self.show();
        }
        self.tell_contested();
    }

    /// Notes what the broker had not answered when the connection ended, and says whether it closed for a topic.
    fn note_unanswered(&mut self, end: &End, now: Instant) -> bool {
        let unanswered = self.requested.iter().flat_map(|asked| &asked.filters);
        let unanswered: Vec<&str> = unanswered.map(|filter| filter.path.as_str()).collect();
        let by_broker = end.by_broker();
        let was_apart = self.denied.apart();
        let out = self.denied.ended(by_broker, &unanswered, now);
        let for_a_topic = by_broker && !unanswered.is_empty();
        if for_a_topic && !was_apart {
            tracing::warn!(
                link = %self.name,
                "the broker closed the connection when it was asked for topics; they are asked for one at a time"
            );
        }
        if let Some(filter) = out {
            tracing::error!(link = %self.name, filter, "{CLOSES}");
        }
        (self.requested, self.waiting, self.ask_at) = Default::default();
        for_a_topic
    }

    /// Tells the feeding task whether another client takes the connection. Without room that waits.
    fn tell_contested(&mut self) {
        let contested = self.takeover.suspected();
        if contested != self.told_contested && self.inbox.contested(contested).is_ok() {
            self.told_contested = contested;
        }
    }

    /// Another client takes this one's place, as it seems: what to do about it.
    fn contest(&self) -> String {
        let id = &self.link.client_id;
        format!(
            "another client uses the id \"{id}\": the broker accepts this one and soon closes the \
             connection again, and again. Give each client an id of its own (client_id); the \
             broker's log names the other's address"
        )
    }

    /// The connection held for long enough.
    fn uncontested(&mut self) {
        self.takeover.forget();
        tracing::info!(link = %self.name, "no other client takes the connection any more");
        self.show();
    }

    /// Writes its line on the board.
    fn show(&self) {
        let up = self.lost_at.is_none() && self.trouble.is_none();
        let contest = self.takeover.suspected().then(|| self.contest());
        let trouble = self.trouble.as_deref().unwrap_or("no answer yet");
        let refused = self.refused.first().map(|filter| {
            let closes = self.denied.all().next().map(|filter| format!("; for \"{filter}\" {CLOSES}"));
            format!(
                "the broker refuses {} of the topics, \"{filter}\" among them: let the gateway's user read them{}",
                self.refused.len(),
                closes.unwrap_or_default()
            )
        });
        let detail = match up {
            true => contest.or(refused).unwrap_or_default(),
            false => contest.unwrap_or_else(|| trouble.to_owned()),
        };
        self.board
            .set(&self.check, up && detail.is_empty(), false, detail);
    }

    fn tell_lost(&mut self) {
        // Without room the news waits; the devices' silence makes them stale meanwhile.
        self.lost_at = match self.inbox.lost() {
            Ok(()) => None,
            Err(_) => Some(Instant::now() + GRACE),
        };
        self.show();
    }

    fn count(&self, name: &'static str, kind: &'static str) {
        let labels = [("link", self.name.clone()), ("kind", kind.to_owned())];
        metrics::counter!(name, &labels).increment(1);
    }
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
    use rumqttc::ConnectReturnCode;
    use tokio::net::TcpListener;
    use zhiban_dashboard::ports::Health;

    fn session(inbox: Inbox) -> Session {
        let context = DriverContext {
            link: "test".to_owned(),
            engine: EngineHandle::channel().0,
            board: Arc::default(),
            memory: crate::drivers::memory::Memory::default(),
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
            all: BTreeSet::from(["a".to_owned(), "not/#/valid".to_owned()]),
            availability: BTreeSet::new(),
        };
        Session::new(&context, link, filters, inbox, mpsc::channel(1).1)
    }

    fn welcome(session_present: bool) -> ConnAck {
        ConnAck::new(ConnectReturnCode::Success, session_present)
    }

    /// A connection to a peer that says nothing.
    async fn line(session: &Session) -> (Line, TcpListener) {
        let peer = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let mut link = session.link.clone();
        link.port = peer.local_addr().unwrap().port();
        (Line::unanswered(&link).await.unwrap(), peer)
    }

    #[tokio::test]
    async fn a_session_lost_while_the_queue_is_full_is_subscribed_to_and_told_of_later() {
        let (inbox, mut outlet) = inbox::queue();
        let mut session = session(inbox);
        let (mut line, _peer) = line(&session).await;
        session.subscribed = true;
        while session.inbox.lost().is_ok() {}
        session.welcome(&welcome(false), &mut line).unwrap();
        session.take(&mut line).unwrap();
        assert_eq!((session.subscribed, session.unconfirmed), (false, 1));
        assert!(session.new_session, "there was no room for the news");
        outlet.next().await;
        session.take(&mut line).unwrap();
        assert!(!session.new_session);
        session.welcome(&welcome(true), &mut line).unwrap();
        assert_eq!((session.subscribed, session.unconfirmed), (false, 1));
    }

    #[tokio::test]
    async fn a_message_that_finds_no_room_is_held_when_the_broker_waits_to_hear_of_it() {
        let (inbox, mut outlet) = inbox::queue();
        let mut session = session(inbox);
        while session.inbox.lost().is_ok() {}
        let mut message = Publish::new("a", QoS::AtMostOnce, "1");
        assert!(session.received(message.clone(), None), "dropped");
        message.qos = QoS::AtLeastOnce;
        message.pkid = 1;
        assert!(!session.received(message, None));
        let (mut line, _peer) = line(&session).await;
        session.take(&mut line).unwrap();
        assert!(session.held.is_some());
        for _ in 0..=64 {
            outlet.next().await;
        }
        session.take(&mut line).unwrap();
        assert!(session.held.is_none());
    }

    #[tokio::test]
    async fn a_topic_that_the_broker_refuses_is_named() {
        let (inbox, _outlet) = inbox::queue();
        let mut session = session(inbox);
        session.filters.all = BTreeSet::from(["a".to_owned(), "b".to_owned()]);
        let topics = ["a", "b"].map(|topic| {
            let filters = BTreeSet::from([topic.to_owned()]);
            (topic.to_owned(), filters, None)
        });
        let reasons = Reasons::new(session.board.clone(), String::new(), topics.into_iter());
        session = session.reporting(Arc::new(reasons));
        let (mut line, _peer) = line(&session).await;
        session.welcome(&welcome(false), &mut line).unwrap();
        let granted = SubscribeReasonCode::Success(QoS::AtLeastOnce);
        session.confirmed(1, &[granted, SubscribeReasonCode::Failure]);
        assert!(!session.subscribed);
        let said = session.board.checks().remove(0);
        assert!(!said.ok && said.detail.contains("\"b\""), "{said:?}");
        let kind = |code: &str| session.board.device_fault(code).map(|fault| fault.kind);
        assert_eq!(
            (kind("a"), kind("b")),
            (Some("nothing_came"), Some("filter_refused"))
        );
    }

    #[tokio::test]
    async fn another_client_under_the_same_id_is_named_until_the_connection_holds() {
        let (inbox, _outlet) = inbox::queue();
        let mut session = session(inbox);
        let (mut line, _peer) = line(&session).await;
        let check = |session: &Session| session.board.checks().remove(0);
        for _ in 0..3 {
            session.welcome(&welcome(true), &mut line).unwrap();
            assert!(check(&session).ok);
            session.confirmed(1, &[SubscribeReasonCode::Success(QoS::AtLeastOnce)]);
            session.note(&Broken::Closed.into(), Instant::now());
        }
        session.welcome(&welcome(true), &mut line).unwrap();
        let said = check(&session);
        let told = said.detail.contains("another client uses the id \"test\"");
        assert!(!said.ok && told, "{said:?}");
        session.uncontested();
        assert!(check(&session).ok);
    }
}
