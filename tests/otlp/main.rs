//! The OTLP sink with a mock receiver, which decodes requests and fails in configured ways.

#[path = "../support/checked/mod.rs"]
mod checked;
mod collector;
mod lifecycle;
mod receiver;
mod receiver_self_test;
mod rig;
mod signals;
mod stats;
mod transports;
