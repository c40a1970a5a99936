//! `setWebhook` and the sender that pushes updates to it.
//!
//! The real sender's rules: one connection per chat at a time, so that a chat's updates arrive in order and
//! do not delay other chats. Any answer but 2xx leads to another attempt: the first at once, then after 2, 4,
//! 8 … seconds up to two minutes (multiplied by `time_scale`), or after the answer's `Retry-After`. A
//! receiver that answers 410 for a day loses its webhook.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::calls;
use super::core::Core;
use super::refusal::Refusal;
use super::request::Call;
use super::state::State;

const LONGEST_BACKOFF: Duration = Duration::from_mins(2);
const LONGEST_RETRY_AFTER: u64 = 3600;
/// After answering only 410 for this long, a receiver loses its webhook.
const GONE_SECONDS: i64 = 23 * 3600;
/// How long the sender waits for the receiver's answer.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(1);

pub(super) struct Webhook {
    url: url::Url,
    secret_token: String,
    max_connections: usize,
    last_error: Option<(i64, String)>,
    /// When the receiver began to answer only 410.
    gone_since: Option<i64>,
}

/// The record of a webhook in the journal.
#[derive(Serialize, Deserialize)]
pub(super) struct KeptWebhook {
    url: String,
    secret_token: String,
    max_connections: usize,
}

impl Webhook {
    pub fn kept(&self) -> KeptWebhook {
        KeptWebhook {
            url: self.url.to_string(),
            secret_token: self.secret_token.clone(),
            max_connections: self.max_connections,
        }
    }
}

impl KeptWebhook {
    pub fn again(self) -> Option<Webhook> {
        Some(Webhook {
            url: self.url.parse().ok()?,
            secret_token: self.secret_token,
            max_connections: self.max_connections,
            last_error: None,
            gone_since: None,
        })
    }
}

/// One attempt at sending an update to the webhook.
#[derive(Debug, Clone, Serialize)]
pub struct Delivery {
    /// The `update_id` of the update.
    pub update_id: i64,
    /// Number of the attempt at this update, from 1.
    pub attempt: u32,
    /// HTTP status of the receiver's answer; `None` when there was none.
    pub status: Option<u16>,
}

/// Copies of what one attempt needs, so that it runs without the lock.
struct Parcel {
    key: u64,
    url: url::Url,
    secret_token: String,
    update: Value,
}

pub(super) fn set(state: &mut State, call: &Call) -> Result<Value, Refusal> {
    if call.text("url").is_empty() {
        return Ok(delete(state, call));
    }
    let secret_token = call.text("secret_token");
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-');
    if secret_token.len() > 256 {
        return Err(Refusal::bad_request("secret token is too long"));
    }
    if !secret_token.chars().all(allowed) {
        return Err(Refusal::bad_request("secret token contains unallowed characters"));
    }
    let url = receiver(call.text("url"))?;
    state.updates.allow(call.text("allowed_updates"));
    if call.flag("drop_pending_updates") {
        state.updates.keep_those(|_| false);
    }
    let max_connections = match call.integer("max_connections") {
        0 => 40,
        given => usize::try_from(given.clamp(1, 100)).unwrap_or(40),
    };
    state.webhook = Some(Webhook {
        url,
        secret_token: secret_token.to_owned(),
        max_connections,
        last_error: None,
        gone_since: None,
    });
    for pending in &mut state.updates.queue {
        pending.not_before = Instant::now();
    }
    Ok(json!({ "ok": true, "result": true, "description": "Webhook was set" }))
}

/// Accepts `https` on one of four ports, as the real server does, and also plain `http` to this machine.
fn receiver(text: &str) -> Result<url::Url, Refusal> {
    let invalid = || Refusal::bad_request("invalid webhook URL specified");
    let text = if text.contains("://") {
        text.to_owned()
    } else {
        format!("https://{text}")
    };
    let url = url::Url::parse(&text).map_err(|_| invalid())?;
    let host = url.host_str().ok_or_else(invalid)?;
    let loopback = host == "localhost" || address(&url).is_some_and(|address| address.is_loopback());
    match url.scheme() {
        "http" | "https" if loopback => Ok(url),
        "https" if matches!(url.port().unwrap_or(443), 80 | 88 | 443 | 8443) => Ok(url),
        "https" => Err(Refusal::bad_request(
            "bad webhook: Webhook can be set up only on ports 80, 88, 443 or 8443",
        )),
        "http" => Err(Refusal::bad_request(
            "bad webhook: An HTTPS URL must be provided for webhook",
        )),
        _ => Err(invalid()),
    }
}

fn address(url: &url::Url) -> Option<IpAddr> {
    match url.host()? {
        url::Host::Ipv4(address) => Some(address.into()),
        url::Host::Ipv6(address) => Some(address.into()),
        url::Host::Domain(_) => None,
    }
}

pub(super) fn delete(state: &mut State, call: &Call) -> Value {
    if call.flag("drop_pending_updates") {
        state.updates.keep_those(|_| false);
    }
    for pending in &mut state.updates.queue {
        pending.in_flight = false;
    }
    let was_set = state.webhook.take().is_some();
    let description = if was_set {
        "Webhook was deleted"
    } else {
        "Webhook is already deleted"
    };
    json!({ "ok": true, "result": true, "description": description })
}

