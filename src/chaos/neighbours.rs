//! Measures how people are served who are not affected by a fault. When the system is at rest, faults strike
//! some chats or one dependency. Meanwhile strangers write /start for the first time, and each must be
//! answered within [`BOUND`].
//!
//! This comes after the schedule of faults, not during it: during it a stranger's answer is late because
//! Postgres is down or the bot was just killed, so the delay would prove nothing.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use serde::Serialize;
use tokio::{task::JoinHandle, time::Instant};

use super::{site::Site, wire};
use crate::simulators::telegram::{Fault, FaultAction, MessageFilter, NewUser};

/// The longest that an unaffected person may wait.
pub const BOUND: Duration = Duration::from_secs(2);
/// A person without an answer gives up after this time.
const GIVEN_UP: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(20);
/// First Telegram ids of people whom faults strike, and of strangers.
const VICTIMS: i64 = 200_000;
const STRANGERS: i64 = 300_000;
/// How many strangers come during each fault, one after the other.
const STRANGERS_OF_A_FAULT: i64 = 3;
/// As many as the workers have slots for messages: if each such fault held a slot, all would be held.
const DIRTY_CHATS: i64 = 18;

/// How long an unaffected person waited.
#[derive(Debug, Clone, Serialize)]
pub struct Served {
    /// The fault that was active.
    pub meanwhile: &'static str,
    /// Seconds from the first message to the answer; `None`: no answer within twenty seconds.
    pub seconds: Option<f64>,
}

const TROUBLES: [&str; 5] = [
    "three chats are told to wait, one of them for long",
    "updates that nobody can read",
    "errors with a NUL in their text",
    "connections to web that stay silent",
    "a held snapshot and frozen listeners",
];

/// Injects one fault after the other, and lets strangers come during each.
pub(super) async fn visit(site: &Arc<Site>) -> anyhow::Result<Vec<Served>> {
    let mut served = Vec::new();
    for (nth, meanwhile) in (0_i64..).zip(TROUBLES) {
        let under_way = bring_about(site, nth, meanwhile).await?;
        for stranger in 0..STRANGERS_OF_A_FAULT {
            let id = STRANGERS + nth * STRANGERS_OF_A_FAULT + stranger;
            served.push(Served {
                meanwhile,
                seconds: says_start(site, id).await?,
            });
        }
        if let Some(silence) = under_way {
            served.push(Served {
                meanwhile,
                seconds: probe(site).await,
            });
            silence.await.context("the trouble was cut off")?;
        }
    }
    Ok(served)
}

/// Returns when the fault is active. `Some`: a task that ends it by itself; the fault then affects the web
/// role.
async fn bring_about(site: &Arc<Site>, nth: i64, trouble: &str) -> anyhow::Result<Option<JoinHandle<()>>> {
    let victim = |of: i64| VICTIMS + nth * 1000 + of;
    match nth {
        0 => {
            for (of, seconds) in (0_i64..).zip([1, 1, 8]) {
                let parameters = true;
                let busy = FaultAction::RetryAfter { seconds, parameters };
                strike(site, victim(of), busy).await?;
            }
        }
        1 => {
            for of in 0..6 {
                wire::send_unreadable_update(site, victim(of), of.unsigned_abs());
            }
        }
        2 => {
            for of in 0..DIRTY_CHATS {
                let dirty = FaultAction::Error {
                    code: 502,
                    description: "Bad Gateway: upstream said x\u{0}y".to_owned(),
                    parameters: None,
                };
                strike(site, victim(of), dirty).await?;
            }
        }
        3 => {
            let web = site.web;
            let silent = async move {
                wire::keep_silent(web, Duration::from_secs(4)).await;
            };
            return Ok(Some(tokio::spawn(silent)));
        }
        4 => {
            site.postgres.freeze_listeners();
            let site = Arc::clone(site);
            let held = async move { drop(site.hold_snapshot(Duration::from_secs(4)).await) };
            return Ok(Some(tokio::spawn(held)));
        }
        _ => anyhow::bail!("nobody knows how to bring about: {trouble}"),
    }
    Ok(None)
}

/// Lets a new person write, and answers the bot's first message to them with this fault. Returns when it has
/// struck.
async fn strike(site: &Site, id: i64, action: FaultAction) -> anyhow::Result<()> {
    let telegram = site.telegram.control();
    let fault = telegram.inject(Fault::on("sendMessage", action).in_chat(id));
    person(site, id).send_text("/start")?;
    let struck = || {
        let mut faults = telegram.faults().into_iter();
        faults.any(|scripted| scripted.id == fault && scripted.struck > 0)
    };
    let until = Instant::now() + GIVEN_UP;
    while !struck() && Instant::now() < until {
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

fn person(site: &Site, id: i64) -> crate::simulators::telegram::SimUser {
    site.telegram.control().create_user(NewUser {
        id: Some(id),
        first_name: Some("Nora".to_owned()),
        language_code: Some("en".to_owned()),
        ..NewUser::default()
    })
}

async fn says_start(site: &Site, id: i64) -> anyhow::Result<Option<f64>> {
    let began = Instant::now();
    person(site, id).send_text("/start")?;
    let from_bot = MessageFilter {
        chat_id: Some(id),
        ..MessageFilter::from_bot()
    };
    while began.elapsed() < GIVEN_UP {
        if !site.telegram.control().messages(&from_bot).is_empty() {
            return Ok(Some(began.elapsed().as_secs_f64()));
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(None)
}

/// Time of a health check of the web role, as an orchestrator makes it.
async fn probe(site: &Site) -> Option<f64> {
    let began = Instant::now();
    let client = reqwest::Client::builder().timeout(GIVEN_UP).build().ok()?;
    let answer = client
        .get(format!("http://{}/livez", site.web))
        .send()
        .await
        .ok()?;
    answer
        .status()
        .is_success()
        .then(|| began.elapsed().as_secs_f64())
}
