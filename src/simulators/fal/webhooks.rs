//! Delivers signed results to the caller's webhook until the receiver acknowledges one.
//!
//! Only 2xx acknowledges. A redirect is not followed and ends the delivery. Anything else leads to another
//! attempt, with growing delays, until the stored result would expire, and at most 31 times. Each attempt is
//! signed anew with a fresh timestamp: with an old one, every late retry would fail the receiver's window of
//! five minutes.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::faults::{Effect, Operation, Strike, Target};
use super::ledger::Event;
use super::requests::{Outcome, Request};
use super::signing::Claims;
use super::simulation::{Simulation, now};

const FIRST_TIMEOUT: Duration = Duration::from_secs(15);
const RETRY_TIMEOUT: Duration = Duration::from_mins(2);
/// Lower limit under any `time_scale`, since a receiver on a busy machine needs some time.
const SHORTEST_TIMEOUT: Duration = Duration::from_secs(2);
const MOST_RETRIES: u32 = 31;
/// The delay after six retries or more. FAL does not publish its schedule.
const LONGEST_DELAY: Duration = Duration::from_mins(1);
/// How long the real service keeps a small result, and so how long it tries to deliver it.
const GIVE_UP_AFTER: Duration = Duration::from_hours(1);

enum Verdict {
    Acknowledged,
    /// A redirect: neither followed nor repeated.
    Final(String),
    TryAgain,
}

/// Delivers the webhook of a request that has ended, as its faults demand.
pub(super) async fn deliver(sim: &Simulation, request: &Request) {
    let Some(url) = request.order.webhook.as_deref() else {
        return;
    };
    let Some(outcome) = request.progress.borrow().outcome.clone() else {
        return;
    };
    let strikes = sim.faults.strike_all(Operation::Webhook, &target(request, url));
    let give_up = |reason: &str| {
        let reason = reason.to_owned();
        sim.ledger.record(Event::WebhookGivenUp {
            request_id: request.order.id,
            reason,
        });
    };
    if sim.settings().drop_webhooks {
        return give_up("the simulator drops all webhooks");
    }
    if strikes.iter().any(|strike| strike.effect == Effect::Drop {}) {
        return give_up("dropped by a scripted fault");
    }
    if !sim.config.allow_private_webhooks && is_private(url).await {
        return give_up("a private address: FAL does not deliver there");
    }
    let null_payload = strikes
        .iter()
        .any(|strike| strike.effect == Effect::NullPayload {});
    let body = body(request, &outcome, null_payload).to_string();
    let mut deliveries = 1;
    for strike in &strikes {
        match strike.effect {
            Effect::Late { ms } => tokio::time::sleep(Duration::from_millis(ms)).await,
            Effect::Duplicate { times } => deliveries += times,
            _ => {}
        }
    }
    let mut attempt = 0;
    for _ in 0..deliveries {
        if let Err(reason) = deliver_once(sim, request, url, &outcome, &body, &mut attempt).await {
            return give_up(&reason);
        }
    }
}

/// Attempts the delivery until the receiver acknowledges it.
async fn deliver_once(
    sim: &Simulation,
    request: &Request,
    url: &str,
    outcome: &Outcome,
    body: &str,
    attempt: &mut u32,
) -> Result<(), String> {
    let deadline = Instant::now() + sim.scaled(GIVE_UP_AFTER);
    let mut delay = Duration::from_secs(1);
    for retry in 0..=MOST_RETRIES {
        *attempt += 1;
        let patience = if retry == 0 { FIRST_TIMEOUT } else { RETRY_TIMEOUT };
        let timeout = sim.scaled(patience).max(SHORTEST_TIMEOUT);
        let answer = send(sim, request, url, body, timeout).await;
        let (verdict, event) = judge(request, url, outcome, *attempt, answer);
        sim.ledger.record(event);
        match verdict {
            Verdict::Acknowledged => return Ok(()),
            Verdict::Final(reason) => return Err(reason),
            Verdict::TryAgain => {}
        }
        if Instant::now() + sim.scaled(delay) >= deadline {
            break;
        }
        tokio::time::sleep(sim.scaled(delay)).await;
        delay = (delay * 2).min(LONGEST_DELAY);
    }
    Err("the result has expired, or all retries failed".to_owned())
}

