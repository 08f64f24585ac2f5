//! The durations of events, checked by a clock outside of the layers.

use std::time::{Duration, Instant, SystemTime};

use crate::{bench::Bench, calls::assert_ok, reply::Reply};

/// How far two reads of a clock may be apart on a busy machine.
const SLACK: Duration = Duration::from_secs(2);

#[tokio::test]
async fn durations_agree_with_an_outside_clock() {
    // More than the second in the assertion below: the line of the start may be read late.
    let Some(bench) = Bench::start([Reply::shell("sleep 1.3"), Reply::done()]) else {
        return;
    };
    let request = bench.request("Go");
    let (wall, clock) = (SystemTime::now(), Instant::now());
    bench.run(request).await.unwrap();
    let (outside, wall_end) = (clock.elapsed(), SystemTime::now());

    let calls = bench.calls(1);
    let (turn, tool) = (calls.turn(), calls.tool());
    assert_ok(turn);
    let (turn_took, tool_took) = (turn.duration().unwrap(), tool.duration().unwrap());
    assert!(tool_took >= Duration::from_secs(1), "{tool_took:?}");
    assert!(tool_took <= turn_took, "{tool_took:?} in {turn_took:?}");
    assert!(
        turn_took <= outside,
        "{turn_took:?}, but {outside:?} outside"
    );
    assert!(
        turn_took + SLACK >= outside,
        "{turn_took:?}, but {outside:?} outside"
    );
    assert!(wall <= turn.start_time() + SLACK && turn.time() <= wall_end + SLACK);
}
