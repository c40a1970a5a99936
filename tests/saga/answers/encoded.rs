//! Answers that are compressed although we did not ask for it. Proxies do this; the content of such an answer decides
//! nothing.

use jobs::{BuildArchive, PollStatus, SubmitTraining, queue::JobState, reader::Reader};

use super::{each, finished, requested};
use crate::support::{Place, Recorded};

/// The case, the call that it answers, and the name of the compression.
pub(super) const ENCODED: [(&str, Place, &str); 5] = [
    ("t_gzip", Place::Status, "gzip"),
    ("r_gzip", Place::Result, "gzip"),
    ("r_403_own_gzip", Place::Result, "gzip"),
    ("r_404_gzip", Place::Result, "x-gzip"),
    ("i_gzip", Place::Initiate, "gzip"),
];

#[tokio::test]
async fn an_answer_that_is_compressed_unasked_is_named_and_asked_for_again() {
    each(&ENCODED, async |(case, place, encoding)| {
        let (world, front) = match place {
            Place::Initiate => requested().await,
            _ => finished().await,
        };
        front.exchange(place, &Recorded::read(case), 2);
        for look in 1..=2 {
            let ran = match place {
                Place::Initiate => world.run::<BuildArchive>().await,
                _ => world.run::<PollStatus>().await,
            };
            assert_eq!(ran.state, JobState::Scheduled, "{case} {look}");
            let why = "select error from jobs where state = 'scheduled' and error is not null";
            let why = world.text(why).await.unwrap_or_default();
            assert!(
                why.contains(&format!("encoded as {encoding}")),
                "{case} {look}: {why}"
            );
        }
        assert_eq!(world.failure().await, None, "{case}");
        let account = Reader::new(world.pool().clone()).fal_parked().await.unwrap();
        assert!(account.is_none(), "{case}: nobody can tell whose refusal it is");
        world.jobs.drain_through_time().await;
        assert_eq!(
            (world.status().await.as_str(), world.submits()),
            ("completed", 1),
            "{case}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_submit_whose_answer_is_compressed_unasked_is_looked_for_and_not_repeated() {
    let (world, front) = requested().await;
    let world = world.archive().await;
    front.exchange(Place::Submit, &Recorded::read("s_gzip"), 1);
    assert_eq!(world.run::<SubmitTraining>().await.state, JobState::Done);
    assert_eq!(world.status().await, "submitting");
    let why = world.text("select error from training_attempts").await;
    assert!(
        why.as_deref().is_some_and(|why| why.contains("encoded as gzip")),
        "{why:?}"
    );
    assert_eq!(front.asked(Place::Submit), 1);
}
