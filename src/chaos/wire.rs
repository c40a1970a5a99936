//! Faults at the wire: what the simulators are told to do to the next call, webhook or run; and forged deliveries.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context as _;
use serde::Serialize;
use serde_json::{Value, json};

use super::{person, schedule::Kind, site::Site};
use crate::simulators::{
    fal::{
        faults::{Effect, Fault, Operation, When},
        ledger::Event,
    },
    telegram::{self, FaultAction, Known},
};

/// In the body of every delivery that we forge: no such row may ever exist.
pub(super) const FORGED: &str = "forged-by-chaos";

/// Where a scripted fault is counted.
#[derive(Debug, Clone, Copy)]
pub(super) enum Scripted {
    Fal(u64),
    Telegram(u64),
}

/// Scripts a fault of a kind that strikes at the wire; `None` for other kinds.
pub(super) fn script(site: &Site, kind: Kind, pick: u64) -> anyhow::Result<Option<Scripted>> {
    if let Some(fault) = fal_fault(kind, pick) {
        return Ok(Some(Scripted::Fal(site.fal.script(fault)?)));
    }
    let fault = telegram_fault(kind, pick);
    Ok(fault.map(|fault| Scripted::Telegram(site.telegram.control().inject(fault))))
}

fn fal_fault(kind: Kind, pick: u64) -> Option<Fault> {
    let submit = |effect, when| Fault {
        when: Some(when),
        ..Fault::new(Operation::Submit, effect)
    };
    let fault = match kind {
        Kind::FalBusy => submit(
            answer(429, &[("retry-after", "1")], json!("slow down")),
            When::Before,
        ),
        Kind::FalUnavailable => {
            let operations = [
                Operation::Status,
                Operation::Result,
                Operation::Initiate,
                Operation::Upload,
            ];
            let on = choose(&operations, pick);
            let status = choose(&[500, 502, 503, 504], pick / 16);
            Fault::new(on, answer(status, &[], json!("<h1>bad gateway</h1>")))
        }
        Kind::FalSubmitUnknown => {
            let when = choose(&[When::Before, When::After], pick);
            submit(answer(502, &[], json!("<h1>bad gateway</h1>")), when)
        }
        Kind::FalRefuses => {
            let body =
                json!({"detail": [{"loc": ["body"], "msg": "refused on purpose", "type": "value_error"}]});
            submit(answer(422, &[], body), When::Before)
        }
        Kind::FalLocked => {
            let body = json!({"detail": "User is locked. Reason: Exhausted balance."});
            submit(answer(403, &[], body), When::Before)
        }
        Kind::FalLosesAnswer => submit(Effect::Close {}, When::After),
        Kind::FalGarbage if pick.is_multiple_of(2) => submit(Effect::Truncate { bytes: 20 }, When::After),
        Kind::FalGarbage => submit(answer(200, &[], json!("{\"request_id\": 7")), When::After),
        Kind::FalStuck => Fault::new(Operation::Execution, Effect::StuckInQueue {}),
        Kind::FalFails => {
            let (status, body) = choose(&failures(), pick);
            Fault::new(Operation::Execution, Effect::Fail { status, body })
        }
        Kind::FalExpiredResult => Fault::new(Operation::Execution, Effect::ExpiredResult {}),
        Kind::FalModelTruncated => Fault {
            contains: Some(".safetensors".to_owned()),
            ..Fault::new(Operation::Download, Effect::Truncate { bytes: 2000 })
        },
        Kind::WebhookDropped => Fault::new(Operation::Webhook, Effect::Drop {}),
        Kind::WebhookDuplicated => Fault::new(Operation::Webhook, Effect::Duplicate { times: 4 }),
        Kind::WebhookReordered => Fault::new(Operation::Webhook, Effect::Late { ms: 700 + pick % 800 }),
        Kind::WebhookLate => Fault::new(
            Operation::Webhook,
            Effect::Late {
                ms: 7000 + pick % 3000,
            },
        ),
        Kind::WebhookEarly => submit(
            Effect::Hold {
                until_delivered: true,
            },
            When::After,
        ),
        _ => return None,
    };
    Some(fault)
}

