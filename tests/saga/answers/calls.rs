//! Answers to the calls that submit a training, list it and cancel it; and what all calls have in common.

use std::fs;

use aisha::simulators::fal::faults::{Effect, Fault, Operation};
use jobs::{BuildArchive, CancelTraining, PollStatus, SubmitTraining, queue::JobState, reader::Reader};
use serde_json::Value;

use super::{
    super::world::World, ALWAYS, EXPIRED, PAGES, REFUSALS, assert_nothing_odd_is_stored, each, finished,
    requested,
};
use crate::support::{Place, Recorded, fal_cases};

#[tokio::test]
async fn a_refused_call_fails_no_training() {
    each(&REFUSALS, async |(case, place, call)| {
        let (world, front) = match place {
            Place::Initiate | Place::Put | Place::Submit => requested().await,
            _ => finished().await,
        };
        front.exchange(place, &Recorded::read(case), 1);
        let ran = match place {
            Place::Initiate | Place::Put => world.run::<BuildArchive>().await,
            Place::Submit => {
                world.run::<BuildArchive>().await;
                world.run::<SubmitTraining>().await
            }
            Place::Cancel => {
                world.cancel().await;
                world.leaves::<CancelTraining>();
                world.run::<CancelTraining>().await
            }
            _ => world.run::<PollStatus>().await,
        };
        assert_eq!(ran.state, JobState::Scheduled, "{case}");
        assert_eq!(front.asked(place), 1, "{case}: a redirect is not followed");
        assert_eq!(world.failure().await, None, "{case}");
        let charged = "select coalesce(max(attempt), 0)::bigint from jobs where state = 'scheduled'";
        assert_eq!(world.count(charged).await, 0, "{case}: it costs no attempt");
        let parked = Reader::new(world.pool().clone()).fal_parked().await.unwrap();
        assert_eq!(
            parked.map(|parked| parked.call).unwrap_or_default(),
            call,
            "{case}"
        );
        if place == Place::Submit {
            let outcome = world.text("select outcome::text from training_attempts").await;
            assert_eq!(outcome.as_deref(), Some("refused"), "{case}: it was not taken");
        }
        // The error passes, and the training continues.
        world
            .change("update fal_account set probe_at = now(), upload_probe_at = now()")
            .await;
        if place != Place::Cancel {
            world.jobs.drain_through_time().await;
            assert_eq!(
                (world.status().await.as_str(), world.submits()),
                ("completed", 1),
                "{case}"
            );
            assert_eq!(world.count("select count(*) from fal_account").await, 0, "{case}");
        }
    })
    .await;
}

#[tokio::test]
async fn an_upload_url_that_is_no_longer_good_is_replaced_at_once() {
    each(&EXPIRED, async |case| {
        let (world, front) = requested().await;
        front.exchange(Place::Put, &Recorded::read(case), 1);
        assert_eq!(world.run::<BuildArchive>().await.state, JobState::Done, "{case}");
        assert_eq!(
            (front.asked(Place::Initiate), front.asked(Place::Put)),
            (2, 2),
            "{case}"
        );
        assert_eq!(world.status().await, "archived", "{case}");

        let (world, front) = requested().await;
        front.exchange(Place::Put, &Recorded::read(case), ALWAYS);
        assert_eq!(
            world.run::<BuildArchive>().await.state,
            JobState::Scheduled,
            "{case}"
        );
        assert_eq!(
            world.status().await,
            "requested",
            "{case}: and is tried again later"
        );
    })
    .await;
}

#[tokio::test]
async fn a_busy_storage_is_left_alone_for_as_long_as_it_asks() {
    let (world, front) = requested().await;
    front.exchange(Place::Put, &Recorded::read("p_429"), 1);
    assert_eq!(world.run::<BuildArchive>().await.state, JobState::Scheduled);
    assert_eq!(front.asked(Place::Put), 1, "it is not asked again at once");
    let wait =
        "select round(extract(epoch from run_at - now()))::bigint from jobs where kind = 'build_archive'";
    assert!((5..=7).contains(&world.count(wait).await));
}

#[tokio::test]
async fn no_word_of_a_submits_answer_is_too_strange_to_be_noted() {
    let (world, front) = requested().await;
    let world = world.archive().await;
    front.exchange(Place::Submit, &Recorded::read("s_detail_nul"), 1);
    assert_eq!(world.run::<SubmitTraining>().await.state, JobState::Dead);
    assert_eq!(world.failure().await.as_deref(), Some("rejected_by_provider"));
    assert_nothing_odd_is_stored(&world, "s_detail_nul").await;

    let (world, front) = requested().await;
    let world = world.archive().await;
    front.exchange(Place::Submit, &Recorded::read("s_garbled_nul"), 1);
    assert_eq!(world.run::<SubmitTraining>().await.state, JobState::Done);
    assert_eq!(
        world.status().await,
        "submitting",
        "nobody knows, and it is noted so"
    );
    assert_nothing_odd_is_stored(&world, "s_garbled_nul").await;
}

#[tokio::test]
async fn a_cancel_that_fal_denies_costs_nobody_a_model_that_is_there() {
    let (world, front) = finished().await;
    front.exchange(Place::Cancel, &Recorded::read("c_404"), ALWAYS);
    world.cancel().await;
    for look in 1..6 {
        let ran = world.run::<CancelTraining>().await;
        assert_eq!(ran.state, JobState::Scheduled, "look {look}");
        assert_eq!(world.status().await, "submitted", "look {look}");
    }
    assert_eq!(world.run::<CancelTraining>().await.state, JobState::Done);
    assert_eq!(
        world.status().await,
        "trained",
        "the result was asked, and decides"
    );
}

/// One page of the list: the recorded items, then ours.
fn with_ours(case: &str, world: &World, archive_url: &str) -> Recorded {
    let text = fs::read_to_string(fal_cases().join(format!("{case}.json"))).expect("a page");
    let accepted = world.accepted();
    let ours = format!(
        r#"{{"request_id":"{}","sent_at":"2026-11-30T00:00:00Z","json_input":{{"images_data_url":{}}}}}"#,
        accepted[0],
        Value::from(archive_url)
    );
    Recorded {
        status: 200,
        headers: Vec::new(),
        body: text
            .replacen("],\"next_cursor\"", &format!(",{ours}],\"next_cursor\""), 1)
            .into_bytes(),
    }
}

#[tokio::test]
async fn an_odd_item_of_the_request_list_hides_no_other() {
    each(&PAGES, async |case| {
        let (world, front) = requested().await;
        let world = world.archive().await;
        // FAL accepts the submit, but a proxy between us answers instead.
        world
            .fal
            .script(Fault::new(Operation::Submit, Effect::Close {}))
            .unwrap();
        let world = world.submit().await;
        assert_eq!(world.status().await, "submitting", "{case}");
        let url = world
            .text("select archive_url from trainings")
            .await
            .expect("an archive");
        front.exchange(Place::List, &with_ours(case, &world, &url), ALWAYS);
        world.poll().await;
        assert_eq!(world.status().await, "submitted", "{case}");
        assert_eq!(vec![world.request_id().await], world.accepted(), "{case}");
    })
    .await;
}
