//! An operator ends a training. (A user does it by `Turn::stop`.)

use queue::database;
use serde::Serialize;
use uuid::Uuid;

use super::{Producer, ProducerError};
use crate::{
    domain::{AvatarId, EndReason, TrainingId, TrainingStatus},
    saga::{self, Asked},
    store::trainings,
};

/// What an operator's wish to end a training did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cancellation {
    /// Which training.
    pub training_id: TrainingId,
    /// Whose.
    pub avatar_id: AvatarId,
    /// Where it was.
    pub was: TrainingStatus,
    /// What became of the wish.
    pub outcome: CancelledTraining,
}

/// What became of the wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CancelledTraining {
    /// Nothing of it was at FAL: it is cancelled.
    Cancelled,
    /// FAL is being asked to stop it; or will be, once the request of an ambiguous submit is known.
    Stopping,
    /// That was asked for before.
    AlreadyStopping,
    /// It is trained, its model is being stored: nothing was changed.
    TooLate,
    /// It is over: nothing was changed.
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
    /// Ends a training by its id, or the newest one of an avatar by the avatar's: at once while nothing of it is at FAL, else
    /// FAL is asked to stop. Its owner is told. `dry_run` says what would happen, and changes nothing. `None`: there is no
    /// training.
    pub async fn cancel_training(
        &self,
        id: Uuid,
        reason: &str,
        dry_run: bool,
    ) -> Result<Option<Cancellation>, ProducerError> {
        let mut tx = database::begin(&self.pool).await?;
        let Some(id) = trainings::newest(&mut tx, id).await? else {
            return Ok(None);
        };
        let Some(training) = trainings::lock(&mut tx, id).await? else {
            return Ok(None);
        };
        let (avatar_id, was) = (training.avatar_id, training.status);
        let asked = saga::asked_to_end(&mut tx, training, EndReason::Operator, Some(reason)).await?;
        // The dry run is the same code, so that it cannot promise anything else.
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
