//! Rows and profiles for the tests of this folder.

use super::*;

/// A row of an analogue value.
pub(crate) fn registers(table: Table, address: u16, data_type: DataType) -> PointRow {
    PointRow {
        point: format!("point_{address}"),
        name: Text::new("点", "Point"),
        kind: PointKind::Analog,
        unit: String::new(),
        decimals: 0,
        modbus: Some(RegisterRow {
            table,
            address,
            printed: String::new(),
            data_type,
            order: ByteOrder::Abcd,
            length: 0,
            bit: None,
            bits: None,
            inverted: false,
        }),
        mqtt: None,
        scale: 1.0,
        offset: 0.0,
        meanings: BTreeMap::new(),
        meanings_of: None,
        invalid: Vec::new(),
        range: None,
        poll: PollClass::Normal,
        deadband: 0.0,
        example: None,
    }
}

/// A profile of some rows.
pub(crate) fn profile(points: Vec<PointRow>) -> Profile {
    Profile {
        id: "maker-model".to_owned(),
        class: "test".to_owned(),
        title: Text::new("型号", "Model"),
        trust: Trust::Transcribed,
        source: "a test".to_owned(),
        modbus: Some(ModbusSettings::default()),
        mqtt: None,
        unwatched: Default::default(),
        meanings: BTreeMap::new(),
        points,
    }
}
