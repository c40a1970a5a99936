//! I2, I3 and I6: the submits that FAL accepted, their results, and our copies of them.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;

use uuid::Uuid;

use super::{Evidence, Violation};
use crate::{
    chaos::{
        evidence::{AttemptRow, TrainingRecord, ended_well},
        site::RESUBMIT_AFTER,
    },
    simulators::fal::ledger::Event,
};

/// I2: every submit that FAL accepted belongs to an attempt of ours, and a training has a second one only
/// after the first had ended in an error. Pictures may be asked for a second time, once the first attempt's fate has been
/// unknown for `generation.resubmit_after`.
pub(super) fn accepted_once(evidence: &Evidence) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut accepted: BTreeMap<Uuid, Vec<(Uuid, &AttemptRow)>> = BTreeMap::new();
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
                let Some(attempt) = evidence.attempt_of(event) else {
                    found.push(Violation::new(
                        "I2",
                        format!("FAL accepted request {request_id}, of no attempt of ours"),
                    ));
                    continue;
                };
                let order = attempt.order_id;
                let before = accepted.entry(order).or_default();
                let mut live = before
                    .iter()
                    .filter(|(earlier, _)| ended.get(earlier).is_none_or(|status| *status == 200));
                let is_allowed = match (live.next(), live.next()) {
                    (None, _) => true,
                    (Some((_, first)), None) => may_follow(first, attempt),
                    _ => false,
                };
                if !is_allowed {
                    let what = if attempt.is_for_pictures {
                        "the pictures"
                    } else {
                        "training"
                    };
                    found.push(Violation::new(
                        "I2",
                        format!("FAL accepted {what} {order} a second time, as {request_id}"),
                    ));
                }
                before.push((*request_id, attempt));
            }
            _ => {}
        }
    }
    found
}

/// Whether pictures may have been asked for a second time.
fn may_follow(first: &AttemptRow, second: &AttemptRow) -> bool {
    let waited = second.created_at.signed_duration_since(first.created_at);
    let least = TimeDelta::from_std(RESUBMIT_AFTER).unwrap_or(TimeDelta::MAX);
    second.is_for_pictures && waited >= least
}

/// Number of submits that FAL accepted while an earlier one of the same training or pictures ran or had succeeded.
pub(in crate::chaos) fn doubles(evidence: &Evidence) -> usize {
    let second = |violation: &Violation| violation.what.contains("a second time");
    accepted_once(evidence)
        .iter()
        .filter(|violation| second(violation))
        .count()
}

/// Number of times that FAL accepted pictures again, as it was allowed to.
pub(in crate::chaos) fn asked_again(evidence: &Evidence) -> usize {
    let submits = evidence
        .fal
        .iter()
        .filter_map(|entry| evidence.attempt_of(&entry.event));
    let mut times: BTreeMap<Uuid, usize> = BTreeMap::new();
    for attempt in submits.filter(|attempt| attempt.is_for_pictures) {
        *times.entry(attempt.order_id).or_default() += 1;
    }
    times.values().map(|times| times - 1).sum()
}

/// I3: a completed training has the result of its own request, which FAL ended well. If FAL ended a request
/// well, we have its result, or the training was cancelled, or the model was broken. A result that came after
/// its training had failed must be there too, since we paid for it (K13).
pub(super) fn results_are_their_own(evidence: &Evidence) -> Vec<Violation> {
    let mut found = Vec::new();
    let well: BTreeSet<String> = evidence.fal.iter().filter_map(ended_well).collect();
    for training in &evidence.trainings {
        let TrainingRecord {
            id,
            request_id: request,
            failure_code: code,
            ..
        } = training;
        let is_well = request.as_ref().is_some_and(|request| well.contains(request));
        match (training.status.as_str(), is_well) {
            ("completed", false) => found.push(Violation::new(
                "I3",
                format!("training {id} is completed by request {request:?}, which FAL did not end well"),
            )),
            ("failed", true)
                if !training.is_deleted
                    && !is_lost_result(code.as_deref())
                    && !has_late_model(evidence, training) =>
            {
                let what = format!(
                    "FAL ended request {request:?} well, and training {id} failed ({code:?}) without its model: {:?} in {:?}",
                    training.late_model, training.late_model_key
                );
                found.push(Violation::new("I3", what));
            }
            _ => {}
        }
    }
    found
}

/// The result may have expired, or its model may be broken for good; each has a code of its own.
fn is_lost_result(code: Option<&str>) -> bool {
    matches!(code, Some("model_invalid" | "provider_failed"))
}

/// Whether the late model is in the bucket.
fn has_late_model(evidence: &Evidence, training: &TrainingRecord) -> bool {
    let copy = training
        .late_model_key
        .as_ref()
        .and_then(|key| evidence.objects.get(key));
    training.late_model.as_deref() == Some("settled") && copy.is_some_and(|(bytes, _)| *bytes > 0)
}

/// I6, by size and hash of the object in the bucket.
pub(super) fn completed_means_verified(evidence: &Evidence) -> Vec<Violation> {
    let mut found = Vec::new();
    for training in evidence
        .trainings
        .iter()
        .filter(|training| training.status == "completed" && !training.is_deleted)
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

/// Number of calls that FAL received, without the events that FAL caused itself.
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
                | Event::Erased { .. }
                | Event::RequestsListed { .. }
                | Event::KeysFetched
        )
    });
    by_us.count() as u64
}
