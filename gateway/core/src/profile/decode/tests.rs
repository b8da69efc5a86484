//! Decoding holds for every type and order, and nothing from outside can make it panic.

use super::*;
use crate::profile::tests::registers;
use crate::profile::{ByteOrder, DataType, MeaningRow, MessageRow};
use proptest::prelude::*;

const ORDERS: [ByteOrder; 4] = [
    ByteOrder::Abcd,
    ByteOrder::Cdab,
    ByteOrder::Badc,
    ByteOrder::Dcba,
];

const TYPES: [DataType; 12] = [
    DataType::Bool,
    DataType::I16,
    DataType::U16,
    DataType::I32,
    DataType::U32,
    DataType::I64,
    DataType::U64,
    DataType::F32,
    DataType::F64,
    DataType::Bcd16,
    DataType::Bcd32,
    DataType::String,
];

const KINDS: [PointKind; 5] = [
    PointKind::Analog,
    PointKind::Flag,
    PointKind::Counter,
    PointKind::Enum,
    PointKind::Text,
];

fn row(kind: PointKind, data_type: DataType, order: ByteOrder) -> PointRow {
    let mut row = registers(Table::Holding, 0, data_type);
    row.kind = kind;
    let registers = row.modbus.as_mut().unwrap();
    registers.order = order;
    registers.length = 3;
    row
}

/// What a device with this order puts on the wire for big-endian bytes, written by the letters
/// of the order and not as the decoder does it.
fn wire(bytes: &[u8], order: ByteOrder) -> Vec<u16> {
    let count = bytes.len();
    let place = |at: usize| match order {
        ByteOrder::Abcd => at,
        ByteOrder::Badc => at ^ 1,
        ByteOrder::Cdab => (count - 1 - at) ^ 1,
        ByteOrder::Dcba => count - 1 - at,
    };
    let sent: Vec<u8> = (0..count).map(|at| bytes[place(at)]).collect();
    let word = |pair: &[u8]| u16::from(pair[0]) << 8 | u16::from(pair[1]);
    sent.chunks(2).map(word).collect()
}

fn counted(data_type: DataType, order: ByteOrder, bytes: &[u8]) -> Option<Value> {
    let decoder = row(PointKind::Counter, data_type, order).decoder();
    decoder.registers(&wire(bytes, order)).value
}

proptest! {
    #[test]
    fn integers_come_back_in_every_order(number: i64, at in 0..4_usize) {
        let order = ORDERS[at];
        let low = |bytes: usize| number.to_be_bytes()[8 - bytes..].to_vec();
        let short = i64::from(i16::from_be_bytes(low(2).try_into().unwrap()));
        let long = i64::from(i32::from_be_bytes(low(4).try_into().unwrap()));
        prop_assert_eq!(counted(DataType::I16, order, &low(2)), Some(Value::Integer(short)));
        prop_assert_eq!(counted(DataType::U16, order, &low(2)), Some(Value::Integer(short & 0xFFFF)));
        prop_assert_eq!(counted(DataType::I32, order, &low(4)), Some(Value::Integer(long)));
        prop_assert_eq!(counted(DataType::U32, order, &low(4)), Some(Value::Integer(long & 0xFFFF_FFFF)));
        prop_assert_eq!(counted(DataType::I64, order, &low(8)), Some(Value::Integer(number)));
        let positive = (number >= 0).then_some(Value::Integer(number));
        prop_assert_eq!(counted(DataType::U64, order, &low(8)), positive);
    }

    #[test]
    fn floats_come_back_in_every_order(short: f32, long: f64, at in 0..4_usize) {
        let order = ORDERS[at];
        let read = |data_type, bytes: &[u8]| {
            let decoder = row(PointKind::Analog, data_type, order).decoder();
            decoder.registers(&wire(bytes, order)).value
        };
        let finite = |number: f64| number.is_finite().then_some(Value::Number(number));
        prop_assert_eq!(read(DataType::F32, &short.to_be_bytes()), finite(f64::from(short)));
        prop_assert_eq!(read(DataType::F64, &long.to_be_bytes()), finite(long));
    }

    #[test]
    fn decimal_digits_come_back(number in 0..100_000_000_u32, at in 0..4_usize) {
        let order = ORDERS[at];
        let bits = u32::from_str_radix(&number.to_string(), 16).unwrap();
        let value = Some(Value::Integer(i64::from(number)));
        prop_assert_eq!(counted(DataType::Bcd32, order, &bits.to_be_bytes()), value);
    }

    #[test]
    fn bit_fields_come_back(word: u16, bit in 0..16_u8, bits in 1..=16_u8) {
        prop_assume!(bit + bits <= 16);
        let mut row = row(PointKind::Counter, DataType::U16, ByteOrder::Abcd);
        let registers = row.modbus.as_mut().unwrap();
        (registers.bit, registers.bits) = (Some(bit), Some(bits));
        let text = format!("{word:016b}");
        let from = 16 - usize::from(bit) - usize::from(bits);
        let field = text.get(from..from + usize::from(bits)).unwrap();
        let value = Value::Integer(i64::from_str_radix(field, 2).unwrap());
        prop_assert_eq!(row.decoder().registers(&[word]).value, Some(value));
    }

    #[test]
    fn texts_come_back(text in "[ -~]{0,6}", low_first: bool) {
        let order = if low_first { ByteOrder::Badc } else { ByteOrder::Abcd };
        let mut bytes = text.clone().into_bytes();
        bytes.resize(6, b' ');
        let value = row(PointKind::Text, DataType::String, order).decoder();
        let value = value.registers(&wire(&bytes, order)).value;
        prop_assert_eq!(value, Some(Value::Text(text.trim_end().into())));
    }

    #[test]
    fn any_registers_give_a_finite_value_or_a_reason(
        words in prop::collection::vec(any::<u16>(), 0..8),
        data_type in prop::sample::select(TYPES.to_vec()),
        kind in prop::sample::select(KINDS.to_vec()),
        at in 0..4_usize,
        bit in prop::option::of(any::<u8>()),
        bits in prop::option::of(any::<u8>()),
        scale: f64,
        offset: f64,
    ) {
        let mut row = row(kind, data_type, ORDERS[at]);
        (row.scale, row.offset) = (scale, offset);
        let registers = row.modbus.as_mut().unwrap();
        (registers.bit, registers.bits) = (bit, bits);
        let decoder = row.decoder();
        let reading = decoder.registers(&words);
        prop_assert_eq!(reading.value.is_some(), reading.quality == Quality::Good);
        if let Some(Value::Number(number)) = reading.value {
            prop_assert!(number.is_finite());
        }
        if words.len() != usize::from(decoder.words()) {
            prop_assert_eq!(reading.quality, Quality::Bad(QualityReason::BadAnswer));
        }
        prop_assert_eq!(decoder.bit(true).quality, Quality::Bad(QualityReason::Undecodable));
    }

    #[test]
    fn any_payload_gives_a_value_or_a_reason(
        payload in prop::collection::vec(any::<u8>(), 0..64),
        kind in prop::sample::select(KINDS.to_vec()),
        first: u16,
        length: u16,
    ) {
        for read in [
            MessageFormat::Json("/a/0".to_owned()),
            MessageFormat::Raw,
            MessageFormat::Csv { column: first },
            MessageFormat::Hex { first: first % 8, length },
        ] {
            let reading = from_message(kind, read, &payload);
            if let Some(reading) = reading {
                prop_assert_eq!(reading.value.is_some(), reading.quality == Quality::Good);
            }
        }
    }
}

