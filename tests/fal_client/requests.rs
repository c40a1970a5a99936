//! The life of a request: status, result, cancel, and the list.

use aisha::simulators::fal::{
    faults::{Effect, Fault, Operation},
    ledger::Event,
};
use chrono::{DateTime, Utc};
use jobs::{
    fal::{
        CancelOutcome, Error, FailureClass, ListQuery, RequestMark, RequestStatus, ResultOutcome,
        SubmitOutcome,
    },
    job::JobError,
};
use serde_json::{Value, json};

use super::{
    PICTURES, accepted, client, completed, prompt, simulator,
    wire::{Manner, Wire},
};
use crate::support::fal_settings;

fn execution(effect: Effect) -> Fault {
    Fault::new(Operation::Execution, effect)
}

fn answers(on: Operation, status: u16, body: Value) -> Fault {
    Fault::new(
        on,
        Effect::Answer {
            status,
            headers: std::iter::empty().collect(),
            body,
        },
    )
}

#[tokio::test]
async fn a_request_is_queued_then_runs_then_has_its_output() {
    let (simulator, fal) = simulator().await;
    simulator.script(execution(Effect::StuckInQueue {})).unwrap();
    let queued = accepted(&fal, PICTURES, &prompt("a cat")).await;
    assert!(matches!(
        fal.status(&queued).await.unwrap(),
        RequestStatus::Queued { position: Some(_) }
    ));
    assert_eq!(fal.result(&queued).await.unwrap(), ResultOutcome::NotReady);

    simulator.script(execution(Effect::StuckInProgress {})).unwrap();
    let running = accepted(&fal, PICTURES, &prompt("a dog")).await;
    simulator.wait_for("the run is stuck", |entries| {
        let started = |entry: &_| matches!(entry, Event::RunStarted { request_id } if request_id.to_string() == running.request_id);
        entries.iter().any(|entry| started(&entry.event)).then_some(())
    }).await.unwrap();
    let halfway = crate::support::eventually("the logs show progress", async || {
        match fal.status(&running).await.unwrap() {
            RequestStatus::Running {
                progress: Some(percent),
                message: Some(line),
            } if percent > 0 => Some((percent, line)),
            _ => None,
        }
    });
    let (percent, line) = halfway.await;
    assert!((1..=60).contains(&percent), "{percent} by {line:?}");

    let done = accepted(&fal, PICTURES, &prompt("a fish")).await;
    completed(&fal, &done).await;
    let ResultOutcome::Succeeded(output) = fal.result(&done).await.unwrap() else {
        panic!("no output")
    };
    assert_eq!(output["prompt"], "a fish");
}

#[tokio::test]
async fn a_completed_request_is_judged_by_the_status_of_its_result() {
    let (simulator, fal) = simulator().await;
    let refused = json!({"detail": [{"loc": ["body", "images_data_url"], "msg": "cannot fetch", "type": "file_download_error"}]});
    for (status, body, class) in [
        (422, refused, FailureClass::Input),
        (
            504,
            json!({"detail": "Request timed out", "error_type": "request_timeout"}),
            FailureClass::Provider,
        ),
        (
            500,
            json!({"detail": [{"loc": ["body"], "msg": "x", "type": "internal_server_error"}]}),
            FailureClass::Provider,
        ),
    ] {
        simulator
            .script(execution(Effect::Fail { status, body }))
            .unwrap();
        let request = accepted(&fal, PICTURES, &prompt("a cat")).await;
        completed(&fal, &request).await;
        let ResultOutcome::Failed(failure) = fal.result(&request).await.unwrap() else {
            panic!("not failed")
        };
        assert_eq!((failure.class, failure.status), (class, Some(status)));
    }
    simulator.script(execution(Effect::ExpiredResult {})).unwrap();
    let request = accepted(&fal, PICTURES, &prompt("a cat")).await;
    completed(&fal, &request).await;
    assert_eq!(fal.result(&request).await.unwrap(), ResultOutcome::Gone);
}

#[tokio::test]
async fn a_gateway_in_trouble_says_nothing_about_the_request() {
    let (simulator, fal) = simulator().await;
    let request = accepted(&fal, PICTURES, &prompt("a cat")).await;
    completed(&fal, &request).await;
    for status in [500, 502, 503] {
        simulator
            .script(answers(Operation::Result, status, json!("<html>nginx</html>")))
            .unwrap();
        let error = fal.result(&request).await.expect_err("an error");
        assert!(
            matches!(JobError::from(error), JobError::Retry { .. }),
            "{status}"
        );
    }
    assert!(matches!(
        fal.result(&request).await.unwrap(),
        ResultOutcome::Succeeded(_)
    ));
}

