use std::{
    cell::Cell,
    hash::{BuildHasher, RandomState},
};

use opentelemetry::{SpanId, TraceId};

thread_local! {
    // An id needs no shared state, so each thread draws its own. `RandomState` is seeded by the
    // operating system; fastrand's own seed, a clock and a thread number, could repeat across hosts.
    static RNG: Cell<Option<fastrand::Rng>> = const { Cell::new(None) };
}

fn draw<T>(ids: impl FnOnce(&mut fastrand::Rng) -> T) -> T {
    RNG.with(|cell| {
        let mut rng = cell
            .take()
            .unwrap_or_else(|| fastrand::Rng::with_seed(RandomState::new().hash_one(0_u8)));
        let drawn = ids(&mut rng);
        cell.set(Some(rng));
        drawn
    })
}

/// A new trace id; never the invalid one, which is all zeros.
pub(crate) fn trace_id() -> TraceId {
    // Not `rng.u128(1..)`: to draw from a range costs three times as much as to draw.
    TraceId::from(draw(|rng| {
        (u128::from(rng.u64(..)) << 64 | u128::from(rng.u64(..))).max(1)
    }))
}

/// A new span id; never the invalid one, which is all zeros.
pub(crate) fn span_id() -> SpanId {
    SpanId::from(draw(|rng| rng.u64(..).max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_draw_different_ids() {
        let here = (trace_id(), span_id());
        let there = std::thread::spawn(|| (trace_id(), span_id()))
            .join()
            .unwrap();
        assert_ne!(here.0, there.0);
        assert_ne!(here.1, there.1);
    }
}