/// As the model answers it: bad input, and an error of its own.
fn failures() -> [(u16, Value); 2] {
    let detail = |kind: &str, text: &str| json!({"detail": [{"loc": ["body"], "msg": text, "type": kind}]});
    [
        (422, detail("value_error", "no face was found")),
        (500, detail("internal_server_error", "the runner broke")),
    ]
}

fn telegram_fault(kind: Kind, pick: u64) -> Option<telegram::Fault> {
    let send = |action| telegram::Fault::on("sendMessage", action);
    let fault = match kind {
        Kind::TelegramBusy => send(FaultAction::RetryAfter {
            seconds: 1,
            parameters: true,
        }),
        Kind::TelegramBlocked => send(FaultAction::Refuse {
            error: Known::BotBlocked,
        }),
        Kind::TelegramLosesAnswer => send(FaultAction::LoseAnswer),
        Kind::TelegramUnavailable => {
            let methods = [
                "sendMessage",
                "editMessageText",
                "getFile",
                "getUpdates",
                "answerCallbackQuery",
            ];
            return Some(telegram::Fault::on(
                choose(&methods, pick),
                FaultAction::Html { status: 502 },
            ));
        }
        _ => return None,
    };
    // Of all messages the last one matters most: a lost answer waits for one, of other faults every second does.
    let last_word = kind == Kind::TelegramLosesAnswer || pick.is_multiple_of(2);
    Some(if last_word {
        fault.containing(person::ENDINGS[0])
    } else {
        fault
    })
}

fn answer(status: u16, headers: &[(&str, &str)], body: Value) -> Effect {
    let headers = headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Effect::Answer {
        status,
        headers: headers.collect::<BTreeMap<_, _>>(),
        body,
    }
}

/// The one that the schedule picked.
pub(super) fn choose<T: Clone>(from: &[T], pick: u64) -> T {
    let length = u64::try_from(from.len()).unwrap_or(1).max(1);
    let at = usize::try_from(pick % length).unwrap_or(0);
    from[at].clone()
}

/// A forged delivery and what the web role said to it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Forgery {
    /// A request that FAL has.
    pub request_id: String,
    /// Of the answer.
    pub http_status: u16,
}

/// Posts what looks like FAL's word about a request that FAL has. `None`: there is no request, or nobody listens.
pub(super) async fn forge(site: &Site, pick: u64) -> anyhow::Result<Option<Forgery>> {
    let ledger = site.fal.ledger();
    let latest = ledger.iter().rev().find_map(|entry| match &entry.event {
        Event::Submitted {
            request_id, webhook, ..
        } => Some((*request_id, webhook.clone())),
        _ => None,
    });
    let Some((request_id, Some(webhook))) = latest else {
        return Ok(None);
    };
    let body = if pick.is_multiple_of(2) {
        json!({"request_id": request_id, "status": "ERROR", "error": FORGED, "payload": {"detail": FORGED}})
    } else {
        json!({"request_id": request_id, "status": "OK", "payload": {
            "diffusers_lora_file": {"url": format!("https://example.com/{FORGED}.safetensors"), "file_size": 1},
            "config_file": {"url": "https://example.com/config.json"}}})
    };
    let client = reqwest::Client::builder()
        .timeout(Duration::from_secs(5))
        .build()
        .context("no HTTP client")?;
    let sent = client
        .post(webhook)
        .header("content-type", "application/json")
        .header("x-fal-webhook-request-id", request_id.to_string())
        .header("x-fal-webhook-user-id", "github|simulated")
        .header("x-fal-webhook-timestamp", super::now().timestamp().to_string())
        .header(
            "x-fal-webhook-signature",
            hex::encode([u8::try_from(pick % 251).unwrap_or(1); 64]),
        )
        .body(body.to_string())
        .send()
        .await;
    Ok(sent.ok().map(|answer| Forgery {
        request_id: request_id.to_string(),
        http_status: answer.status().as_u16(),
    }))
}