#[tokio::test]
async fn a_status_word_that_nobody_knows_is_told_and_not_failed() {
    let (simulator, fal) = simulator().await;
    let request = accepted(&fal, PICTURES, &prompt("a cat")).await;
    simulator
        .script(answers(Operation::Status, 200, json!({"status": "PAUSED"})))
        .unwrap();
    assert_eq!(
        fal.status(&request).await.unwrap(),
        RequestStatus::Unknown("PAUSED".into())
    );
}

#[tokio::test]
async fn logs_that_outgrow_us_do_not_hide_the_status() {
    let (simulator, fal) = simulator().await;
    let request = accepted(&fal, PICTURES, &prompt("a cat")).await;
    completed(&fal, &request).await;
    let line = json!({"message": "x".repeat(5 << 20)});
    simulator
        .script(answers(
            Operation::Status,
            200,
            json!({"status": "IN_PROGRESS", "logs": [line]}),
        ))
        .unwrap();
    assert_eq!(fal.status(&request).await.unwrap(), RequestStatus::Completed);
}

#[tokio::test]
async fn errors_of_account_and_moment_are_snoozed_over() {
    let (simulator, fal) = simulator().await;
    let request = accepted(&fal, PICTURES, &prompt("a cat")).await;
    for status in [401, 403, 429] {
        simulator
            .script(answers(Operation::Status, status, json!({"detail": "no"})))
            .unwrap();
        let error = fal.status(&request).await.expect_err("an error");
        assert!(
            matches!(JobError::from(error), JobError::Snooze { .. }),
            "{status}"
        );
    }
    simulator
        .script(answers(Operation::Status, 404, json!({"status": "NOT_FOUND"})))
        .unwrap();
    assert!(matches!(fal.status(&request).await, Err(Error::Missing { .. })));
}

#[tokio::test]
async fn a_cancel_says_how_far_it_came() {
    let (simulator, fal) = simulator().await;
    simulator.script(execution(Effect::StuckInQueue {})).unwrap();
    let queued = accepted(&fal, PICTURES, &prompt("a cat")).await;
    assert_eq!(fal.cancel(&queued).await.unwrap(), CancelOutcome::Dequeued);
    let done = accepted(&fal, PICTURES, &prompt("a cat")).await;
    completed(&fal, &done).await;
    assert_eq!(fal.cancel(&done).await.unwrap(), CancelOutcome::TooLate);
    let unknown = fal.request_urls(PICTURES, "00000000-0000-4000-8000-000000000000");
    assert_eq!(fal.cancel(&unknown).await.unwrap(), CancelOutcome::Gone);
}

fn query<'a>(token: &'a str, archive_url: Option<&'a str>) -> ListQuery<'a> {
    ListQuery {
        endpoint: PICTURES,
        since: now(),
        token,
        mark: archive_url.map(RequestMark::Text),
    }
}

#[expect(clippy::disallowed_methods, reason = "the simulator lists by the wall clock")]
fn now() -> DateTime<Utc> {
    Utc::now()
}

#[tokio::test]
async fn a_request_whose_answer_was_lost_is_found_by_what_only_it_holds() {
    let (simulator, fal) = simulator().await;
    simulator
        .script(Fault::new(Operation::Submit, Effect::Close {}))
        .unwrap();
    let lost = fal
        .submit(PICTURES, &prompt("Anna - @anna · 00ff"), None, || true)
        .await;
    assert!(matches!(lost, SubmitOutcome::Unknown(_)), "{lost:?}");
    accepted(&fal, PICTURES, &prompt("somebody else")).await;
    let started = |entries: &[_]| {
        let ids =
            entries.iter().filter_map(
                |entry: &aisha::simulators::fal::ledger::Entry| match &entry.event {
                    Event::RunEnded { request_id, .. } => Some(request_id.to_string()),
                    _ => None,
                },
            );
        (ids.count() == 2).then_some(())
    };
    simulator.wait_for("both ran", started).await.unwrap();
    let ledger = simulator.ledger();
    let submitted = ledger.iter().find_map(|entry| match &entry.event {
        Event::Submitted { request_id, .. } => Some(request_id.to_string()),
        _ => None,
    });

    let found = fal
        .find_request(&query("00ff", None))
        .await
        .unwrap()
        .expect("found by the token");
    assert_eq!(Some(&found.request_id), submitted.as_ref());
    assert!(
        matches!(fal.result(&found).await.unwrap(), ResultOutcome::Succeeded(_)),
        "its URLs were built right"
    );
    let by_whole_text = fal
        .find_request(&query("none", Some("Anna - @anna · 00ff")))
        .await
        .unwrap();
    assert_eq!(by_whole_text, Some(found));
    assert_eq!(
        fal.find_request(&query("other", Some("other"))).await.unwrap(),
        None
    );
    assert_eq!(
        fal.find_request(&query("", None)).await.unwrap(),
        None,
        "an empty token is nobody's"
    );
}