fn message_row(kind: PointKind, read: MessageFormat) -> PointRow {
    let mut row = row(kind, DataType::U16, ByteOrder::Abcd);
    row.modbus = None;
    row.mqtt = Some(MessageRow {
        topic: "t".to_owned(),
        read,
        bit: None,
    });
    let meaning = MeaningRow {
        code: "open".to_owned(),
        zh: "开".to_owned(),
        en: "Open".to_owned(),
    };
    row.meanings = [("OPEN".to_owned(), meaning)].into();
    row
}

fn from_message(kind: PointKind, read: MessageFormat, payload: &[u8]) -> Option<Reading> {
    let row = message_row(kind, read);
    row.decoder().message(&Message::new(payload))
}

/// The bits of a whole number are flags, as many as are set: alarm and off together are both.
#[test]
fn a_bit_of_a_message_is_a_flag() {
    let read = |payload: &str, bit: u8| {
        let json = MessageFormat::Json("/state".to_owned());
        let mut row = message_row(PointKind::Flag, json);
        row.mqtt.as_mut().unwrap().bit = Some(bit);
        let payload = format!("{{\"state\":{payload}}}");
        row.decoder().message(&Message::new(payload.as_bytes()))
    };
    let set: Vec<_> = (0..5).map(|bit| read("10", bit).unwrap().value).collect();
    let flag = |flag| Some(Value::Flag(flag));
    assert_eq!(
        set,
        [
            flag(false),
            flag(true),
            flag(false),
            flag(true),
            flag(false)
        ]
    );
    assert_eq!(read("\"10\"", 3).unwrap().value, flag(true));
    for payload in ["-1", "1.5", "true", "\"x\""] {
        let reading = read(payload, 0).unwrap();
        let expected = Quality::Bad(QualityReason::Undecodable);
        assert_eq!(
            (reading.value, reading.quality),
            (None, expected),
            "{payload}"
        );
    }
}

