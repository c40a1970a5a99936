//! I9: a delivery that the web role acknowledged is stored, and no forged one is.

use super::{Evidence, Violation};
use crate::simulators::fal::ledger::Event;

/// Checks that each delivery that FAL saw acknowledged is stored, and that each stored one has a verdict.
pub(super) fn acknowledged_means_stored(evidence: &Evidence) -> Vec<Violation> {
    let mut found = Vec::new();
    for entry in &evidence.fal {
        if let Event::WebhookAttempted {
            request_id,
            delivered: true,
            ..
        } = &entry.event
            && !evidence.stored.contains(&request_id.to_string())
        {
            let what = format!("the delivery of request {request_id} was acknowledged and is not stored");
            found.push(Violation::new("I9", what));
        }
    }
    for row in evidence.deliveries.iter().filter(|row| row.disposition.is_none()) {
        found.push(Violation::new(
            "I9",
            format!("the delivery of request {} has no disposition", row.request_id),
        ));
    }
    found
}

/// Checks that no forged delivery was stored or acknowledged.
pub(super) fn none_is_forged(evidence: &Evidence, answers: &[u16]) -> Vec<Violation> {
    let rows = evidence.deliveries.iter().filter(|row| row.forged);
    let stored = rows.map(|row| {
        Violation::new(
            "I9",
            format!("a forged delivery of request {} is stored", row.request_id),
        )
    });
    let acknowledged = answers.iter().filter(|status| (200..300).contains(*status));
    let acknowledged =
        acknowledged.map(|status| Violation::new("I9", format!("a forged delivery was answered {status}")));
    stored.chain(acknowledged).collect()
}