pub(super) fn info(state: &State) -> Value {
    let mut info = json!({
        "url": state.webhook.as_ref().map_or("", |webhook| webhook.url.as_str()),
        "has_custom_certificate": false,
        "pending_update_count": state.updates.queue.len(),
    });
    if let Some(kinds) = &state.updates.allowed {
        info["allowed_updates"] = json!(kinds);
    }
    let Some(webhook) = &state.webhook else {
        return info;
    };
    info["max_connections"] = webhook.max_connections.into();
    if let Some(address) = address(&webhook.url) {
        info["ip_address"] = address.to_string().into();
    }
    if let Some((date, message)) = &webhook.last_error {
        info["last_error_date"] = (*date).into();
        info["last_error_message"] = message.as_str().into();
    }
    info
}

/// Sends updates to the webhook until the simulator stops.
pub(super) async fn send_updates(core: Arc<Core>) {
    let mut changes = core.changes();
    let mut under_way = JoinSet::new();
    loop {
        changes.mark_unchanged();
        let (parcels, next) = core.quietly(take_due);
        for parcel in parcels {
            under_way.spawn(deliver(Arc::clone(&core), parcel));
        }
        let wait_for_next = async {
            match next {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            rung = changes.changed() => if rung.is_err() { return },
            () = wait_for_next => {}
            Some(_) = under_way.join_next() => {}
            () = core.stopping.cancelled() => return,
        }
    }
}

/// Takes the updates that may be sent now: the first of each chat, unless it waits or is being sent. Also
/// returns when the next one is due.
fn take_due(state: &mut State) -> (Vec<Parcel>, Option<Instant>) {
    let Some(webhook) = &state.webhook else {
        return (Vec::new(), None);
    };
    let now = Instant::now();
    let mut free = webhook.max_connections.saturating_sub(
        state
            .updates
            .queue
            .iter()
            .filter(|pending| pending.in_flight)
            .count(),
    );
    let mut parcels = Vec::new();
    let mut next: Option<Instant> = None;
    let mut chats = Vec::new();
    for pending in &mut state.updates.queue {
        if chats.contains(&pending.chat_id) {
            continue;
        }
        chats.push(pending.chat_id);
        if pending.in_flight {
            continue;
        }
        if pending.not_before > now {
            next = Some(next.map_or(pending.not_before, |next| next.min(pending.not_before)));
        } else if free > 0 {
            free -= 1;
            pending.in_flight = true;
            parcels.push(Parcel {
                key: pending.key,
                url: webhook.url.clone(),
                secret_token: webhook.secret_token.clone(),
                update: pending.update.clone(),
            });
        }
    }
    (parcels, next)
}

async fn deliver(core: Arc<Core>, parcel: Parcel) {
    let mut request = core
        .http
        .post(parcel.url.clone())
        .timeout(ANSWER_TIMEOUT)
        .json(&parcel.update);
    if !parcel.secret_token.is_empty() {
        request = request.header("x-telegram-bot-api-secret-token", &parcel.secret_token);
    }
    let (status, retry_after, body) = match request.send().await {
        Ok(answer) => {
            let (status, delay) = (answer.status(), retry_after(answer.headers()));
            (Some(status), delay, answer.bytes().await.unwrap_or_default())
        }
        Err(_) => (None, None, axum::body::Bytes::new()),
    };
    core.write(|state| settle(state, &core, &parcel, status, retry_after));
    let accepted = status.is_some_and(|status| status.is_success());
    // The receiver may put a Bot API call into its answer.
    if let Some(call) = Call::from_webhook_answer(&body).filter(|_| accepted) {
        calls::serve(&core, call).await;
    }
}

fn retry_after(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok()
}

fn settle(
    state: &mut State,
    core: &Core,
    parcel: &Parcel,
    status: Option<StatusCode>,
    retry_after: Option<u64>,
) {
    let now = state.clock.now();
    let Some(at) = state
        .updates
        .queue
        .iter()
        .position(|pending| pending.key == parcel.key)
    else {
        return;
    };
    let pending = &mut state.updates.queue[at];
    state.deliveries.push(Delivery {
        update_id: pending.id(),
        attempt: pending.fails + 1,
        status: status.map(|status| status.as_u16()),
    });
    pending.in_flight = false;
    if status.is_some_and(|status| status.is_success()) {
        state.updates.keep_those(|pending| pending.key != parcel.key);
        if let Some(webhook) = &mut state.webhook {
            webhook.gone_since = None;
        }
        return;
    }
    let wait = match retry_after {
        Some(seconds) if seconds > 0 => Duration::from_secs(seconds.min(LONGEST_RETRY_AFTER)),
        _ if pending.fails == 0 => Duration::ZERO,
        _ => {
            pending.delay = (pending.delay * 2).min(LONGEST_BACKOFF);
            pending.delay
        }
    };
    pending.fails += 1;
    pending.not_before = Instant::now() + core.scaled(wait);
    let Some(webhook) = &mut state.webhook else { return };
    let reason = match status {
        Some(status) => {
            let words = status.canonical_reason().unwrap_or_default();
            format!("Wrong response from the webhook: {} {words}", status.as_u16())
        }
        None => "Connection refused".to_owned(),
    };
    webhook.last_error = Some((now, reason));
    if status != Some(StatusCode::GONE) {
        webhook.gone_since = None;
    } else if now - *webhook.gone_since.get_or_insert(now) > GONE_SECONDS {
        state.webhook = None;
    }
}
