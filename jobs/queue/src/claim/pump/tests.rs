//! Races between two steps of one loop iteration, which no test from outside can hit.

use futures::FutureExt;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use super::*;
use crate::Timing;

const QUEUE: Queue = Queue::named("upkeep");
const HOUR: Duration = Duration::from_hours(1);

/// An engine that never connects: the pump has nothing to claim, and it listens to no wake-ups.
fn engine() -> Arc<Engine> {
    let timing = Timing {
        lease: HOUR,
        beat: HOUR,
        sweep: HOUR,
        poll: HOUR,
    };
    let nowhere = PgPoolOptions::new().connect_lazy_with(PgConnectOptions::new());
    Arc::new(Engine::new(
        "test",
        timing,
        false,
        &nowhere.into(),
        std::iter::once(QUEUE),
    ))
}

/// Guards against a bug: an idle worker that received SIGTERM between these two steps slept on until its
/// next poll, or until its grace time ended.
#[tokio::test]
async fn a_stop_that_comes_after_a_turn_has_looked_for_it_ends_the_wait_of_that_turn() {
    let capacity = Capacity {
        slots: 1,
        prefetch: 0,
    };
    let stop = CancellationToken::new();
    let known = KnownKinds::default();
    let (mut pump, _slots) = Pump::new(engine(), QUEUE, capacity, known, Rates::default(), stop.clone());
    // As far as the pump knows, there is nothing to claim.
    pump.may_have_work = false;
    stop.cancel();
    assert_eq!(pump.wait().now_or_never(), Some(()), "it waits on");
}
