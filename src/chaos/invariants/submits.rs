//! I2, I3 and I6: what FAL was asked for, what it made, and what we have of it.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{Evidence, Violation};
use crate::simulators::fal::ledger::Event;

/// I2. Every submit that FAL accepted belongs to an attempt of ours, and a training has a second one only after the
/// first had ended in an error.
pub(super) fn accepted_once(evidence: &Evidence) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut accepted: BTreeMap<Uuid, Vec<Uuid>> = BTreeMap::new();
    let mut ended: BTreeMap<Uuid, u16> = BTreeMap::new();
    for entry in &evidence.fal {
        match &entry.event {
            Event::RunEnded {
                request_id,
                http_status,
            } => {
                ended.insert(*request_id, *http_status);
            }
            event @ Event::Submitted { request_id, .. } => {
                let Some(training) = evidence.training_of(event) else {
                    found.push(Violation::new(
                        "I2",
                        format!("FAL accepted request {request_id}, of no attempt of ours"),
                    ));
                    continue;
                };
                let before = accepted.entry(training).or_default();
                if before
                    .iter()
                    .any(|earlier| ended.get(earlier).is_none_or(|status| *status == 200))
                {
                    found.push(Violation::new(
                        "I2",
                        format!("FAL accepted training {training} a second time, as {request_id}"),
                    ));
                }
                before.push(*request_id);
            }
            _ => {}
        }
    }
    found
}

/// How many submits FAL accepted while an earlier one of the same training ran or had succeeded.
pub(in crate::chaos) fn doubles(evidence: &Evidence) -> usize {
    let second = |violation: &Violation| violation.what.contains("a second time");
    accepted_once(evidence)
        .iter()
        .filter(|violation| second(violation))
        .count()
}

/// I3. A completed training has the result of its own request, which FAL ended well; a request that FAL ended well
/// is had, or its training was cancelled, or its model was spoilt.
pub(super) fn results_are_their_own(evidence: &Evidence) -> Vec<Violation> {
    let mut found = Vec::new();
    let well: BTreeMap<String, bool> = evidence
        .fal
        .iter()
        .filter_map(|entry| match &entry.event {
            Event::RunEnded {
                request_id,
                http_status,
            } => Some((request_id.to_string(), *http_status == 200)),
            _ => None,
        })
        .collect();
    for training in &evidence.trainings {
        let id = training.id;
        let request = training.request_id.as_deref();
        match (
            training.status.as_str(),
            request.and_then(|request| well.get(request)),
        ) {
            ("completed", Some(true)) => {}
            ("completed", _) => found.push(Violation::new(
                "I3",
                format!("training {id} is completed by request {request:?}, which FAL did not end well"),
            )),
            // Its result may have expired, or its model have been spoilt for good: both have codes of their own.
            ("failed", Some(true)) if !is_lost_result(training.failure_code.as_deref()) => {
                found.push(Violation::new(
                    "I3",
                    format!(
                        "FAL ended request {request:?} well, and training {id} failed ({:?})",
                        training.failure_code
                    ),
                ));
            }
            _ => {}
        }
    }
    found
}

fn is_lost_result(code: Option<&str>) -> bool {
    matches!(code, Some("model_invalid" | "provider_failed" | "timed_out"))
}

/// I6. By size and hash of what really lies there.
pub(super) fn completed_means_verified(evidence: &Evidence) -> Vec<Violation> {
    let mut found = Vec::new();
    for training in evidence
        .trainings
        .iter()
        .filter(|training| training.status == "completed")
    {
        let id = training.id;
        let mut wrong = |what: String| {
            found.push(Violation::new(
                "I6",
                format!("training {id} is completed, {what}"),
            ));
        };
        if training.avatar_status != "completed" {
            wrong(format!("its avatar is {}", training.avatar_status));
        }
        let trainer = if training.training_type == "style" {
            "fast-training"
        } else {
            "portrait-trainer"
        };
        if !training
            .endpoint
            .as_deref()
            .is_some_and(|endpoint| endpoint.contains(trainer))
        {
            wrong(format!("a {} by {:?}", training.training_type, training.endpoint));
        }
        let recorded = (
            training.model_bytes.and_then(|bytes| u64::try_from(bytes).ok()),
            training.model_sha256.clone(),
        );
        let lies_there = training
            .model_key
            .as_ref()
            .and_then(|key| evidence.objects.get(key));
        match lies_there {
            None => wrong(format!("no object {:?} is in the bucket", training.model_key)),
            Some((bytes, sha256)) if recorded != (Some(*bytes), Some(sha256.clone())) => {
                wrong("its model is not what was recorded".to_owned());
            }
            Some((0, _)) => wrong("its model is empty".to_owned()),
            Some(_) => {}
        }
    }
    found
}

/// Calls that FAL saw, its own deeds apart.
pub(super) fn calls(evidence: &Evidence) -> u64 {
    let by_us = evidence.fal.iter().filter(|entry| {
        matches!(
            entry.event,
            Event::Submitted { .. }
                | Event::SubmitRefused { .. }
                | Event::Polled { .. }
                | Event::Cancelled { .. }
                | Event::UploadInitiated { .. }
                | Event::Uploaded { .. }
                | Event::Downloaded { .. }
                | Event::RequestsListed { .. }
                | Event::KeysFetched
        )
    });
    by_us.count() as u64
}
