//! The one call that costs money: every outcome on the wire is told apart (fal.md 6.2).

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    time::Duration,
};

use aisha::simulators::fal::{
    faults::{Effect, Fault, Operation},
    ledger::Event,
};
use jobs::fal::{FalClient, SubmitOutcome};
use serde_json::json;

use super::{
    PICTURES, client, parsed, prompt, simulator,
    wire::{Manner, Wire, answer},
};
use crate::support::{ClosedPort, fal_settings};

const ENDPOINT: &str = "fal-ai/flux-lora-portrait-trainer";

async fn submit(base: &str) -> SubmitOutcome {
    client(fal_settings(base))
        .submit(
            ENDPOINT,
            &json!({"images_data_url": "https://cdn.test/a.zip"}),
            None,
            || true,
        )
        .await
}

/// The outcome against a server that behaves like this; checks that it was called exactly once.
async fn outcome(manner: Manner) -> SubmitOutcome {
    let wire = Wire::start([manner.clone()]).await;
    let outcome = submit(&wire.base()).await;
    assert_eq!(wire.heard().len(), 1, "one connection for {manner:?}");
    assert_eq!(
        wire.heard()[0].text.matches("POST ").count(),
        1,
        "one request for {manner:?}"
    );
    outcome
}

async fn outcome_of_answer(status: &str, headers: &str, body: &str) -> SubmitOutcome {
    outcome(Manner::Answer(answer(status, headers, body))).await
}