#[test]
fn messages_are_read_in_every_format() {
    let json = |pointer: &str| MessageFormat::Json(pointer.to_owned());
    let payload = br#"{"pumps":[{"on":true,"hours":1.5,"starts":812,"state":"OPEN","text":"3.5","none":null}]}"#;
    let read = |kind, key: &str| from_message(kind, json(&format!("/pumps/0/{key}")), payload);
    let good = |value| Some(Reading::good(value));
    assert_eq!(read(PointKind::Flag, "on"), good(Value::Flag(true)));
    assert_eq!(read(PointKind::Analog, "hours"), good(Value::Number(1.5)));
    assert_eq!(
        read(PointKind::Analog, "starts"),
        good(Value::Number(812.0))
    );
    assert_eq!(
        read(PointKind::Counter, "starts"),
        good(Value::Integer(812))
    );
    assert_eq!(
        read(PointKind::Enum, "state"),
        good(Value::Text("open".into()))
    );
    assert_eq!(read(PointKind::Analog, "text"), good(Value::Number(3.5)));
    assert_eq!(read(PointKind::Flag, "absent"), None);
    let bad = |reason| Some(Reading::bad(reason));
    assert_eq!(
        read(PointKind::Counter, "hours"),
        bad(QualityReason::Undecodable)
    );
    assert_eq!(
        read(PointKind::Flag, "none"),
        bad(QualityReason::NotAvailable)
    );
    assert_eq!(
        from_message(PointKind::Flag, json("/a"), b"not json"),
        bad(QualityReason::Undecodable)
    );
    assert_eq!(
        from_message(PointKind::Analog, MessageFormat::Raw, b" 21.5 \n"),
        good(Value::Number(21.5))
    );
    assert_eq!(
        from_message(
            PointKind::Counter,
            MessageFormat::Csv { column: 1 },
            b"a, 7,c"
        ),
        good(Value::Integer(7))
    );
    let hex = MessageFormat::Hex {
        first: 1,
        length: 2,
    };
    assert_eq!(
        from_message(PointKind::Counter, hex.clone(), b"A5012CFF"),
        good(Value::Integer(300))
    );
    assert_eq!(
        from_message(PointKind::Counter, hex, b"A501"),
        bad(QualityReason::BadAnswer)
    );
}

#[test]
fn what_the_device_calls_not_available_is_bad() {
    let mut row = row(PointKind::Analog, DataType::I16, ByteOrder::Abcd);
    row.invalid = vec![0x7FFF, -1];
    let decoder = row.decoder();
    for word in [0x7FFF, 0xFFFF] {
        let reading = decoder.registers(&[word]);
        assert_eq!(reading, Reading::bad(QualityReason::NotAvailable));
    }
    assert_eq!(decoder.registers(&[5]).value, Some(Value::Number(5.0)));
}

#[test]
fn what_is_physically_impossible_is_bad() {
    let mut row = row(PointKind::Analog, DataType::U16, ByteOrder::Abcd);
    (row.scale, row.offset, row.range) = (0.01, -273.15, Some((-40.0, 120.0)));
    let decoder = row.decoder();
    assert_eq!(
        decoder.registers(&[0]),
        Reading::bad(QualityReason::OutOfRange)
    );
    let value = decoder.registers(&[29_315]).value.unwrap();
    assert!((value.as_number().unwrap() - 20.0).abs() < 1e-9);
}

#[test]
fn decimals_are_those_people_write() {
    let mut row = row(PointKind::Analog, DataType::U16, ByteOrder::Abcd);
    row.scale = 0.01;
    let value = row.decoder().registers(&[2731]).value;
    assert_eq!(value, Some(Value::Number(27.31)));
}

#[test]
fn a_code_nobody_knows_is_no_state() {
    let mut row = row(PointKind::Enum, DataType::U16, ByteOrder::Abcd);
    let meaning = |code: &str| MeaningRow {
        code: code.to_owned(),
        zh: "某".to_owned(),
        en: "Some".to_owned(),
    };
    row.meanings = [
        ("10".to_owned(), meaning("ten")),
        ("0x02".to_owned(), meaning("two")),
    ]
    .into();
    let decoder = row.decoder();
    assert_eq!(
        decoder.registers(&[10]).value,
        Some(Value::Text("ten".into()))
    );
    assert_eq!(
        decoder.registers(&[2]).value,
        Some(Value::Text("two".into()))
    );
    assert_eq!(
        decoder.registers(&[3]),
        Reading::bad(QualityReason::Undecodable)
    );
}

#[test]
fn an_inverted_flag_is_set_when_the_bit_is_not() {
    let mut row = row(PointKind::Flag, DataType::Bool, ByteOrder::Abcd);
    let registers = row.modbus.as_mut().unwrap();
    (registers.bit, registers.inverted) = (Some(3), true);
    let decoder = row.decoder();
    assert_eq!(decoder.registers(&[0xFFF7]).value, Some(Value::Flag(true)));
    assert_eq!(decoder.registers(&[0x0008]).value, Some(Value::Flag(false)));
}

#[test]
fn a_number_that_means_nothing_means_nothing_in_whatever_writing() {
    for kind in [PointKind::Analog, PointKind::Counter] {
        let json = MessageFormat::Json("/t".to_owned());
        let mut row = message_row(kind, json);
        row.invalid = vec![32_767];
        let read = |payload: &'static str| {
            let message = Message::new(payload.as_bytes());
            row.decoder().message(&message).unwrap()
        };
        for payload in ["{\"t\":32767}", "{\"t\":32767.0}", "{\"t\":\" 32767 \"}"] {
            let nothing = Reading::bad(QualityReason::NotAvailable);
            assert_eq!(read(payload), nothing, "{payload}");
        }
        assert!(read("{\"t\":\"32766\"}").value.is_some());
    }
}
