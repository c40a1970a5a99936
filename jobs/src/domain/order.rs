//! Orders: what FAL is asked to make for a user, once, for money. There are two: a model (a training) and pictures (a
//! generation). One saga moves both (`saga.rs`); the tables keep their own words for a status, which are translated here.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{GenerationId, TrainingId, TrainingStatus, avatar::named};

/// What an order makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Product {
    /// An avatar's model: a training. It costs dollars, so a submit of unknown outcome is not repeated, and a model that
    /// comes after the end is kept.
    Model,
    /// Pictures: a generation. They cost cents and are asked for by somebody who waits.
    Pictures,
}

/// The last finished step of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OrderStatus {
    /// What FAL needs for it is being prepared. Pictures need nothing, and start as prepared.
    Preparing,
    /// It waits to be submitted.
    Prepared,
    /// An attempt is committed; FAL may or may not have it.
    Submitting,
    /// FAL has it, its request id is known.
    Submitted,
    /// FAL says OK, the result is stored; what it names is being copied and verified.
    Made,
    /// Its user has what was asked for.
    Completed,
    /// Ended for a reason that its user was told.
    Failed,
    /// The user or an operator called it off.
    Cancelled,
}

named!(
    /// The last finished step of a generation.
    GenerationStatus, "generation status", "generation_status", {
        /// Asked for; the submit is next.
        Requested = "requested",
        /// An attempt is committed; FAL may or may not have it.
        Submitting = "submitting",
        /// FAL has it, its request id is known.
        Submitted = "submitted",
        /// FAL says OK, the result is stored; the pictures are being copied and checked.
        Generated = "generated",
        /// Its pictures are in our bucket.
        Completed = "completed",
        /// Ended for a reason in `failure_code`.
        Failed = "failed",
        /// The user called it off, or its avatar is being deleted.
        Cancelled = "cancelled",
    }
);

/// The row of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum OrderId {
    /// A row of `trainings`.
    #[serde(rename = "training_id")]
    Training(TrainingId),
    /// A row of `generations`.
    #[serde(rename = "generation_id")]
    Generation(GenerationId),
}

impl OrderId {
    /// The id, whichever table it is of. Ids of both tables are random, so none is in both.
    pub const fn uuid(self) -> Uuid {
        match self {
            Self::Training(id) => id.0,
            Self::Generation(id) => id.0,
        }
    }

    /// What the order makes.
    pub const fn product(self) -> Product {
        match self {
            Self::Training(_) => Product::Model,
            Self::Generation(_) => Product::Pictures,
        }
    }

    /// The order as a training. `None`: it is a generation.
    pub const fn training(self) -> Option<TrainingId> {
        match self {
            Self::Training(id) => Some(id),
            Self::Generation(_) => None,
        }
    }

    /// The order as a generation. `None`: it is a training.
    pub const fn generation(self) -> Option<GenerationId> {
        match self {
            Self::Training(_) => None,
            Self::Generation(id) => Some(id),
        }
    }
}

impl From<TrainingId> for OrderId {
    fn from(id: TrainingId) -> Self {
        Self::Training(id)
    }
}

impl From<GenerationId> for OrderId {
    fn from(id: GenerationId) -> Self {
        Self::Generation(id)
    }
}

/// As log lines name it: `training 0192…`, `generation 0192…`.
impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Training(id) => write!(f, "training {id}"),
            Self::Generation(id) => write!(f, "generation {id}"),
        }
    }
}

impl OrderStatus {
    /// Whether no other status follows: completed, failed or cancelled.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }

    /// The order of statuses. `Submitting → Prepared`: the POST certainly created no request. `Prepared → Preparing`: the
    /// archive was lost before it was submitted. `Prepared → Submitted`: proof came that a POST did create a request. A delivery
    /// that overtakes the submit's answer is two transitions: `Submitted` (adopted), then `Made`.
    pub const fn may_become(self, next: Self) -> bool {
        use OrderStatus::{Cancelled, Completed, Failed, Made, Prepared, Preparing, Submitted, Submitting};
        match (self, next) {
            (from, Failed | Cancelled) => !from.is_final(),
            (Preparing, Prepared)
            | (Prepared, Submitting | Submitted | Preparing)
            | (Submitting, Prepared | Submitted)
            | (Submitted, Made)
            | (Made, Completed) => true,
            _ => false,
        }
    }
}

impl From<TrainingStatus> for OrderStatus {
    fn from(status: TrainingStatus) -> Self {
        match status {
            TrainingStatus::Requested => Self::Preparing,
            TrainingStatus::Archived => Self::Prepared,
            TrainingStatus::Submitting => Self::Submitting,
            TrainingStatus::Submitted => Self::Submitted,
            TrainingStatus::Trained => Self::Made,
            TrainingStatus::Completed => Self::Completed,
            TrainingStatus::Failed => Self::Failed,
            TrainingStatus::Cancelled => Self::Cancelled,
        }
    }
}

impl From<GenerationStatus> for OrderStatus {
    fn from(status: GenerationStatus) -> Self {
        match status {
            GenerationStatus::Requested => Self::Prepared,
            GenerationStatus::Submitting => Self::Submitting,
            GenerationStatus::Submitted => Self::Submitted,
            GenerationStatus::Generated => Self::Made,
            GenerationStatus::Completed => Self::Completed,
            GenerationStatus::Failed => Self::Failed,
            GenerationStatus::Cancelled => Self::Cancelled,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> impl Iterator<Item = OrderStatus> {
        TrainingStatus::ALL
            .iter()
            .map(|status| OrderStatus::from(*status))
    }

    #[test]
    fn nothing_follows_a_final_status() {
        for from in all().filter(|status| status.is_final()) {
            for next in all() {
                assert!(!from.may_become(next), "{from:?} → {next:?}");
            }
        }
    }

    #[test]
    fn every_live_status_can_fail_and_be_cancelled() {
        for from in all().filter(|status| !status.is_final()) {
            assert!(from.may_become(OrderStatus::Failed), "{from:?}");
            assert!(from.may_become(OrderStatus::Cancelled), "{from:?}");
        }
    }

    #[test]
    fn both_tables_mean_the_same_by_the_words_that_they_share() {
        for status in GenerationStatus::ALL {
            if let Ok(training) = status.as_str().parse::<TrainingStatus>()
                && *status != GenerationStatus::Requested
            {
                assert_eq!(
                    OrderStatus::from(*status),
                    OrderStatus::from(training),
                    "{status}"
                );
            }
        }
    }
}
