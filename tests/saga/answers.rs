//! Plays every FAL answer in `tests/cases/fal/` to the unchanged jobs, over HTTP.
//!
//! Prefixes: `r_` a result, `f_` a result whose file has an odd size, `s_` a submit, `t_` a status, `i_` the start of
//! an upload, `p_` the PUT of its bytes, `c_` a cancel, `list_` the request list. The first twenty are recordings:
//! each had stopped a training for ever, or had failed a training that was fine. The others are variations of these.

mod calls;
mod encoded;

use std::{collections::BTreeSet, fs};

use futures::{StreamExt as _, stream};
use jobs::{ApplyFalDelivery, PollStatus, enqueue::enqueue, fal::FalClient, queue::JobState, reader::Reader};
use sha2::{Digest as _, Sha256};

use super::world::World;
use crate::support::{FalFront, Place, Recorded, fal_cases, fal_settings};

/// An answer that never changes.
const ALWAYS: usize = usize::MAX;
/// How many worlds run at once: each has its own database, bucket and FAL.
const AT_ONCE: usize = 4;

/// Results that name a model, whatever else they contain.
const MODELS: [&str; 12] = [
    "r_nul_char",
    "r_nan",
    "r_bignum",
    "r_deep",
    "r_lone_surrogate",
    "r_infinity",
    "r_raw_controls",
    "r_huge_numbers",
    "r_deep_objects",
    "f_size_zero_ok",
    "f_size_off_by_one",
    "f_size_odd",
];
/// Results that end the request, and the reason that the training then fails with.
const ENDS: [(&str, &str); 7] = [
    ("r_403_own", "rejected_by_provider"),
    ("r_401_own", "rejected_by_provider"),
    ("r_400_typed", "rejected_by_provider"),
    ("r_422_html", "rejected_by_provider"),
    ("r_422_empty", "rejected_by_provider"),
    ("r_detail_nul", "rejected_by_provider"),
    ("r_429_own", "provider_failed"),
];
/// Answers that may mean an end.
const DOUBTS: [&str; 4] = ["r_404_once", "r_500_fastapi", "r_500_text", "r_503_own_text"];
/// Errors of a gateway: they pass, however long they last.
const MOMENTS: [&str; 1] = ["r_502_nginx"];
/// Statuses that say COMPLETED next to something odd.
const COMPLETED: [&str; 8] = [
    "t_logs_msgnum",
    "t_logs_strings",
    "t_qpos_float",
    "t_logs_object",
    "t_logs_text",
    "t_qpos_huge",
    "t_qpos_text",
    "t_logs_nul",
];
/// Statuses that deny the request, or do not mention it.
const DENIALS: [&str; 9] = [
    "t_404",
    "t_410",
    "t_405",
    "t_failed_word",
    "t_cancelled_word",
    "t_null_word",
    "t_html",
    "t_empty_object",
    "t_number_word",
];
/// Answers that refuse our account or the URL that we call, with the name of the refused call.
const REFUSALS: [(&str, Place, &str); 14] = [
    ("s_301", Place::Submit, "submit"),
    ("s_302", Place::Submit, "submit"),
    ("s_307", Place::Submit, "submit"),
    ("s_308", Place::Submit, "submit"),
    ("s_402", Place::Submit, "submit"),
    ("t_402", Place::Status, "status"),
    ("t_403", Place::Status, "status"),
    ("r_403_locked", Place::Result, "result"),
    ("i_402", Place::Initiate, "upload"),
    ("i_403_locked", Place::Initiate, "upload"),
    ("i_301", Place::Initiate, "upload"),
    ("p_403_locked", Place::Put, "upload"),
    ("c_402", Place::Cancel, "cancel"),
    ("t_307", Place::Status, ""),
];
/// Upload URLs that have expired.
const EXPIRED: [&str; 3] = ["p_403_expired", "p_404", "p_400_expired_token"];
/// Cases that have their own test below.
const SINGLE: [&str; 5] = ["p_429", "s_detail_nul", "s_garbled_nul", "c_404", "s_gzip"];
/// Pages of the request list that come before the page with our request.
const PAGES: [&str; 3] = ["list_naive_date", "list_without_id", "list_odd_items"];

