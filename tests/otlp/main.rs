//! The OTLP sink against a receiver of our own that decodes what it gets and misbehaves on demand.

mod books;
#[path = "../support/checked/mod.rs"]
mod checked;
mod collector;
mod lifecycle;
mod receiver;
mod receiver_works;
mod rig;
mod signals;
mod transports;
