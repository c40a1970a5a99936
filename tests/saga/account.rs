//! FAL refuses our account: everything that would submit is parked, nothing fails.

use aisha::simulators::fal::faults::{Effect, Fault, Operation};
use jobs::{SubmitTraining, queue::JobState, reader::Reader};
use serde_json::json;

use super::world::World;

fn locked() -> Fault {
    let effect = Effect::Answer {
        status: 403,
        headers: Default::default(),
        body: json!({"detail": "User is locked. Reason: Exhausted balance."}),
    };
    Fault::new(Operation::Submit, effect)
}

#[tokio::test]
async fn a_locked_account_parks_every_submit_until_a_probe_succeeds() {
    let world = World::archived().await;
    world.fal.script(Fault { times: 2, ..locked() }).unwrap();
    assert_eq!(world.run::<SubmitTraining>().await.state, JobState::Scheduled);
    assert_eq!(
        world.status().await,
        "archived",
        "nobody's training fails for our bill"
    );
    let parked = Reader::new(world.pool().clone()).fal_parked().await.unwrap();
    let parked = parked.expect("operators see it");
    assert!(parked.reason.contains("Exhausted balance"), "{}", parked.reason);
    assert_eq!(parked.waiting, 1);

    // Whoever comes before the probe is due does not ask FAL.
    let attempts = "select count(*) from training_attempts";
    assert_eq!(world.run::<SubmitTraining>().await.state, JobState::Scheduled);
    assert_eq!(world.count(attempts).await, 1);
    world.change("update fal_account set probe_at = now()").await;
    assert_eq!(
        world.run::<SubmitTraining>().await.state,
        JobState::Scheduled,
        "refused again"
    );
    assert_eq!(world.count(attempts).await, 2);
    assert_eq!(world.run::<SubmitTraining>().await.state, JobState::Scheduled);
    assert_eq!(
        world.count(attempts).await,
        2,
        "and everybody waits for the next probe"
    );

    world.change("update fal_account set probe_at = now()").await;
    assert_eq!(world.run::<SubmitTraining>().await.state, JobState::Done);
    assert_eq!((world.status().await.as_str(), world.submits()), ("submitted", 1));
    assert_eq!(
        world.count("select count(*) from fal_account").await,
        0,
        "the way is open for all"
    );
    assert_eq!(
        world
            .count("select attempt::bigint from jobs where kind = 'submit_training'")
            .await,
        1,
        "being parked costs no attempt"
    );
}
