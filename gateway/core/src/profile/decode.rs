//! Turns registers and payloads into values, exactly as a profile's row says.
//!
//! It never panics and never guesses: what does not decode is a reason, not a number.
