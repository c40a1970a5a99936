//! Tests of the invariants on made-up evidence: each finds its violation, and nothing when all is well.

use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::{
    chaos::evidence::{AttemptRow, DeliveryRow, FinalMessage, JobRecord, LostClaim, TrainingRecord},
    simulators::fal::ledger::{Entry, Event},
};

const TOKEN: &str = "00112233445566778899aabbccddeeff";
pub(super) const CHAT: i64 = 7;

pub(super) fn submitted(request: Uuid) -> Event {
    Event::Submitted {
        request_id: request,
        endpoint: "fal-ai/flux-lora-portrait-trainer".to_owned(),
        input: json!({}),
        webhook: Some(format!("http://127.0.0.1/?token={TOKEN}")),
        key: "k".to_owned(),
        sync: false,
    }
}

pub(super) fn ended(request: Uuid, http_status: u16) -> Event {
    Event::RunEnded {
        request_id: request,
        http_status,
    }
}

pub(super) fn ledger(events: impl IntoIterator<Item = Event>) -> Vec<Entry> {
    let numbered = (1..).zip(events);
    numbered
        .map(|(seq, event)| Entry {
            seq,
            at: crate::chaos::now(),
            event,
        })
        .collect()
}

/// Evidence of one training that went well.
pub(super) fn in_order() -> (Evidence, Uuid) {
    let request = Uuid::new_v4();
    let training = TrainingRecord {
        id: Uuid::new_v4(),
        avatar_id: Uuid::new_v4(),
        chat_id: CHAT,
        status: "completed".to_owned(),
        failure_code: None,
        request_id: Some(request.to_string()),
        trigger_phrase: "TOK_1".to_owned(),
        endpoint: Some("fal-ai/flux-lora-portrait-trainer".to_owned()),
        training_type: "portrait".to_owned(),
        avatar_status: "completed".to_owned(),
        is_deleted: false,
        model_key: Some("u/a/t.safetensors".to_owned()),
        model_sha256: Some("ab".to_owned()),
        model_bytes: Some(5),
        late_model: None,
        late_model_key: None,
        possible_duplicates: 0,
    };
    let evidence = Evidence {
        fal: ledger([submitted(request), ended(request, 200)]),
        finals: vec![FinalMessage { chat_id: CHAT }],
        attempts: vec![AttemptRow {
            order_id: training.id,
            is_for_pictures: false,
            token: TOKEN.to_owned(),
            created_at: crate::chaos::now(),
        }],
        stored: [request.to_string()].into(),
        deliveries: vec![DeliveryRow {
            request_id: request.to_string(),
            disposition: Some("applied".to_owned()),
            forged: false,
        }],
        objects: [("u/a/t.safetensors".to_owned(), (5, "ab".to_owned()))].into(),
        trainings: vec![training],
        ..Evidence::default()
    };
    (evidence, request)
}

pub(super) fn broken(evidence: &Evidence, deeds: &Deeds) -> Vec<&'static str> {
    let mut names: Vec<_> = check_at_rest(evidence, deeds)
        .iter()
        .map(|violation| violation.invariant)
        .collect();
    names.dedup();
    names
}

fn found_in(change: impl FnOnce(&mut Evidence, Uuid)) -> Vec<&'static str> {
    let (mut evidence, request) = in_order();
    change(&mut evidence, request);
    broken(&evidence, &Deeds::default())
}

fn job(kind: &str, state: &str, code: Option<&str>) -> JobRecord {
    JobRecord {
        id: 1,
        kind: kind.to_owned(),
        state: state.to_owned(),
        attempt: 1,
        error_code: code.map(str::to_owned),
        error: None,
    }
}

#[test]
fn books_in_order_break_nothing() {
    assert!(found_in(|_, _| {}).is_empty());
}

#[test]
fn i1_finds_what_has_no_end() {
    assert_eq!(
        found_in(|books, _| books.live_jobs.push(job("poll_status", "scheduled", None))),
        ["I1"]
    );
    assert_eq!(found_in(|books, _| books.lost_updates.push((9, None))), ["I1"]);
    let (evidence, _) = in_order();
    let unrest = Deeds {
        unrest: Some("1 trainings submitted".to_owned()),
        ..Deeds::default()
    };
    assert_eq!(broken(&evidence, &unrest), ["I1"]);
}

