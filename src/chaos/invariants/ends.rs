//! I1, I4, I5, I7 and I8: every training and job ends, ends once, and its owner is told. Albums: `pictures.rs`.

use std::collections::BTreeMap;

use super::{Evidence, Violation};

/// How many failures the faults explain. A dead letter or a failure beyond these counts is our own.
#[derive(Debug, Clone, Default)]
pub struct Unwinnable {
    /// Number of submits that FAL refused for good.
    pub refused: usize,
    /// Number of results without a picture that can be used.
    pub pictureless: usize,
    /// Number of models that could not be downloaded or were broken.
    pub spoilt: usize,
}

const FINAL: [&str; 3] = ["completed", "failed", "cancelled"];

/// I1 and I5: nothing is under way at rest, and nothing that was accepted is missing.
pub(super) fn everything_ends(evidence: &Evidence, unrest: Option<&str>) -> Vec<Violation> {
    let mut found = Vec::new();
    if let Some(what) = unrest {
        found.push(Violation::new(
            "I1",
            format!("the system did not come to rest: {what}"),
        ));
    }
    for training in &evidence.trainings {
        if !FINAL.contains(&training.status.as_str()) {
            found.push(Violation::new(
                "I1",
                format!("training {} is still {}", training.id, training.status),
            ));
        } else if training.avatar_status == "training" && !training.is_deleted {
            let what = format!(
                "training {} is {}, its avatar still waits",
                training.id, training.status
            );
            found.push(Violation::new("I5", what));
        }
    }
    for job in &evidence.live_jobs {
        let what = format!(
            "job {} ({}) is still {} after {} attempts: {:?}",
            job.id, job.kind, job.state, job.attempt, job.error
        );
        found.push(Violation::new("I1", what));
    }
    for (update, error) in &evidence.lost_updates {
        let what = format!(
            "update {update} of Telegram's had no effect: {}",
            error.as_deref().unwrap_or("not handled")
        );
        found.push(Violation::new("I1", what));
    }
    found
}

/// What a chat was told, and what it had to be told.
#[derive(Default)]
struct Told {
    /// Number of final messages that Telegram accepted.
    messages: i64,
    /// Number of trainings that ended.
    ends: i64,
    /// How many of these had an avatar that its user deleted: nobody need be told.
    deleted: i64,
    /// Number of sends that were recorded as possible duplicates.
    counted_twice: i64,
}

fn told(evidence: &Evidence) -> BTreeMap<i64, Told> {
    let mut chats: BTreeMap<i64, Told> = BTreeMap::new();
    for message in &evidence.finals {
        chats.entry(message.chat_id).or_default().messages += 1;
    }
    let ended = evidence.trainings.iter();
    for training in ended.filter(|training| FINAL.contains(&training.status.as_str())) {
        let told = chats.entry(training.chat_id).or_default();
        told.ends += 1;
        told.deleted += i64::from(training.is_deleted);
        told.counted_twice += training.possible_duplicates;
    }
    chats
}

/// I4, by the messages that Telegram accepted.
pub(super) fn ends_are_told(evidence: &Evidence) -> Vec<Violation> {
    let wrong = |(chat, told): (i64, Told)| {
        let Told {
            messages,
            ends,
            deleted,
            counted_twice,
        } = told;
        if messages < ends - deleted {
            Some(format!(
                "chat {chat}: {ends} trainings ended, {messages} ends were told"
            ))
        } else if messages > ends + counted_twice {
            Some(format!(
                "chat {chat}: {messages} final messages of {ends} ended trainings, and {counted_twice} counted as perhaps twice"
            ))
        } else {
            None
        }
    };
    let found = told(evidence).into_iter().filter_map(wrong);
    found.map(|what| Violation::new("I4", what)).collect()
}

/// Number of final messages beyond one per training.
pub(in crate::chaos) fn duplicate_messages(evidence: &Evidence) -> usize {
    let beyond = told(evidence)
        .into_values()
        .map(|told| (told.messages - told.ends).max(0));
    usize::try_from(beyond.sum::<i64>()).unwrap_or(0)
}

/// I7: a dead letter that a fault explains has that fault's own code; every other one is a violation. FAL refuses trainings
/// and pictures alike.
pub(super) fn dead_letters_are_explained(evidence: &Evidence, unwinnable: &Unwinnable) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut left = BTreeMap::from([
        ("fal_refused", unwinnable.refused),
        ("model_invalid", unwinnable.spoilt),
        ("no_picture", unwinnable.pictureless),
    ]);
    for job in &evidence.dead_jobs {
        let code = job.error_code.as_deref().unwrap_or_default();
        let is_known = matches!(
            (job.kind.as_str(), code),
            ("submit_training" | "generate_images", "fal_refused")
                | ("store_model", "model_invalid")
                | ("store_pictures", "no_picture")
        );
        let budget = left.get_mut(code).filter(|_| is_known);
        match budget {
            Some(left) if *left > 0 => *left -= 1,
            _ => {
                let what = format!(
                    "job {} ({}) is dead after {} attempts, {code}: {:?}",
                    job.id, job.kind, job.attempt, job.error
                );
                found.push(Violation::new("I7", what));
            }
        }
    }
    found
}

/// I7: every simulated person sends good photos, so a failure that blames photos is our own fault or the
/// store's.
pub(super) fn nobody_is_blamed(evidence: &Evidence) -> Vec<Violation> {
    let blamed = evidence
        .trainings
        .iter()
        .filter(|training| training.failure_code.as_deref() == Some("too_few_photos"));
    let what = blamed.map(|training| format!("training {} failed for photos that are good", training.id));
    what.map(|what| Violation::new("I7", what)).collect()
}

/// I8, by the triggers that the suite adds to the database.
pub(super) fn nobody_commits_twice(evidence: &Evidence) -> Vec<Violation> {
    let jobs = evidence.ended_twice.iter().map(|job| {
        Violation::new(
            "I8",
            format!(
                "job {} ({}) ended more than once: {}",
                job.id, job.kind, job.state
            ),
        )
    });
    let left_final = evidence.left_final.iter();
    let left_final = left_final
        .map(|(what, id, from, to)| Violation::new("I8", format!("{what} {id} went from {from} to {to}")));
    jobs.chain(left_final).collect()
}
