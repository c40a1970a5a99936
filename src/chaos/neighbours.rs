//! The people whom a fault does not concern. Once everything is at rest, faults strike some chats or one dependency, and
//! strangers come meanwhile: each says /start for the first time and must be answered within [`BOUND`].
//!
//! After the storm, not in it: under a whole schedule a stranger's answer is late because Postgres is down or the bot
//! was just killed, and nothing could be told from its delay.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use serde::Serialize;
use tokio::{task::JoinHandle, time::Instant};

use super::{site::Site, wire};
use crate::simulators::telegram::{Fault, FaultAction, MessageFilter, NewUser};

/// The longest that somebody who is not concerned may wait.
pub const BOUND: Duration = Duration::from_secs(2);
/// After this nobody waits any longer.
const GIVEN_UP: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(20);
/// Telegram's ids of those whom faults strike, and of those who come by.
const VICTIMS: i64 = 200_000;
const STRANGERS: i64 = 300_000;
/// Who comes by while a fault is there, one after the other.
const STRANGERS_OF_A_FAULT: i64 = 3;
/// As many as the workers have slots for messages: a fault that holds a slot would hold them all.
const DIRTY_CHATS: i64 = 18;

/// How somebody was served who was not concerned.
#[derive(Debug, Clone, Serialize)]
pub struct Served {
    /// What was going on.
    pub meanwhile: &'static str,
    /// From the first word to the answer; `None`: there was none within twenty seconds.
    pub seconds: Option<f64>,
}

const TROUBLES: [&str; 5] = [
    "three chats are told to wait, one of them for long",
    "updates that nobody can read",
    "errors with a NUL in their text",
    "connections to web that stay silent",
    "a held snapshot and frozen listeners",
];

/// Brings each trouble about and lets strangers in.
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

/// Returns once the trouble is there. `Some`: it ends by itself, and web is concerned.
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

/// A new person writes, and Telegram's answer to the first message for them is this one. Returns when it was given.
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

/// As an orchestrator asks whether web lives.
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