#[tokio::test]
async fn the_list_is_read_to_its_end_and_the_earliest_match_counts() {
    let (simulator, fal) = simulator().await;
    let item = |id: &str, sent_at: &str| json!({"request_id": id, "sent_at": sent_at, "started_at": sent_at, "json_input": {"images_data_url": "https://cdn.test/a.zip"}});
    let first = json!({"items": [item("second", "2026-11-20T10:00:05Z"), {"request_id": "not-ours", "json_input": null}], "next_cursor": "more", "has_more": true});
    let second =
        json!({"items": [item("first", "2026-11-20T10:00:00Z")], "next_cursor": null, "has_more": false});
    simulator.script(answers(Operation::List, 200, first)).unwrap();
    let on_second_page = Fault {
        contains: Some("cursor=more".into()),
        ..answers(Operation::List, 200, second)
    };
    simulator.script(on_second_page).unwrap();
    let found = fal
        .find_request(&query("00ff", Some("https://cdn.test/a.zip")))
        .await
        .unwrap()
        .expect("found");
    assert_eq!(found.request_id, "first");
}

#[tokio::test]
async fn the_key_is_never_sent_to_a_foreign_host() {
    let evil = Wire::start([Manner::CloseAfterRequest]).await;
    let (simulator, fal) = simulator().await;
    let real = accepted(&fal, PICTURES, &prompt("a cat")).await;
    completed(&fal, &real).await;
    let url = |tail: &str| {
        format!(
            "{}/queue/fal-ai/flux-lora/requests/{}{tail}",
            evil.base(),
            real.request_id
        )
    };
    let answer = json!({"request_id": real.request_id, "status_url": url("/status"), "response_url": url(""), "cancel_url": url("/cancel")});
    simulator.script(answers(Operation::Submit, 200, answer)).unwrap();
    let request = accepted(&fal, PICTURES, &prompt("a cat")).await;
    assert_eq!(request, real, "foreign URLs are replaced");

    // Stored by a process with another configuration: the URL is moved to the host that the key belongs to.
    let stored = jobs::fal::Request {
        status_url: url("/status"),
        response_url: url(""),
        cancel_url: url("/cancel"),
        ..real
    };
    assert_eq!(fal.status(&stored).await.unwrap(), RequestStatus::Completed);
    assert!(matches!(
        fal.result(&stored).await.unwrap(),
        ResultOutcome::Succeeded(_)
    ));
    assert_eq!(fal.cancel(&stored).await.unwrap(), CancelOutcome::TooLate);
    let elsewhere = jobs::fal::Request {
        status_url: format!("{}/steal", evil.base()),
        ..stored
    };
    assert!(matches!(fal.status(&elsewhere).await, Err(Error::ForeignUrl(_))));
    assert!(evil.heard().is_empty());
}

#[tokio::test]
async fn a_redirect_is_not_followed_with_the_key() {
    let evil = Wire::start([Manner::CloseAfterRequest]).await;
    let location = format!("location: {}/queue\r\n", evil.base());
    let redirecting = Wire::answering("302 Found", &location, "").await;
    let fal = client(fal_settings(&redirecting.base()));
    let request = fal.request_urls(PICTURES, "id-1");
    assert!(matches!(
        fal.status(&request).await,
        Err(Error::Moved { status: 302, .. })
    ));
    assert!(evil.heard().is_empty());
}

/// If the header is missing, a server may compress its answer (RFC 9110, 12.5.3), which our client cannot unpack.
#[tokio::test]
async fn every_call_asks_for_an_answer_that_is_not_compressed() {
    let wire = Wire::answering("200 OK", "Content-Type: application/json\r\n", "{}").await;
    let base = wire.base();
    let fal = client(fal_settings(&base));
    let on_queue = |end: &str| format!("{base}/queue/{PICTURES}/requests/1{end}");
    let request = jobs::fal::Request {
        request_id: "1".to_owned(),
        status_url: on_queue("/status"),
        response_url: on_queue(""),
        cancel_url: on_queue("/cancel"),
    };
    let file = tempfile::tempfile().unwrap();
    let week = std::time::Duration::from_hours(168);
    // The outcome of these calls does not matter here.
    let _ = fal.submit(PICTURES, &prompt("a cat"), None, || true).await;
    let _ = fal.status(&request).await;
    let _ = fal.result(&request).await;
    let _ = fal.cancel(&request).await;
    let _ = fal.upload(file, 0, "application/zip", "photos.zip", week).await;
    let _ = fal.exists(&format!("{base}/files/photos.zip")).await;
    let _ = fal.download(&format!("{base}/cdn/model"), 10).await;
    let heard = wire.ended(7).await;
    assert_eq!(heard.len(), 7);
    for call in heard {
        assert!(
            call.text.to_lowercase().contains("accept-encoding: identity\r\n"),
            "{}",
            call.text
        );
    }
}