#[test]
fn every_recorded_answer_is_played() {
    let files = fs::read_dir(fal_cases()).expect("the folder").flatten();
    let names: BTreeSet<String> = files
        .filter_map(|file| file.file_name().into_string().ok())
        .filter_map(|name| {
            Some(
                name.rsplit_once('.')
                    .filter(|(_, end)| *end != "sql")?
                    .0
                    .to_owned(),
            )
        })
        .collect();
    let played = [
        &MODELS[..],
        &DOUBTS,
        &MOMENTS,
        &COMPLETED,
        &DENIALS,
        &EXPIRED,
        &SINGLE,
        &PAGES,
    ]
    .concat();
    let in_tables = ENDS
        .map(|(name, _)| name)
        .into_iter()
        .chain(REFUSALS.map(|(name, ..)| name))
        .chain(encoded::ENCODED.map(|(name, ..)| name));
    let played: BTreeSet<String> = played.into_iter().chain(in_tables).map(str::to_owned).collect();
    assert_eq!(names, played);
}

/// A world whose calls to FAL go through a front, with a training that was just requested.
async fn requested() -> (World, FalFront) {
    let front = FalFront::start().await;
    let base = front.base();
    let world = World::with(|services| {
        services.fal = FalClient::new(fal_settings(&base)).unwrap();
    })
    .await;
    front.pass_on_to(&world.fal.url());
    (world, front)
}

/// As [`requested`], but FAL has finished the training.
async fn finished() -> (World, FalFront) {
    let (world, front) = requested().await;
    let world = world.archive().await.submit().await;
    world.fal_is_done().await;
    (world, front)
}

/// Plays each case in a world of its own.
async fn each<T: Copy>(cases: &[T], play: impl AsyncFn(T)) {
    stream::iter(cases)
        .for_each_concurrent(AT_ONCE, |case| play(*case))
        .await;
}

async fn assert_nothing_odd_is_stored(world: &World, case: &str) {
    let odd = "select count(*) from trainings, training_attempts
                where concat(trainings::text, training_attempts::text) ~ '[\\x01-\\x08\\x0e-\\x1f]'";
    assert_eq!(world.count(odd).await, 0, "{case}: a control character in a row");
}

#[tokio::test]
async fn a_result_with_a_model_completes_whatever_else_is_in_it() {
    each(&MODELS, async |case| {
        let (world, front) = finished().await;
        front.exchange(Place::Result, &Recorded::read(case), ALWAYS);
        world.jobs.drain_through_time().await;
        assert_eq!(world.status().await, "completed", "{case}");
        assert_nothing_odd_is_stored(&world, case).await;
    })
    .await;
}

