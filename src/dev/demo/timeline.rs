//! Tells the story in order of time, from the evidence.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::evidence::{DemoEvidence, is_of_pictures};
use crate::simulators::fal::ledger::Event;

/// An event of the story.
#[derive(Debug, Serialize)]
pub(super) struct TimelineEvent {
    /// Seconds since the user's first message.
    pub seconds: f64,
    /// Who acted: `user`, `bot`, `worker`, `FAL` and so on.
    pub actor: &'static str,
    /// The action in words.
    pub what: String,
}

impl fmt::Display for TimelineEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {:>7.3} s  {:<8}  {}", self.seconds, self.actor, self.what)
    }
}

/// The events worth telling, oldest first.
pub(super) fn of(evidence: &DemoEvidence) -> Vec<TimelineEvent> {
    let mut told: Vec<(DateTime<Utc>, &'static str, String)> =
        vec![(evidence.first_update_at, "user", "/start".to_owned())];
    told.extend(database(evidence));
    told.extend(
        evidence
            .ledger
            .iter()
            .filter_map(|entry| Some((entry.at, "FAL", fal(&entry.event)?))),
    );
    for claim in &evidence.claims {
        let word = if claim.outcome == "lost" {
            "was lost with its worker and put back"
        } else {
            &claim.outcome
        };
        told.push((
            claim.ended_at,
            "queue",
            format!("{}: attempt {} {word}", claim.kind, claim.attempt),
        ));
    }
    if let Some(last) = evidence.chat.last()
        && let Some(at) =
            DateTime::from_timestamp(last.date, 0).filter(|_| evidence.training.finished_at.is_some())
    {
        // Telegram dates messages in whole seconds; the final message is never shown before its cause.
        told.push((
            evidence
                .training
                .finished_at
                .map_or(at, |finished| at.max(finished)),
            "Telegram",
            "final message delivered".to_owned(),
        ));
    }
    told.sort_by_key(|(at, ..)| *at);
    let start = evidence.first_update_at;
    told.into_iter()
        .map(|(at, actor, what)| TimelineEvent {
            seconds: (at - start).as_seconds_f64(),
            actor,
            what,
        })
        .collect()
}

fn database(evidence: &DemoEvidence) -> Vec<(DateTime<Utc>, &'static str, String)> {
    let training = &evidence.training;
    let model = match (&training.model_key, &training.finetune_id) {
        (Some(key), _) => format!(
            "model of {} bytes verified and stored as {key}",
            training.model_bytes.unwrap_or(0)
        ),
        (None, finetune) => format!("finetune {finetune:?} verified"),
    };
    let moments = [
        (
            evidence.photos_stored_at,
            "worker",
            format!("{} photos in the bucket", evidence.photos_sent),
        ),
        (
            Some(training.created_at),
            "user",
            format!(
                "starts the training ({}, trigger {})",
                training.trainer, training.trigger_phrase
            ),
        ),
        (
            training.archived_at,
            "worker",
            format!(
                "{} photos packed, {} bytes",
                training.archive_photos.unwrap_or(0),
                training.archive_bytes.unwrap_or(0)
            ),
        ),
        (
            training.submitted_at,
            "worker",
            format!(
                "knows FAL's request {}",
                training.request_id.as_deref().unwrap_or("?")
            ),
        ),
        (
            training.trained_at,
            "worker",
            format!(
                "learnt by {} that it is trained",
                training.result_source.as_deref().unwrap_or("?")
            ),
        ),
        (training.finished_at, "worker", model),
    ];
    moments
        .into_iter()
        .filter_map(|(at, actor, what)| Some((at?, actor, what)))
        .collect()
}

fn fal(event: &Event) -> Option<String> {
    Some(match event {
        Event::Submitted { endpoint, input, .. } if is_of_pictures(input) => {
            format!(
                "accepts a request for pictures on {endpoint}: {}",
                input["prompt"]
            )
        }
        Event::Submitted { endpoint, .. } => format!("accepts a training on {endpoint}"),
        Event::Drawn { pictures, .. } => format!("pictures drawn: {}", pictures.len()),
        Event::ArchiveChecked {
            facts: Some(facts), ..
        } => {
            format!(
                "fetched the archive: {} photos, sha256 {}…",
                facts.images,
                facts.sha256.get(..12).unwrap_or_default()
            )
        }
        Event::ArchiveChecked {
            refused: Some(why), ..
        } => format!("refuses the archive: {why}"),
        Event::RunEnded { http_status, .. } => format!("is done with it ({http_status})"),
        Event::WebhookAttempted {
            delivered,
            attempt,
            http_status,
            ..
        } => {
            let answer = http_status.map_or("no answer".to_owned(), |status| status.to_string());
            format!(
                "webhook, attempt {attempt}: {answer}{}",
                if *delivered { "" } else { ", not delivered" }
            )
        }
        Event::WebhookGivenUp { reason, .. } => format!("sends no webhook: {reason}"),
        _ => return None,
    })
}
