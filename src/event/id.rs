use std::{
    cell::Cell,
    hash::{BuildHasher, RandomState},
};

use opentelemetry::{SpanId, TraceFlags, TraceId};

/// The flag of W3C Trace Context, level 2, that the last seven bytes of the trace id are random. Samplers rely
/// on it. OpenTelemetry's crate has no name for it.
pub(crate) const RANDOM_TRACE_ID: TraceFlags = TraceFlags::new(0x02);

thread_local! {
    // A generator for each thread needs no synchronization. The seed comes from `RandomState`, and so from
    // the operating system: fastrand's default seed, a clock and a thread id, could repeat across hosts.
    static RNG: Cell<Option<fastrand::Rng>> = const { Cell::new(None) };
}

fn with_rng<T>(generate: impl FnOnce(&mut fastrand::Rng) -> T) -> T {
    RNG.with(|cell| {
        let mut rng = cell
            .take()
            .unwrap_or_else(|| fastrand::Rng::with_seed(RandomState::new().hash_one(0_u8)));
        let id = generate(&mut rng);
        cell.set(Some(rng));
        id
    })
}

/// Returns a new trace id, which is never the invalid one of zeros.
pub(crate) fn trace_id() -> TraceId {
    // Not `rng.u128(1..)`, which takes three times as long.
    TraceId::from(with_rng(|rng| rng.u128(..).max(1)))
}

/// Returns a new span id, which is never the invalid one of zeros.
pub(crate) fn span_id() -> SpanId {
    SpanId::from(with_rng(|rng| rng.u64(..).max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_between_threads() {
        let here = (trace_id(), span_id());
        let there = std::thread::spawn(|| (trace_id(), span_id()))
            .join()
            .unwrap();
        assert_ne!(here.0, there.0);
        assert_ne!(here.1, there.1);
    }

    #[test]
    fn both_halves_of_a_trace_id_are_random() {
        let ids: Vec<_> = (0..64).map(|_| trace_id().to_bytes()).collect();
        // For each bit, an id that has it and one that does not.
        for byte in 0..16 {
            let any = ids.iter().fold(0, |bits, id| bits | id[byte]);
            let all = ids.iter().fold(0xff, |bits, id| bits & id[byte]);
            assert_eq!((any, all), (0xff, 0), "byte {byte}");
        }
    }
}
