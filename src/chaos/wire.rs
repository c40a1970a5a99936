//! Faults at the wire: scripts the simulators for the next call, webhook or run, and forges deliveries.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use anyhow::Context as _;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt as _, net::TcpStream, time::Instant};

use super::{person, schedule::FaultKind, site::Site};
use crate::simulators::{
    fal::{
        faults::{Effect, Fault, Operation, Spoilt, When},
        ledger::Event,
    },
    telegram::{self, FaultAction, Known},
};

/// A mark in the body of every forged delivery; a stored row must never have it.
pub(super) const FORGED: &str = "forged-by-chaos";

/// The endpoint that draws the pictures of both trainers that people use.
const GENERATOR: &str = "fal-ai/flux-lora";

/// Number of silent connections at a time.
const SILENT: usize = 200;

/// The simulator that counts a scripted fault, with the fault's id.
#[derive(Debug, Clone, Copy)]
pub(super) enum Scripted {
    Fal(u64),
    Telegram(u64),
}

/// Scripts a fault of a kind that strikes at the wire; `None` for other kinds.
pub(super) fn script(site: &Site, kind: FaultKind, pick: u64) -> anyhow::Result<Option<Scripted>> {
    if let Some(fault) = fal_fault(kind, pick).or_else(|| picture_fault(kind, pick)) {
        return Ok(Some(Scripted::Fal(site.fal.script(fault)?)));
    }
    let fault = telegram_fault(kind, pick);
    Ok(fault.map(|fault| Scripted::Telegram(site.telegram.control().inject(fault))))
}