#[tokio::test]
async fn the_same_bytes_by_webhook_complete_it_as_well() {
    each(&MODELS, async |case| {
        let (world, front) = finished().await;
        let request = world.request_id().await;
        let mut body =
            format!(r#"{{"request_id":"{request}","gateway_request_id":"g","status":"OK","payload":"#)
                .into_bytes();
        body.extend(front.body_of(&Recorded::read(case)));
        body.push(b'}');
        deliver(&world, &request, body).await;
        assert_eq!(world.status().await, "trained", "{case}");
        world.jobs.drain_through_time().await;
        assert_eq!(world.status().await, "completed", "{case}");
        let source = world.text("select result_source::text from trainings").await;
        assert_eq!(source.as_deref(), Some("webhook"), "{case}");
    })
    .await;
}

/// Delivers bytes that no JSON library would write.
async fn deliver(world: &World, request: &str, body: Vec<u8>) {
    let mut tx = world.pool().begin().await.unwrap();
    let id: i64 = sqlx::query_scalar(
        "insert into fal_deliveries (request_id, body_sha256, body, fal_user_id, signed_at)
         values ($1, $2, $3, 'github|simulated', now()) returning id",
    )
    .bind(request)
    .bind(hex::encode(Sha256::digest(&body)))
    .bind(body)
    .fetch_one(&mut *tx)
    .await
    .unwrap();
    enqueue(&mut tx, &ApplyFalDelivery::new(id, false)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(world.run::<ApplyFalDelivery>().await.state, JobState::Done);
}

#[tokio::test]
async fn a_results_own_end_fails_the_training_at_the_first_look() {
    each(&ENDS, async |(case, code)| {
        let (world, front) = finished().await;
        front.exchange(Place::Result, &Recorded::read(case), ALWAYS);
        assert_eq!(world.run::<PollStatus>().await.state, JobState::Done, "{case}");
        assert_eq!(world.failure().await.as_deref(), Some(code), "{case}");
        assert_eq!(world.endings_told().await, 1, "{case}");
        assert_nothing_odd_is_stored(&world, case).await;
        let account = Reader::new(world.pool().clone()).fal_parked().await.unwrap();
        assert!(
            account.is_none(),
            "{case}: it is the model's word and not the account's"
        );
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_denies_a_request_is_believed_after_a_few_looks() {
    each(&DOUBTS, async |case| {
        let (world, front) = finished().await;
        // The answer comes five times; after that the model is available.
        front.exchange(Place::Result, &Recorded::read(case), 5);
        for look in 1..=5 {
            assert_eq!(
                world.run::<PollStatus>().await.state,
                JobState::Scheduled,
                "{case} {look}"
            );
            assert_eq!(world.status().await, "submitted", "{case} {look}");
        }
        world.jobs.drain_through_time().await;
        assert_eq!(world.status().await, "completed", "{case}");
    })
    .await;
}

#[tokio::test]
async fn a_request_that_stays_lost_fails_and_its_late_model_is_kept() {
    each(&DOUBTS, async |case| {
        let (world, front) = finished().await;
        front.exchange(Place::Result, &Recorded::read(case), 6);
        for _ in 0..6 {
            world.poll().await;
        }
        assert_eq!(
            world.failure().await.as_deref(),
            Some("provider_failed"),
            "{case}"
        );
        assert_eq!(world.endings_told().await, 1, "{case}");
        // FAL knows the request again.
        world.jobs.drain_through_time().await;
        assert_eq!(world.avatar_status().await, "completed", "{case}");
    })
    .await;
}

#[tokio::test]
async fn a_request_that_is_lost_for_good_is_not_looked_at_for_ever() {
    let (world, front) = finished().await;
    front.exchange(Place::Status, &Recorded::read("t_404"), ALWAYS);
    front.exchange(Place::Result, &Recorded::read("r_404_once"), ALWAYS);
    for _ in 0..12 {
        world.poll().await;
    }
    assert_eq!(world.failure().await.as_deref(), Some("provider_failed"));
    let late = "select late_model::text from trainings";
    assert_eq!(world.text(late).await.as_deref(), Some("watched"));
    let next = "select extract(epoch from run_at - now())::bigint from jobs where kind = 'poll_status' and state = 'scheduled'";
    assert!(world.count(next).await > 80_000, "once a day from now on");
    // Once its archive is gone, no model can come any more.
    world
        .change("update trainings set archive_expires_at = now() - interval '2 days'")
        .await;
    world.poll().await;
    assert_eq!(world.text(late).await, None);
    assert!(!world.is_live::<PollStatus>().await);
}

#[tokio::test]
async fn a_gateways_trouble_ends_nothing() {
    each(&MOMENTS, async |case| {
        let (world, front) = finished().await;
        front.exchange(Place::Result, &Recorded::read(case), 15);
        for _ in 0..15 {
            assert_eq!(
                world.run::<PollStatus>().await.state,
                JobState::Scheduled,
                "{case}"
            );
        }
        world.jobs.drain_through_time().await;
        assert_eq!(world.status().await, "completed", "{case}");
    })
    .await;
}

#[tokio::test]
async fn completed_is_seen_beside_whatever_else_a_status_says() {
    each(&COMPLETED, async |case| {
        let (world, front) = finished().await;
        front.exchange(Place::Status, &Recorded::read(case), ALWAYS);
        assert_eq!(world.run::<PollStatus>().await.state, JobState::Done, "{case}");
        assert_eq!(world.status().await, "trained", "{case}");
    })
    .await;
}

#[tokio::test]
async fn a_status_that_says_nothing_for_long_has_the_result_asked() {
    each(&DENIALS, async |case| {
        let (world, front) = finished().await;
        front.exchange(Place::Status, &Recorded::read(case), ALWAYS);
        for look in 1..=5 {
            assert_eq!(
                world.run::<PollStatus>().await.state,
                JobState::Scheduled,
                "{case} {look}"
            );
        }
        assert_eq!(front.asked(Place::Result), 0, "{case}");
        assert_eq!(world.run::<PollStatus>().await.state, JobState::Done, "{case}");
        assert_eq!(
            (world.status().await.as_str(), front.asked(Place::Result)),
            ("trained", 1),
            "{case}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_status_that_says_failed_leads_to_the_results_own_words() {
    let (world, front) = finished().await;
    front.exchange(Place::Status, &Recorded::read("t_failed_word"), ALWAYS);
    front.exchange(Place::Result, &Recorded::read("r_403_own"), ALWAYS);
    world.jobs.drain_through_time().await;
    assert_eq!(world.failure().await.as_deref(), Some("rejected_by_provider"));
    let detail = world.text("select failure_detail from trainings").await.unwrap();
    assert!(detail.contains("content_policy_violation"), "{detail}");
}
