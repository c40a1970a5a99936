//! What no test from outside can aim at: the moments between two steps of one turn.

use futures::FutureExt;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use super::*;
use crate::Timing;

const QUEUE: Queue = Queue::named("upkeep");
const HOUR: Duration = Duration::from_hours(1);

/// Never connects to anything: the pump has nothing to claim and nobody to announce itself to.
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
        &nowhere,
        std::iter::once(QUEUE),
    ))
}

/// An idle worker that a SIGTERM found between these two steps slept on until its next poll, or to the end of its grace
/// time if that was sooner.
#[tokio::test]
async fn a_stop_that_comes_after_a_turn_has_looked_for_it_ends_the_wait_of_that_turn() {
    let capacity = Capacity {
        slots: 1,
        prefetch: 0,
    };
    let stop = CancellationToken::new();
    let known = Known::default();
    let (mut pump, _slots) = Pump::new(engine(), QUEUE, capacity, known, Rates::default(), stop.clone());
    // There is nothing that it could claim, as far as it knows.
    pump.may_have_work = false;
    stop.cancel();
    assert_eq!(pump.wait().now_or_never(), Some(()), "it waits on");
}
