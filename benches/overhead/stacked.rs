//! Nested layers: each `TimingLayer` opens a child call of the one around it.

use codex_telemetry::{Call, TimingLayer};
use tower::{Layer, Service};

use crate::{
    discard::Discard,
    ladder::Ladder,
    services::{Bare, Failure},
};

trait Stack: Service<Call<u64>, Response = u64, Error = Failure> {}

impl<S: Service<Call<u64>, Response = u64, Error = Failure>> Stack for S {}

pub(crate) fn rungs(ladder: &mut Ladder<'_>) {
    ladder.rung("1 timing layer, discarding sink", one(Bare), || ());
    ladder.rung("3 timing layers, discarding sink", three(Bare), || ());
    ladder.rung("10 timing layers, discarding sink", ten(Bare), || ());
    let thirty = ten(ten(ten(Bare)));
    ladder.rung("30 timing layers, discarding sink", thirty, || ());
}

fn one(inner: impl Stack) -> impl Stack {
    TimingLayer::new(Discard).layer(inner)
}

fn three(inner: impl Stack) -> impl Stack {
    one(one(one(inner)))
}

fn ten(inner: impl Stack) -> impl Stack {
    one(three(three(three(inner))))
}
