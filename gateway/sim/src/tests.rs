//! Tests of the whole building: its manual, its physics, its scenarios, and its ports as a stranger finds them.

mod control;
mod manual;
mod mqtt;
mod physics;
mod wire;
