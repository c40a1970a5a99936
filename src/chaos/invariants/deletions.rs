//! I10: nothing is left of what users had deleted.

use std::collections::BTreeSet;

use super::{Evidence, Violation};
use crate::simulators::fal::ledger::Event;

/// Checks rows, bucket and FAL, and that users were told. A deletion that is not done waits for FAL, which may still finish
/// what was given up; if it has no such reason, the system was not at rest (I1).
pub(super) fn nothing_is_left(evidence: &Evidence) -> Vec<Violation> {
    let erased: BTreeSet<String> = evidence
        .fal
        .iter()
        .filter_map(|entry| match &entry.event {
            Event::Erased { request_id, .. } => Some(request_id.to_string()),
            _ => None,
        })
        .collect();
    let mut found = Vec::new();
    for deletion in &evidence.deletions {
        let what = if deletion.is_of_user {
            "the user"
        } else {
            "the avatar"
        };
        let of = format!("{what} {} of chat {}", deletion.folder, deletion.chat_id);
        if !deletion.is_done {
            if !deletion.waits_for_fal {
                found.push(Violation::new("I1", format!("{of} is not erased")));
            }
            continue;
        }
        let mut left = |what: String| found.push(Violation::new("I10", format!("{of} is erased, {what}")));
        if !deletion.mentions.is_empty() {
            left(format!("and rows name it: {:?}", deletion.mentions));
        }
        if !deletion.objects.is_empty() {
            left(format!("and the bucket has {:?}", deletion.objects));
        }
        for request in deletion
            .requests
            .iter()
            .filter(|request| !erased.contains(*request))
        {
            left(format!("and FAL keeps request {request}"));
        }
        if deletion.is_of_user && deletion.receipts == 0 {
            left("and its user was not told".to_owned());
        }
    }
    found
}
