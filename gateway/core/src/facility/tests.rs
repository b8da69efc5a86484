//! Timelines and properties of the facility.
