//! From a message to what the engine takes. What cannot be decoded is kept raw with a reason, and
//! never becomes a value.

use super::clock::{DeviceClock, Live, MOST_FUTURE};
use super::reason::{Reasons, Why};
use super::topics::{Target, Topics};
use crate::drivers::Device;
use std::sync::Arc;
use zhiban_core::profile::Availability;
use zhiban_core::profile::decode::{Message, MessageTime};
use zhiban_core::{
    AssetId, Duration, Input, LinkState, PointId, Quality, QualityReason, Sample, SampleBatch,
    Timestamp,
};

/// A message as the broker gave it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Raw<'m> {
    /// Its topic.
    pub(super) topic: &'m str,
    /// Its payload.
    pub(super) payload: &'m [u8],
    /// Whether the broker had kept it from earlier.
    pub(super) retained: bool,
    /// Whether the broker marked it as sent again.
    pub(super) repeated: bool,
    /// The connection it came by.
    pub(super) epoch: u64,
    /// When it came.
    pub(super) now: Timestamp,
}

/// What a message says.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Meaning {
    /// For the engine.
    pub(super) inputs: Vec<Input>,
    /// Whether its own time is of a clock that is wrong.
    pub(super) wrong_clock: bool,
    /// Whether it carries a time that cannot be read.
    pub(super) unreadable_time: bool,
    /// Whether the times of a device became readable, or ceased to be so.
    pub(super) times_changed: bool,
    /// Whether something in it had to be put right before it could be read.
    pub(super) repaired: bool,
    /// Why it could not be decoded; `None` when a device took something of it.
    pub(super) problem: Option<&'static str>,
    /// Whether no device is behind its topic.
    pub(super) unknown: bool,
}

/// One device, ready to decode.
struct Known {
    asset: AssetId,
    first_point: PointId,
    device: Device,
    state: LinkState,
    /// Whether another client takes the connection again and again.
    contested: bool,
    clock: DeviceClock,
    /// Whether it was logged that its clock is wrong.
    told: bool,
    /// Whether it was logged that its messages had to be put right.
    told_repaired: bool,
    /// Whether the last time that it sent could not be read.
    unreadable_time: bool,
}

/// All devices of a link, and how their links stand.
pub(super) struct Devices {
    topics: Topics,
    known: Vec<Known>,
    reasons: Arc<Reasons>,
}

/// How much of a message was of use to a device.
enum Use {
    All,
    /// All but the point of a row of its profile.
    AllBut(usize),
    Nothing(Why),
}

impl Devices {
    /// The devices, ready to decode.
    pub(super) fn new(devices: Vec<Device>) -> Self {
        let topics = Topics::new(&devices);
        let known = devices.into_iter().map(|device| Known {
            asset: device.asset,
            first_point: device.first_point,
            state: LinkState::Unknown,
            contested: false,
            clock: DeviceClock::default(),
            told: false,
            told_repaired: false,
            unreadable_time: false,
            device,
        });
        Self {
            topics,
            known: known.collect(),
            reasons: Arc::default(),
        }
    }

    /// Says of each device why it gives no values.
    pub(super) fn reporting(mut self, reasons: Arc<Reasons>) -> Self {
        self.reasons = reasons;
        self
    }

    /// A message that was too large to be looked at; `payload` is its beginning.
    pub(super) fn too_large(&mut self, raw: Raw<'_>) -> Meaning {
        let mut meaning = Meaning {
            problem: Some("it is too large to be looked at"),
            ..Meaning::default()
        };
        for target in self.topics.about(raw.topic).targets {
            let device = target.device;
            self.reasons
                .bad(device, Why::TooLarge, raw.topic, raw.payload, "");
            if let Some(known) = self.known.get_mut(device) {
                known.unread(target, raw, &mut meaning);
            }
        }
        meaning
    }

    /// The topics to subscribe to.
    pub(super) fn topics(&self) -> &Topics {
        &self.topics
    }

    /// The broker cannot be reached: no device can.
    pub(super) fn all_down(&mut self) -> Vec<Input> {
        let known = self.known.iter_mut();
        known
            .filter_map(|known| known.set(LinkState::Down))
            .collect()
    }