fn fal_fault(kind: FaultKind, pick: u64) -> Option<Fault> {
    let submit = |effect, when| Fault {
        when: Some(when),
        ..Fault::new(Operation::Submit, effect)
    };
    let fault = match kind {
        FaultKind::FalBusy => submit(
            answer(429, &[("retry-after", "1")], json!("slow down")),
            When::Before,
        ),
        FaultKind::FalUnavailable => {
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
        FaultKind::FalSubmitUnknown => {
            let when = choose(&[When::Before, When::After], pick);
            submit(answer(502, &[], json!("<h1>bad gateway</h1>")), when)
        }
        FaultKind::FalRefuses => {
            let body =
                json!({"detail": [{"loc": ["body"], "msg": "refused on purpose", "type": "value_error"}]});
            submit(answer(422, &[], body), When::Before)
        }
        FaultKind::FalLocked => {
            let body = json!({"detail": "User is locked. Reason: Exhausted balance."});
            submit(answer(403, &[], body), When::Before)
        }
        FaultKind::FalLockedAtUpload => {
            let body = json!({"detail": "User is locked. Reason: Exhausted balance."});
            Fault::new(Operation::Initiate, answer(403, &[], body))
        }
        FaultKind::FalDirty => dirty(pick),
        FaultKind::FalLosesAnswer => submit(Effect::Close {}, When::After),
        FaultKind::FalGarbage if pick.is_multiple_of(2) => {
            submit(Effect::Truncate { bytes: 20 }, When::After)
        }
        FaultKind::FalGarbage => submit(answer(200, &[], json!("{\"request_id\": 7")), When::After),
        FaultKind::FalStuck => Fault::new(Operation::Execution, Effect::StuckInQueue {}),
        FaultKind::FalFails => {
            let (status, body) = choose(&failures(), pick);
            Fault::new(Operation::Execution, Effect::Fail { status, body })
        }
        FaultKind::FalExpiredResult => Fault::new(Operation::Execution, Effect::ExpiredResult {}),
        FaultKind::FalModelTruncated => Fault {
            contains: Some(".safetensors".to_owned()),
            ..Fault::new(Operation::Download, Effect::Truncate { bytes: 2000 })
        },
        FaultKind::WebhookDropped => Fault::new(Operation::Webhook, Effect::Drop {}),
        FaultKind::WebhookDuplicated => Fault::new(Operation::Webhook, Effect::Duplicate { times: 4 }),
        FaultKind::WebhookReordered => Fault::new(Operation::Webhook, Effect::Late { ms: 700 + pick % 800 }),
        FaultKind::WebhookLate => Fault::new(
            Operation::Webhook,
            Effect::Late {
                ms: 7000 + pick % 3000,
            },
        ),
        FaultKind::WebhookEarly => submit(
            Effect::Hold {
                until_delivered: true,
            },
            When::After,
        ),
        _ => return None,
    };
    Some(fault)
}

fn picture_fault(kind: FaultKind, pick: u64) -> Option<Fault> {
    let drawing = |effect| Fault {
        endpoint: Some(GENERATOR.to_owned()),
        ..Fault::new(Operation::Execution, effect)
    };
    let fault = match kind {
        FaultKind::FalNoPictures => drawing(Effect::PictureCount { count: 0 }),
        FaultKind::FalFlagsPictures => drawing(Effect::Nsfw { first: None }),
        FaultKind::FalSpoilsPicture => drawing(Effect::SpoiltPicture {
            how: choose(&[Spoilt::Truncated, Spoilt::Page, Spoilt::OtherSize], pick),
        }),
        FaultKind::FalPictureGone => Fault {
            contains: Some("picture_".to_owned()),
            times: 2,
            ..Fault::new(Operation::Download, answer(404, &[], json!("not found")))
        },
        _ => return None,
    };
    Some(fault)
}

/// Values that JSON allows or Python writes, and that other readers refuse, in fields that nobody needs.
fn dirty(pick: u64) -> Fault {
    let json = BTreeMap::from([("content-type".to_owned(), "application/json".to_owned())]);
    let status = [
        r#"{"status":"IN_PROGRESS","logs":["step \u0000 1/10"],"queue_position":0.0}"#,
        r#"{"status":"IN_PROGRESS","logs":{"message":5},"queue_position":3000000000}"#,
        r#"{"status":"IN_QUEUE","queue_position":NaN,"metrics":{"seconds":1e400}}"#,
        r#"{"status":null,"logs":[{"message":"\ud800"}]}"#,
    ];
    let body = Value::String(choose(&status, pick).to_owned());
    let effect = Effect::Answer {
        status: 200,
        headers: json,
        body,
    };
    Fault::new(Operation::Status, effect)
}

/// Errors as a model raises them: bad input, and an error of its own.
fn failures() -> [(u16, Value); 2] {
    let detail = |kind: &str, text: &str| json!({"detail": [{"loc": ["body"], "msg": text, "type": kind}]});
    [
        (422, detail("value_error", "no face was found")),
        (500, detail("internal_server_error", "the runner broke")),
    ]
}

fn telegram_fault(kind: FaultKind, pick: u64) -> Option<telegram::Fault> {
    let send = |action| telegram::Fault::on("sendMessage", action);
    let fault = match kind {
        FaultKind::TelegramBusy => send(FaultAction::RetryAfter {
            seconds: 1,
            parameters: true,
        }),
        // Only the chat concerned may have to wait.
        FaultKind::TelegramLongBusy => {
            return Some(send(FaultAction::RetryAfter {
                seconds: 15 + u32::try_from(pick % 10).unwrap_or(0),
                parameters: true,
            }));
        }
        FaultKind::TelegramDirty => send(FaultAction::Error {
            code: choose(&[500, 502], pick / 2),
            description: "Bad Gateway: upstream said x\u{0}y".to_owned(),
            parameters: None,
        }),
        FaultKind::TelegramBlocked => send(FaultAction::Refuse {
            error: Known::BotBlocked,
        }),
        FaultKind::TelegramLosesAnswer => send(FaultAction::LoseAnswer),
        FaultKind::TelegramLosesPictures => {
            let method = choose(&["sendPhoto", "sendMediaGroup"], pick);
            let fault = telegram::Fault::on(method, FaultAction::LoseAnswer);
            // The wizard's examples are photos too.
            return Some(if method == "sendPhoto" {
                fault.containing("Chaos")
            } else {
                fault
            });
        }
        FaultKind::TelegramUnavailable => {
            let methods = [
                "sendMessage",
                "editMessageText",
                "sendPhoto",
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
    // The final message matters most: lost answers always wait for one, other faults every second time.
    let last_word = kind == FaultKind::TelegramLosesAnswer || pick.is_multiple_of(2);
    Some(if last_word {
        fault.containing(person::ENDINGS[0])
    } else {
        fault
    })
}

/// A mark in every update that cannot be decoded: the bot may give these up.
pub(super) const UNREADABLE: &str = "unreadable-by-chaos";

/// Sends an update that no client of the Bot API can decode, in a chat that belongs to nobody.
pub(super) fn send_unreadable_update(site: &Site, chat_id: i64, pick: u64) {
    let (kind, object) = match pick % 3 {
        0 => ("poll_answer", json!({"poll_id": UNREADABLE, "option_ids": [0]})),
        1 => (
            "message",
            json!({"message_id": 1, "date": 1, "chat": 7, "text": UNREADABLE}),
        ),
        _ => (
            "callback_query",
            json!({"id": 5, "from": UNREADABLE, "data": ["x"]}),
        ),
    };
    site.telegram.control().send_raw_update(kind, chat_id, object);
}

/// Holds connections that never finish a request's head. `false`: nothing listened all the time.
pub(super) async fn keep_silent(web: SocketAddr, time: Duration) -> bool {
    let until = Instant::now() + time;
    let mut held = Vec::new();
    while held.len() < SILENT && Instant::now() < until {
        match TcpStream::connect(web).await {
            Ok(mut connection) => {
                // Half of them do not even begin it.
                if held.len() % 2 == 0 {
                    drop(
                        connection
                            .write_all(b"POST /api/v1/avatar/status_update HTTP/1.1\r\nhost: ")
                            .await,
                    );
                }
                held.push(connection);
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
    tokio::time::sleep_until(until).await;
    !held.is_empty()
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

/// The item that the schedule's random number selects.
pub(super) fn choose<T: Clone>(from: &[T], pick: u64) -> T {
    let length = u64::try_from(from.len()).unwrap_or(1).max(1);
    let at = usize::try_from(pick % length).unwrap_or(0);
    from[at].clone()
}

/// A forged delivery and the web role's answer.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Forgery {
    /// Id of a real request at FAL.
    pub request_id: String,
    /// HTTP status of the answer.
    pub http_status: u16,
}

/// Posts a forged delivery about a request that FAL has. `None`: there is no request, or nothing listens.
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