fn judge(
    request: &Request,
    url: &str,
    outcome: &Outcome,
    attempt: u32,
    answer: Result<u16, String>,
) -> (Verdict, Event) {
    let verdict = match &answer {
        Ok(200..=299) => Verdict::Acknowledged,
        Ok(status @ 300..=399) => Verdict::Final(format!("redirected ({status}); FAL does not follow")),
        _ => Verdict::TryAgain,
    };
    let event = Event::WebhookAttempted {
        request_id: request.order.id,
        url: url.to_owned(),
        attempt,
        status: word(outcome).to_owned(),
        http_status: answer.as_ref().ok().copied(),
        failure: answer.err(),
        delivered: matches!(verdict, Verdict::Acknowledged),
    };
    (verdict, event)
}

/// One attempt: returns the status of the answer, or why there was none.
async fn send(
    sim: &Simulation,
    request: &Request,
    url: &str,
    body: &str,
    timeout: Duration,
) -> Result<u16, String> {
    let mut request_id = request.order.id.to_string();
    let mut user_id = sim.config.webhook_user_id.clone();
    let mut timestamp = now().timestamp();
    let mut signed_body = body.as_bytes();
    let mut unpublished = false;
    for Strike { effect, .. } in sim.faults.strike_all(Operation::Delivery, &target(request, url)) {
        match effect {
            Effect::BadSignature {} => signed_body = b"another body",
            Effect::Stale { seconds } => timestamp -= seconds,
            Effect::UnknownKey {} => unpublished = true,
            Effect::OtherUser { user_id: other } => user_id = other,
            Effect::OtherRequestId {} => request_id = uuid::Uuid::new_v4().to_string(),
            _ => {}
        }
    }
    let claims = Claims {
        request_id: &request_id,
        user_id: &user_id,
        timestamp,
    };
    let signature = sim.keys.sign(&claims, signed_body, unpublished);
    let sent = sim
        .http
        .post(url)
        .timeout(timeout)
        .header("content-type", "application/json")
        .header("x-fal-webhook-request-id", &request_id)
        .header("x-fal-webhook-user-id", &user_id)
        .header("x-fal-webhook-timestamp", timestamp)
        .header("x-fal-webhook-signature", signature)
        .body(body.to_owned())
        .send()
        .await;
    sent.map(|answer| answer.status().as_u16())
        .map_err(|error| chain(&error))
}

fn body(request: &Request, outcome: &Outcome, null_payload: bool) -> Value {
    let mut body = json!({
        "request_id": request.order.id,
        "gateway_request_id": request.order.gateway_id,
        "status": word(outcome),
        "payload": outcome.body,
    });
    if outcome.status != 200 {
        body["error"] = json!(format!("Invalid status code: {}", outcome.status));
    }
    if null_payload {
        body["payload"] = Value::Null;
        body["payload_error"] =
            json!("Response payload is not JSON serializable. Please use the queue to retrieve it");
    }
    body
}

fn word(outcome: &Outcome) -> &'static str {
    if outcome.status == 200 { "OK" } else { "ERROR" }
}

fn target<'a>(request: &'a Request, url: &'a str) -> Target<'a> {
    Target {
        endpoint: Some(&request.order.endpoint.id),
        request_id: Some(request.order.id),
        text: url,
    }
}

/// Whether the URL's host is loopback, private or link-local, or a name that resolves to such an address.
async fn is_private(url: &str) -> bool {
    use std::net::IpAddr;
    let Ok(url) = url::Url::parse(url) else {
        return false;
    };
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
        return false;
    };
    let host = host.trim_matches(['[', ']']);
    let Ok(mut addresses) = tokio::net::lookup_host((host, port)).await else {
        return false;
    };
    addresses.any(|address| match address.ip() {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local() || ip.is_unspecified(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    })
}

/// An error with its causes: reqwest's own text ends at "error sending request".
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