    /// Another client takes the connection again and again, or does so no more: of the devices that
    /// are there, not all is heard.
    pub(super) fn contested(&mut self, contested: bool) -> Vec<Input> {
        let known = self.known.iter_mut();
        let news = known.filter_map(|known| {
            known.contested = contested;
            let there = matches!(known.state, LinkState::Up | LinkState::Contested);
            known.set(if there { LinkState::Up } else { known.state })
        });
        news.collect()
    }

    /// The codes of the devices whose times cannot be read now.
    pub(super) fn unreadable_times(&self) -> impl Iterator<Item = &str> {
        let known = self.known.iter().filter(|known| known.unreadable_time);
        known.map(|known| known.device.code.as_str())
    }

    /// Decodes a message.
    pub(super) fn decode(&mut self, raw: Raw<'_>) -> Meaning {
        let about = self.topics.about(raw.topic);
        let mut meaning = Meaning {
            unknown: about.targets.is_empty() && about.availability.is_empty(),
            ..Meaning::default()
        };
        // Topics with wildcards overlap: what is nothing to one device may be all right for another.
        let mut taken = false;
        for place in about.availability {
            if let Some(known) = self.known.get_mut(place) {
                match known.availability(raw.payload) {
                    Some(state) => {
                        taken = true;
                        meaning.inputs.extend(known.set(state));
                    }
                    None => meaning.problem = Some("neither the online nor the offline payload"),
                }
            }
        }
        let message = Message::new(raw.payload);
        for target in about.targets {
            if let Some(known) = self.known.get_mut(target.device) {
                let used = known.samples(target, &message, raw, &mut meaning);
                known.report(&self.reasons, target.device, &used, raw);
                match used {
                    Use::All | Use::AllBut(_) => taken = true,
                    Use::Nothing(Why::NothingOfIt) => {
                        meaning.problem = Some("it speaks of none of the points of its topic");
                    }
                    Use::Nothing(_) => {
                        meaning.problem = Some("none of its points could be decoded");
                    }
                }
                if message.repaired() {
                    known.tell_repaired(raw.topic);
                }
            }
        }
        meaning.problem = meaning.problem.filter(|_| !taken);
        meaning.repaired = message.repaired();
        meaning
    }
}

impl Known {
    /// A change of the link, when it is one.
    fn set(&mut self, state: LinkState) -> Option<Input> {
        let taken = self.contested && state == LinkState::Up;
        let state = if taken { LinkState::Contested } else { state };
        let news = self.state != state;
        self.state = state;
        news.then_some(Input::Link {
            asset: self.asset,
            state,
        })
    }

    fn availability(&self, payload: &[u8]) -> Option<LinkState> {
        let settings = self.device.profile.mqtt.as_ref()?;
        let Availability {
            online, offline, ..
        } = settings.availability.as_ref()?;
        let padding = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0;
        let end = payload.iter().rposition(|byte| !padding(byte));
        let payload = payload.get(..end.map_or(0, |end| end + 1));
        match payload.unwrap_or_default().trim_ascii_start() {
            payload if payload == online.as_bytes() => Some(LinkState::Up),
            payload if payload == offline.as_bytes() => Some(LinkState::Down),
            _ => None,
        }
    }

    /// Says on the board what was wrong with a message, or that nothing was.
    fn report(&self, reasons: &Reasons, device: usize, used: &Use, raw: Raw<'_>) {
        let (why, field) = match used {
            Use::Nothing(why) => (*why, ""),
            Use::AllBut(row) => {
                let row = self.device.profile.points.get(*row);
                (Why::Undecodable, row.map_or("", |row| row.point.as_str()))
            }
            Use::All if self.unreadable_time => (Why::TimeUnreadable, ""),
            Use::All => return reasons.good(device),
        };
        reasons.bad(device, why, raw.topic, raw.payload, field);
    }