#[tokio::test]
async fn what_is_sent_is_fals_wire_format() {
    let wire = Wire::answering("200 OK", "", r#"{"request_id":"id-1"}"#).await;
    let hook = "https://bot.test/api/v1/avatar/status_update?training_type=portrait&token=00ff";
    let fal = client(fal_settings(&wire.base()));
    let outcome = fal
        .submit("fal-ai/flux-pro/v1.1", &json!({"steps": 7}), Some(hook), || true)
        .await;
    assert!(matches!(outcome, SubmitOutcome::Accepted(_)), "{outcome:?}");

    let text = wire.heard()[0].text.clone();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let target = head.lines().next().unwrap().split(' ').nth(1).unwrap();
    assert!(
        head.starts_with("POST /queue/fal-ai/flux-pro/v1.1?fal_webhook="),
        "{head}"
    );
    let url = parsed(&wire.base()).join(target).unwrap();
    assert_eq!(
        url.query_pairs().collect::<Vec<_>>(),
        [("fal_webhook".into(), hook.into())]
    );
    let head = head.to_ascii_lowercase();
    assert!(head.contains("authorization: key test-key:test-secret"), "{head}");
    assert!(
        head.contains("content-type: application/json") && head.contains("content-length: 11"),
        "{head}"
    );
    assert!(!head.contains("transfer-encoding"), "{head}");
    assert_eq!(body, r#"{"steps":7}"#);
}

#[tokio::test]
async fn an_accepted_submit_has_its_urls_from_the_answer_or_built() {
    let (simulator, fal) = simulator().await;
    let SubmitOutcome::Accepted(request) = fal.submit(PICTURES, &prompt("a cat"), None, || true).await else {
        panic!("not accepted");
    };
    let submitted = simulator.ledger().iter().find_map(|entry| match &entry.event {
        Event::Submitted { request_id, .. } => Some(request_id.to_string()),
        _ => None,
    });
    assert_eq!(submitted.as_ref(), Some(&request.request_id));
    assert_eq!(
        request.status_url,
        format!(
            "{}/queue/fal-ai/flux-lora/requests/{}/status",
            simulator.url(),
            request.request_id
        )
    );

    let without_urls = outcome_of_answer("201 Created", "", r#"{"request_id":"id-1"}"#).await;
    let SubmitOutcome::Accepted(request) = without_urls else {
        panic!("not accepted: {without_urls:?}")
    };
    assert!(
        request
            .response_url
            .ends_with("/queue/fal-ai/flux-lora-portrait-trainer/requests/id-1"),
        "{request:?}"
    );
}

#[tokio::test]
async fn a_submit_that_never_left_is_not_sent() {
    let closed = ClosedPort::new();
    let asked = Arc::new(AtomicU32::new(0));
    let counting = Arc::clone(&asked);
    let fal = client(fal_settings(&format!("http://{}", closed.address())));
    let refused = fal
        .submit(ENDPOINT, &json!({}), None, move || {
            counting.fetch_add(1, Ordering::SeqCst);
            true
        })
        .await;
    assert!(
        matches!(&refused, SubmitOutcome::NotSent(why) if why.contains("could not connect")),
        "{refused:?}"
    );
    assert_eq!(
        asked.load(Ordering::SeqCst),
        0,
        "the check is made when there is something to send on"
    );

    // A server that speaks no TLS.
    let plain = Wire::start([Manner::CloseWithinRequest]).await;
    let tls = submit(&plain.base().replace("http:", "https:")).await;
    assert!(matches!(tls, SubmitOutcome::NotSent(_)), "{tls:?}");
}

#[tokio::test]
async fn what_fal_refuses_is_refused_for_good() {
    for (status, code) in [
        ("400 Bad Request", 400),
        ("404 Not Found", 404),
        ("413 Too Large", 413),
        ("422 Unprocessable", 422),
    ] {
        let outcome = outcome_of_answer(status, "", r#"{"detail":"no such field"}"#).await;
        assert_eq!(
            outcome,
            SubmitOutcome::Refused {
                status: code,
                detail: "no such field".into()
            }
        );
    }
}

#[tokio::test]
async fn a_locked_account_or_a_wrong_key_parks() {
    for status in ["401 Unauthorized", "402 Payment Required", "403 Forbidden"] {
        let outcome = outcome_of_answer(
            status,
            "",
            r#"{"detail":"User is locked. Reason: Exhausted balance."}"#,
        )
        .await;
        assert!(
            matches!(&outcome, SubmitOutcome::Locked(why) if why.contains("Exhausted balance")),
            "{outcome:?}"
        );
    }
}

#[tokio::test]
async fn a_busy_fal_says_for_how_long() {
    let said = outcome_of_answer("429 Too Many Requests", "retry-after: 7\r\n", "{}").await;
    assert_eq!(
        said,
        SubmitOutcome::Busy {
            retry_after: Duration::from_secs(7)
        }
    );
    let unsaid = outcome_of_answer("429 Too Many Requests", "", "{}").await;
    assert_eq!(
        unsaid,
        SubmitOutcome::Busy {
            retry_after: Duration::from_secs(30)
        }
    );
}

#[tokio::test]
async fn a_redirected_submit_was_not_taken_and_goes_nowhere_else() {
    for status in [
        "301 Moved Permanently",
        "302 Found",
        "307 Temporary Redirect",
        "308 Permanent Redirect",
    ] {
        let outcome = outcome_of_answer(status, "location: http://127.0.0.1:9/queue\r\n", "").await;
        assert!(
            matches!(&outcome, SubmitOutcome::Moved(why) if why.contains("127.0.0.1:9/queue")),
            "{status}: {outcome:?}"
        );
    }
}

#[tokio::test]
async fn everything_else_is_unknown_and_never_repeated() {
    for status in [
        "408 Request Timeout",
        "409 Conflict",
        "418 Teapot",
        "500 Internal",
        "502 Bad Gateway",
        "503 Unavailable",
        "504 Gateway Timeout",
    ] {
        let outcome = outcome_of_answer(status, "location: /elsewhere\r\n", "<html>nginx</html>").await;
        assert!(
            matches!(outcome, SubmitOutcome::Unknown(_)),
            "{status}: {outcome:?}"
        );
    }
    for body in [
        "",
        "<html>",
        "{}",
        r#"{"request_id":""}"#,
        r#"{"request_id":7}"#,
        r#"{"request_id":"../x"}"#,
        "[]",
    ] {
        let outcome = outcome_of_answer("200 OK", "", body).await;
        assert!(
            matches!(outcome, SubmitOutcome::Unknown(_)),
            "{body}: {outcome:?}"
        );
    }
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"request_id\":\"id-1\"";
    for manner in [
        Manner::CloseWithinRequest,
        Manner::CloseAfterRequest,
        Manner::Answer("SSH-2.0-OpenSSH_9.2\r\n".into()),
        Manner::Answer(cut.into()),
    ] {
        let outcome = outcome(manner.clone()).await;
        assert!(
            matches!(outcome, SubmitOutcome::Unknown(_)),
            "{manner:?}: {outcome:?}"
        );
    }
}

#[tokio::test]
async fn an_answer_that_does_not_come_in_time_is_unknown() {
    let wire = Wire::start([Manner::Silence]).await;
    let outcome = impatient(&wire).submit(ENDPOINT, &json!({}), None, || true).await;
    assert!(
        matches!(&outcome, SubmitOutcome::Unknown(why) if why.contains("timed out")),
        "{outcome:?}"
    );
    assert_eq!(wire.heard().len(), 1);
}

fn impatient(wire: &Wire) -> FalClient {
    let mut settings = fal_settings(&wire.base());
    settings.timeouts.submit = Duration::from_millis(300);
    client(settings)
}

#[tokio::test]
async fn a_withheld_submit_puts_no_byte_on_the_wire() {
    let wire = Wire::start([Manner::Silence]).await;
    let fal = client(fal_settings(&wire.base()));
    let outcome = fal
        .submit(
            ENDPOINT,
            &json!({"images_data_url": "x".repeat(100_000)}),
            None,
            || false,
        )
        .await;
    assert!(
        matches!(&outcome, SubmitOutcome::NotSent(why) if why.contains("withheld")),
        "{outcome:?}"
    );
    let heard = wire.ended(1).await;
    assert_eq!(heard.len(), 1, "it had connected");
    assert_eq!(heard[0].text, "");
}

/// The deadline comes while the permission is still being checked: a submit that is then
/// reported as not sent must stay unsent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_submit_reported_as_not_sent_is_not_sent_afterwards() {
    let wire = Wire::start([Manner::Silence]).await;
    let (decide, decision) = mpsc::channel();
    let decision = Mutex::new(decision);
    let fal = impatient(&wire);
    let outcome = fal
        .submit(ENDPOINT, &json!({}), None, move || {
            decision.lock().unwrap().recv().unwrap()
        })
        .await;
    assert!(matches!(outcome, SubmitOutcome::NotSent(_)), "{outcome:?}");
    decide.send(true).unwrap();
    assert_eq!(wire.ended(1).await[0].text, "");
}

#[tokio::test]
async fn each_submit_has_a_connection_of_its_own() {
    let body = r#"{"request_id":"id-1"}"#;
    let open = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let wire = Wire::start([Manner::Answer(open)]).await;
    let fal = client(fal_settings(&wire.base()));
    for _ in 0..3 {
        let outcome = fal.submit(ENDPOINT, &json!({}), None, || true).await;
        assert!(matches!(outcome, SubmitOutcome::Accepted(_)), "{outcome:?}");
    }
    assert_eq!(wire.heard().len(), 3);
}

#[tokio::test]
async fn a_submit_whose_answer_is_lost_is_one_request_at_fal() {
    let (simulator, fal) = simulator().await;
    simulator
        .script(Fault::new(Operation::Submit, Effect::Close {}))
        .unwrap();
    let outcome = fal.submit(PICTURES, &prompt("a dog"), None, || true).await;
    assert!(matches!(outcome, SubmitOutcome::Unknown(_)), "{outcome:?}");
    let submitted = simulator
        .ledger()
        .iter()
        .filter(|entry| matches!(entry.event, Event::Submitted { .. }))
        .count();
    assert_eq!(submitted, 1);
}