#[test]
fn i2_finds_a_second_submit_unless_the_first_ended_in_an_error() {
    let again = Uuid::new_v4();
    let twice = found_in(|books, request| {
        books.fal = ledger([submitted(request), submitted(again), ended(request, 200)]);
    });
    assert_eq!(twice, ["I2"]);
    let after_an_error = found_in(|books, request| {
        books.fal = ledger([
            submitted(again),
            ended(again, 500),
            submitted(request),
            ended(request, 200),
        ]);
    });
    assert!(after_an_error.is_empty());
    let after_success = found_in(|books, request| {
        books.fal = ledger([
            submitted(again),
            ended(again, 200),
            submitted(request),
            ended(request, 200),
        ]);
    });
    assert_eq!(after_success, ["I2"]);
    assert_eq!(found_in(|books, _| books.attempts.clear()), ["I2"]);
}

#[test]
fn i3_finds_a_result_of_nothing_and_a_result_thrown_away() {
    assert_eq!(
        found_in(|books, request| books.fal = ledger([submitted(request), ended(request, 500)])),
        ["I3"]
    );
    let thrown_away = found_in(|books, _| {
        books.trainings[0].status = "failed".to_owned();
        books.trainings[0].avatar_status = "failed".to_owned();
        books.trainings[0].failure_code = Some("internal".to_owned());
    });
    assert_eq!(thrown_away, ["I3"]);
}

#[test]
fn i3_wants_the_model_of_a_failed_training_whose_result_came_late() {
    let failed_with = |late: Option<&str>, key: Option<&str>, bytes: u64| {
        found_in(|books, _| {
            let training = &mut books.trainings[0];
            training.status = "failed".to_owned();
            training.avatar_status = "failed".to_owned();
            training.failure_code = Some("submit_outcome_unknown".to_owned());
            training.late_model = late.map(str::to_owned);
            training.late_model_key = key.map(str::to_owned);
            books
                .objects
                .insert("u/a/late.safetensors".to_owned(), (bytes, "ef".to_owned()));
        })
    };
    let key = Some("u/a/late.safetensors");
    assert!(failed_with(Some("settled"), key, 5).is_empty());
    assert_eq!(failed_with(None, None, 5), ["I3"]);
    assert_eq!(failed_with(Some("watched"), None, 5), ["I3"]);
    assert_eq!(failed_with(Some("kept"), key, 5), ["I3"]);
    assert_eq!(failed_with(Some("settled"), None, 5), ["I3"]);
    assert_eq!(failed_with(Some("settled"), Some("u/a/gone"), 5), ["I3"]);
    assert_eq!(failed_with(Some("settled"), key, 0), ["I3"]);
}

#[test]
fn i4_finds_an_end_untold_and_one_told_twice_uncounted() {
    assert_eq!(found_in(|books, _| books.finals.clear()), ["I4"]);
    assert_eq!(
        found_in(|books, _| books.finals.push(FinalMessage { chat_id: CHAT })),
        ["I4"]
    );
    let counted = found_in(|books, _| {
        books.finals.push(FinalMessage { chat_id: CHAT });
        books.trainings[0].possible_duplicates = 1;
    });
    assert!(counted.is_empty());
    assert_eq!(
        found_in(|books, _| books.finals.push(FinalMessage { chat_id: 8 })),
        ["I4"]
    );
}

#[test]
fn i5_and_i6_find_an_avatar_that_is_not_what_its_training_says() {
    assert_eq!(found_in(|books, _| books.objects.clear()), ["I6"]);
    assert_eq!(
        found_in(|books, _| books.trainings[0].model_sha256 = Some("cd".to_owned())),
        ["I6"]
    );
    assert_eq!(
        found_in(|books, _| books.trainings[0].training_type = "style".to_owned()),
        ["I6"]
    );
    let waits = found_in(|books, _| {
        books.trainings[0].status = "cancelled".to_owned();
        books.trainings[0].avatar_status = "training".to_owned();
    });
    assert_eq!(waits, ["I5"]);
}

