//! From the bytes of a connection to MQTT packets, by the library's own reader. A message that is
//! too large for this machine is read past: only its head and beginning are kept, so that it can be
//! acknowledged and what waits behind it comes. It never holds more than one message.

use bytes::{Buf, BytesMut};
use rumqttc::{Packet, Publish, mqttbytes};

/// A packet with more bytes than this is not looked at.
const MOST_PACKET: usize = 8 * 1024 * 1024;
/// How much of a message that is not looked at is kept.
const KEPT: usize = 64 * 1024;
/// Room for a topic of 64 KiB and the numbers around it.
const HEAD: usize = 68 * 1024;
/// The kind of a packet that carries a message, in the upper half of its first byte.
const PUBLISH: u8 = 3;

/// What came.
#[derive(Debug, PartialEq)]
pub(super) enum Frame {
    /// A packet as it is.
    Packet(Packet),
    /// A message of which only the beginning was kept, and how many bytes its packet had.
    Oversize(Publish, usize),
}

/// Cuts bytes into packets.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// The message that is read past, and how many bytes of it are still to come.
    past: Option<(Publish, usize, usize)>,
}

impl Frames {
    /// Takes the next packet off the front of `bytes`; `None` until more of them came.
    ///
    /// # Errors
    /// The bytes are no MQTT.
    pub(super) fn next(&mut self, bytes: &mut BytesMut) -> Result<Option<Frame>, mqttbytes::Error> {
        if self.past.is_none() {
            match Packet::read(bytes, MOST_PACKET) {
                Ok(packet) => return Ok(Some(Frame::Packet(packet))),
                Err(mqttbytes::Error::InsufficientBytes(missing)) => {
                    // All of it at once: growing by doubling would take twice the room.
                    bytes.reserve(missing);
                    return Ok(None);
                }
                Err(mqttbytes::Error::PayloadSizeLimitExceeded(size)) => {
                    if !self.begin_past(bytes, size)? {
                        return Ok(None);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(self.read_past(bytes))
    }

    /// Keeps the beginning of a message whose packet has `size` bytes behind its fixed head. Says
    /// whether enough of it is there.
    fn begin_past(&mut self, bytes: &mut BytesMut, size: usize) -> Result<bool, mqttbytes::Error> {
        let Some(first) = bytes.first().copied().filter(|byte| byte >> 4 == PUBLISH) else {
            return Err(mqttbytes::Error::PayloadSizeLimitExceeded(size));
        };
        // The length took three or four bytes, the last of them without the upper bit.
        let fixed = bytes.iter().skip(1).position(|byte| byte & 0x80 == 0);
        let fixed = fixed.map_or(0, |at| at + 2);
        let head = HEAD + KEPT;
        let Some(start) = bytes.get(fixed..fixed + head) else {
            return Ok(false);
        };
        // A packet of the same head with a payload that was cut, for the library to read.
        let mut short = BytesMut::with_capacity(head + 4);
        short.extend_from_slice(&[first]);
        write_length(head, &mut short);
        short.extend_from_slice(start);
        let Packet::Publish(mut publish) = Packet::read(&mut short, head)? else {
            return Err(mqttbytes::Error::MalformedPacket);
        };
        publish.payload =
            bytes::Bytes::copy_from_slice(publish.payload.get(..KEPT).unwrap_or(&publish.payload));
        self.past = Some((publish, size, fixed + size));
        Ok(true)
    }

    fn read_past(&mut self, bytes: &mut BytesMut) -> Option<Frame> {
        let (_, _, left) = self.past.as_mut()?;
        let here = bytes.len().min(*left);
        bytes.advance(here);
        *left -= here;
        if *left > 0 {
            return None;
        }
        let (publish, size, _) = self.past.take()?;
        Some(Frame::Oversize(publish, size))
    }
}

/// A length as MQTT writes it: seven bits a byte, the lowest first.
fn write_length(mut length: usize, to: &mut BytesMut) {
    loop {
        let low = u8::try_from(length & 0x7F).unwrap_or(0);
        length >>= 7;
        let more = if length > 0 { 0x80 } else { 0 };
        to.extend_from_slice(&[low | more]);
        if length == 0 {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rumqttc::QoS;

    fn written(topic: &str, packet: u16, size: usize) -> (Publish, BytesMut) {
        let mut publish = Publish::new(topic, QoS::AtLeastOnce, vec![b'x'; size]);
        publish.pkid = packet;
        let mut bytes = BytesMut::new();
        let whole = Packet::Publish(publish.clone());
        whole.write(&mut bytes, usize::MAX).unwrap();
        (publish, bytes)
    }

    /// What comes of bytes that arrive in pieces of `piece`, and the most that was held at once.
    fn frames(bytes: &[u8], piece: usize) -> (Vec<Frame>, usize) {
        let (mut frames, mut held, mut most) = (Frames::default(), BytesMut::new(), 0);
        let mut found = Vec::new();
        for piece in bytes.chunks(piece) {
            held.extend_from_slice(piece);
            while let Some(frame) = frames.next(&mut held).unwrap() {
                found.push(frame);
            }
            most = most.max(held.len());
        }
        (found, most)
    }

    #[test]
    fn a_message_that_is_too_large_is_read_past_and_what_is_behind_it_comes() {
        let size = 17 << 20;
        let (large, mut bytes) = written("P7/text", 7, size);
        let (behind, more) = written("P7/state", 8, 20);
        bytes.extend_from_slice(&more);
        for piece in [1500, 16 << 10] {
            let (found, most) = frames(&bytes, piece);
            let [Frame::Oversize(past, whole), Frame::Packet(next)] = found.as_slice() else {
                panic!("{} frames", found.len());
            };
            assert_eq!((past.pkid, past.topic.as_str()), (7, "P7/text"));
            assert_eq!(past.payload, large.payload.slice(..KEPT));
            assert_eq!(*whole, size + 2 + 7 + 2);
            assert_eq!(*next, Packet::Publish(behind.clone()));
            assert!(most < 256 << 10, "{most} bytes were held");
        }
    }

    #[test]
    fn only_a_message_may_be_large() {
        let mut bytes = BytesMut::from(&[0x90, 0xFF, 0xFF, 0xFF, 0x7F][..]);
        assert!(Frames::default().next(&mut bytes).is_err());
    }

    proptest! {
        #[test]
        fn packets_are_the_same_however_their_bytes_come(
            sizes in proptest::collection::vec(0_usize..300, 1..8),
            piece in 1_usize..400,
        ) {
            let mut bytes = BytesMut::new();
            let mut sent = Vec::new();
            for (number, size) in (1..).zip(sizes) {
                let (publish, more) = written("a/b", number, size);
                bytes.extend_from_slice(&more);
                sent.push(Frame::Packet(Packet::Publish(publish)));
            }
            prop_assert_eq!(frames(&bytes, piece).0, sent);
        }

        #[test]
        fn a_length_is_read_as_it_was_written(length in 0_usize..268_435_455) {
            let mut bytes = BytesMut::from(&[0x30][..]);
            write_length(length, &mut bytes);
            let read = mqttbytes::check(bytes.iter(), usize::MAX);
            let told = match read {
                Ok(head) => head.frame_length() - bytes.len(),
                Err(mqttbytes::Error::InsufficientBytes(missing)) => missing,
                Err(error) => panic!("{error}"),
            };
            prop_assert_eq!(told, length);
        }

        #[test]
        fn bytes_that_are_no_mqtt_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut frames = Frames::default();
            let mut bytes = BytesMut::from(bytes.as_slice());
            while let Ok(Some(_)) = frames.next(&mut bytes) {}
        }
    }
}
