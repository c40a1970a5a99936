//! The facts that only a training knows: its archive, the account's limit of trainings a day, and its model.

use std::time::Duration;

use sqlx::PgConnection;

use super::{Effect, SagaError, apply, apply_locked, ending, pictures};
use crate::{
    domain::{Fact, FailureCode, OrderStatus, Stage, TrainingId, TrainingSource, Transition},
    enqueue::EnqueueError,
    notifications,
    store::{
        orders::{self, Order},
        trainings::{self, StoredArchive, VerifiedModel},
    },
};

/// Tells the owner that the account's trainings of the day are used up, and that this one goes on in `wait`.
pub(crate) async fn booked(
    tx: &mut PgConnection,
    id: TrainingId,
    wait: Duration,
) -> Result<(), EnqueueError> {
    let locked = orders::lock(tx, id.into()).await?;
    match locked.as_deref() {
        Some(order @ Order::Training(training)) if order.status() == OrderStatus::Prepared => {
            notifications::progress(tx, training.into(), Stage::Booked { wait }).await
        }
        _ => Ok(()),
    }
}

/// requested → archived: the submit is next.
pub(crate) async fn archived(
    tx: &mut PgConnection,
    id: TrainingId,
    archive: &StoredArchive,
) -> Result<Effect, SagaError> {
    let write = async |tx: &mut PgConnection, order: &mut Order, _: &Transition| {
        trainings::archived(tx, id, archive).await?;
        if let Order::Training(training) = order {
            training.photos = i64::try_from(archive.photos).unwrap_or(i64::MAX);
        }
        Ok(Some(()))
    };
    Ok(apply(tx, id.into(), Fact::Prepared, Duration::ZERO, write)
        .await?
        .into())
}

/// The lost archive with this number ends its training. An archive that expires is lost after a week, but a storage that hides
/// our uploads loses every one.
const MOST_ARCHIVES_LOST: i16 = 3;

/// What became of an archive that FAL could not have fetched.
#[must_use = "a fact that came too late changed nothing, and nothing may be said as if it had"]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ArchiveLost {
    /// The training is `requested`, and `build_archive` is enqueued.
    BuiltAgain,
    /// It was the third lost archive: the training has failed, its owner is told.
    GivenUp,
    /// The training is no longer waiting to be submitted.
    TooLate,
}

/// archived → requested: FAL could not fetch the archive, so it is built again. Or → failed, with the third lost archive.
pub(crate) async fn archive_lost(
    tx: &mut PgConnection,
    id: TrainingId,
    why: &str,
) -> Result<ArchiveLost, SagaError> {
    let Some(order) = orders::lock(tx, id.into()).await? else {
        return Ok(ArchiveLost::TooLate);
    };
    let is_last = match &*order {
        Order::Training(training) => training.archives_lost + 1 >= MOST_ARCHIVES_LOST,
        Order::Generation(_) => false,
    };
    // Another status makes the loss too late; it must not make it an ending.
    let fact = if is_last && order.status() == OrderStatus::Prepared {
        Fact::GaveUp(FailureCode::ArchiveUnreachable)
    } else {
        Fact::ArchiveLost
    };
    let write = async |tx: &mut PgConnection, order: &mut Order, transition: &Transition| {
        if transition.to.status == OrderStatus::Preparing {
            trainings::archive_lost(tx, id).await?;
            return Ok(Some(ArchiveLost::BuiltAgain));
        }
        ending::write(tx, order, transition, why, TrainingSource::Job).await?;
        Ok(Some(ArchiveLost::GivenUp))
    };
    let lost = apply_locked(tx, order, fact, Duration::ZERO, write).await?;
    Ok(lost.unwrap_or(ArchiveLost::TooLate))
}

/// trained → completed: the avatar has its model, and its owner is told. If the training had ended before, the model is
/// kept, and attached to the avatar unless its owner has started another training. `samples`: the first pictures that are
/// ordered of an avatar that is completed; they come with the final message.
pub(crate) async fn model_verified(
    tx: &mut PgConnection,
    id: TrainingId,
    model: &VerifiedModel,
    samples: &[pictures::SamplePlan],
) -> Result<Effect, SagaError> {
    let write = async |tx: &mut PgConnection, order: &mut Order, transition: &Transition| {
        if transition.to.status != OrderStatus::Completed {
            trainings::complete_late(tx, id, model).await?;
            return Ok(Some(()));
        }
        trainings::completed(tx, id, model).await?;
        if let Order::Training(training) = order {
            pictures::order_samples(tx, training, samples).await?;
        }
        Ok(Some(()))
    };
    Ok(apply(tx, id.into(), Fact::Stored, Duration::ZERO, write)
        .await?
        .into())
}
