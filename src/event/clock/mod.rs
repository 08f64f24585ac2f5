//! The clock that times calls.

mod anchor;
#[expect(
    clippy::module_inception,
    reason = "the file of `Clock` has the name of the type"
)]
mod clock;
#[cfg(target_os = "linux")]
mod counter;
mod manual_clock;
mod nanos;
mod tick;
mod wall_time;

#[cfg(any(test, all(feature = "turn", unix)))]
pub(super) use self::nanos::saturating_nanos;
pub use self::{clock::Clock, manual_clock::ManualClock};
pub(crate) use self::{nanos::millis, tick::Tick, wall_time::WallTime};