    /// What a message says of the points of a topic.
    fn samples(
        &mut self,
        target: &Target,
        message: &Message<'_>,
        raw: Raw<'_>,
        meaning: &mut Meaning,
    ) -> Use {
        let mut samples = Vec::with_capacity(target.rows.len());
        for row in &target.rows {
            let decoder = self.device.decoders.get(*row);
            if let Some(reading) = decoder.and_then(|decoder| decoder.message(message)) {
                samples.push(Sample {
                    point: self.point(*row),
                    value: reading.value,
                    quality: reading.quality,
                });
            }
        }
        let undecodable = Quality::Bad(QualityReason::Undecodable);
        if samples.is_empty() {
            return Use::Nothing(Why::NothingOfIt);
        }
        let is_wrong = |sample: &&Sample| sample.quality == undecodable;
        let wrong = samples.iter().find(is_wrong).map(|sample| {
            let row = sample.point.0.saturating_sub(self.first_point.0);
            usize::try_from(row).unwrap_or(usize::MAX)
        });
        let used = match wrong {
            None => Use::All,
            Some(_) if samples.iter().all(|sample| is_wrong(&sample)) => {
                Use::Nothing(Why::Undecodable)
            }
            Some(row) => Use::AllBut(row),
        };
        let (at, retained) = self.time(message, raw, meaning);
        if self.unreadable_time {
            // How old they are nobody knows: they may raise, and clear nothing.
            let unsure = Quality::Uncertain(QualityReason::TimeUnreadable);
            let good = samples.iter_mut();
            good.filter(|sample| sample.quality == Quality::Good)
                .for_each(|sample| sample.quality = unsure);
        }
        if !raw.retained {
            meaning.inputs.extend(self.set(LinkState::Up));
        }
        meaning.inputs.push(Input::Samples(SampleBatch {
            asset: self.asset,
            at,
            samples,
            retained,
        }));
        used
    }

    /// A message came and nothing of it is known: what it may have said is bad from now on.
    fn unread(&mut self, target: &Target, raw: Raw<'_>, meaning: &mut Meaning) {
        let rows = target.rows.iter();
        let samples = rows.map(|row| Sample {
            point: self.point(*row),
            value: None,
            quality: Quality::Bad(QualityReason::Undecodable),
        });
        let samples = samples.collect();
        if !raw.retained {
            meaning.inputs.extend(self.set(LinkState::Up));
        }
        meaning.inputs.push(Input::Samples(SampleBatch {
            asset: self.asset,
            at: raw.now,
            samples,
            retained: raw.retained,
        }));
    }

    fn point(&self, row: usize) -> PointId {
        let row = u32::try_from(row).unwrap_or(u32::MAX);
        PointId(self.first_point.0.saturating_add(row))
    }

    fn tell_repaired(&mut self, topic: &str) {
        if !self.told_repaired {
            self.told_repaired = true;
            tracing::warn!(
                asset.code = %self.device.code, topic,
                "its messages are not quite JSON (such as nan, padding or text behind the end); \
                 what can be read for certain is taken"
            );
        }
    }

    /// When the values were acquired, and whether that may have been long ago.
    fn time(
        &mut self,
        message: &Message<'_>,
        raw: Raw<'_>,
        meaning: &mut Meaning,
    ) -> (Timestamp, bool) {
        let settings = self.device.profile.mqtt.as_ref();
        let field = settings.and_then(|mqtt| mqtt.time.as_ref());
        let read = field.map_or(MessageTime::Absent, |field| field.read(message));
        let unreadable = read == MessageTime::Unreadable;
        if unreadable && !self.unreadable_time {
            tracing::warn!(
                asset.code = %self.device.code, topic = raw.topic,
                "the time in its messages cannot be read: its values count when they come, as \
                 uncertain; correct mqtt.time (format, zone) in its profile"
            );
        }
        meaning.times_changed |= unreadable != self.unreadable_time;
        self.unreadable_time = unreadable;
        meaning.unreadable_time |= unreadable;
        let Some(own) = read.at(raw.now) else {
            return (raw.now, raw.retained);
        };
        let live = (!raw.retained && !raw.repeated).then_some(Live {
            epoch: raw.epoch,
            topic: raw.topic,
            payload: raw.payload,
        });
        let dated = self.clock.date(own, raw.now, live);
        meaning.wrong_clock |= dated.wrong;
        if dated.wrong && !self.told {
            self.told = true;
            tracing::warn!(
                asset.code = %self.device.code, %own,
                "its clock is wrong; what it sends counts when it comes"
            );
        }
        // A kept message is as good as a new one while the next one is not overdue.
        let period = settings.map_or(Duration::ZERO, |mqtt| mqtt.period);
        let age = raw.now.millis().saturating_sub(dated.at.millis());
        let fresh = (-MOST_FUTURE..=period.millis().saturating_mul(3)).contains(&age);
        (dated.at, raw.retained && (dated.wrong || !fresh))
    }
}

#[cfg(test)]
mod tests;
