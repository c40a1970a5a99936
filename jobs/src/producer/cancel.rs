//! An operator cancels a training. (A user does it with `Turn::stop`.)

use serde::Serialize;
use uuid::Uuid;

use super::{Producer, ProducerError};
use crate::{
    domain::{AvatarId, EndReason, TrainingId, TrainingStatus},
    saga::{self, Asked},
    store::{
        orders::{self, Order},
        trainings,
    },
};

/// The result of an operator's cancellation, or of a dry run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cancellation {
    /// The training that was cancelled or found.
    pub training_id: TrainingId,
    /// The avatar of that training.
    pub avatar_id: AvatarId,
    /// Its status before the cancellation.
    pub was: TrainingStatus,
    /// What the cancellation did, or would do.
    pub outcome: CancelledTraining,
}

/// What a cancellation did, or would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CancelledTraining {
    /// FAL had no request of it: it is cancelled.
    Cancelled,
    /// FAL is being asked to stop it, or will be once the request of an ambiguous submit is known.
    Stopping,
    /// Its cancellation was requested before.
    AlreadyStopping,
    /// It is trained, and its model is being stored: nothing was changed.
    TooLate,
    /// It had ended: nothing was changed.
    Over,
}

impl From<Asked> for CancelledTraining {
    fn from(asked: Asked) -> Self {
        match asked {
            Asked::Ended => Self::Cancelled,
            Asked::Stopping => Self::Stopping,
            Asked::Already => Self::AlreadyStopping,
            Asked::TooLate => Self::TooLate,
            Asked::Over => Self::Over,
        }
    }
}

impl Producer {
    /// Cancels a training by its id, or by its avatar's id the newest training of an avatar: at once if FAL has no
    /// request of it, otherwise FAL is asked to stop. Its owner is told. `dry_run` returns what would happen, and
    /// changes nothing. `None`: there is no such training.
    pub async fn cancel_training(
        &self,
        id: Uuid,
        reason: &str,
        dry_run: bool,
    ) -> Result<Option<Cancellation>, ProducerError> {
        let mut tx = self.database.begin().await?;
        let Some(id) = trainings::newest(&mut tx, id).await? else {
            return Ok(None);
        };
        let Some(order) = orders::lock(&mut tx, id.into()).await? else {
            return Ok(None);
        };
        let Order::Training(training) = &*order else {
            return Ok(None);
        };
        let (avatar_id, was) = (training.avatar_id, training.status);
        let asked = saga::asked_to_end(&mut tx, order, EndReason::Operator, Some(reason)).await?;
        // The dry run uses the same code, so that it cannot promise anything else.
        if dry_run {
            tx.rollback().await?;
        } else {
            tx.commit().await?;
        }
        Ok(Some(Cancellation {
            training_id: id,
            avatar_id,
            was,
            outcome: asked.into(),
        }))
    }
}