#[test]
fn i7_finds_dead_letters_beyond_what_the_faults_explain() {
    let dead = job("submit_training", "dead", Some("fal_refused"));
    assert_eq!(found_in(|books, _| books.dead_jobs.push(dead.clone())), ["I7"]);
    let (mut evidence, _) = in_order();
    evidence.dead_jobs = vec![dead];
    let refused = Deeds {
        unwinnable: Unwinnable {
            refused: 1,
            ..Unwinnable::default()
        },
        ..Deeds::default()
    };
    assert!(broken(&evidence, &refused).is_empty());
}

#[test]
fn i8_finds_two_ends_of_one_job_and_a_final_status_that_was_left() {
    assert_eq!(
        found_in(|books, _| books.ended_twice.push(job(
            "store_model",
            "running to done, done to done",
            None
        ))),
        ["I8"]
    );
    let left = (
        "training".to_owned(),
        Uuid::new_v4(),
        "completed".to_owned(),
        "failed".to_owned(),
    );
    assert_eq!(found_in(|books, _| books.left_final.push(left)), ["I8"]);
}

#[test]
fn i9_finds_a_delivery_that_was_acknowledged_and_not_stored_and_one_that_was_forged() {
    let acknowledged = found_in(|books, request| {
        books.fal.extend(ledger([Event::WebhookAttempted {
            request_id: request,
            url: String::new(),
            attempt: 1,
            status: "OK".to_owned(),
            http_status: Some(200),
            failure: None,
            delivered: true,
        }]));
        books.stored.clear();
    });
    assert_eq!(acknowledged, ["I9"]);
    assert_eq!(
        found_in(|books, _| books.deliveries[0].disposition = None),
        ["I9"]
    );
    assert_eq!(found_in(|books, _| books.deliveries[0].forged = true), ["I9"]);
    let (evidence, _) = in_order();
    let taken = Deeds {
        forged_answers: vec![401, 200],
        ..Deeds::default()
    };
    assert_eq!(broken(&evidence, &taken), ["I9"]);
}

#[test]
fn i11_finds_a_job_that_nobody_took_over_in_time() {
    let killed_at = crate::chaos::now();
    let after = |seconds: i64| {
        let (mut evidence, _) = in_order();
        evidence.lost_claims.push(LostClaim {
            worker: "pid-42-cafe".to_owned(),
            rescued_at: killed_at + chrono::TimeDelta::seconds(seconds),
            reclaimed_at: None,
        });
        let deeds = Deeds {
            killed: vec![(42, killed_at)],
            ..Deeds::default()
        };
        broken(&evidence, &deeds)
    };
    assert!(after(4).is_empty());
    assert_eq!(after(60), ["I11"]);
}

#[test]
fn i12_finds_a_retry_storm() {
    assert_eq!(found_in(|books, _| books.telegram_calls = 100_000), ["I12"]);
    let twins = found_in(|books, _| books.same_work.push(("notify_user".to_owned(), 2)));
    assert_eq!(twins, ["I12"]);
}

#[test]
fn somebody_who_is_not_concerned_and_waits_is_found() {
    let (evidence, _) = in_order();
    let served = |seconds| Served {
        meanwhile: "a fault of others",
        seconds,
    };
    let deeds = Deeds {
        served: vec![served(Some(0.2)), served(Some(1.9))],
        ..Deeds::default()
    };
    assert_eq!(check_at_rest(&evidence, &deeds), []);
    let deeds = Deeds {
        served: vec![served(Some(0.2)), served(Some(2.1)), served(None)],
        ..Deeds::default()
    };
    let found = check_at_rest(&evidence, &deeds);
    assert!(found.iter().all(|violation| violation.invariant == "I13"));
    assert_eq!(found.len(), 2, "{found:?}");
}

#[test]
fn i7_finds_a_training_that_failed_for_good_photos() {
    let (mut evidence, _) = in_order();
    evidence.trainings[0].status = "failed".to_owned();
    evidence.trainings[0].failure_code = Some("too_few_photos".to_owned());
    let found = check_at_rest(&evidence, &Deeds::default());
    assert!(
        found.iter().any(|violation| violation.invariant == "I7"),
        "{found:?}"
    );
}
