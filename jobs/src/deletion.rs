//! A user deletes an avatar: everything that happens at once. What takes time is `work/delete_avatar.rs`.
//!
//! # Must stay true
//! * the user does not see it from here on, nor any message about it — `a_deleted_avatar_is_gone_from_view_at_once`
//! * a draft's card is taken out of the chat, with its buttons       —
//!   `chatter_does_not_leave_the_card_above_it_and_a_discard_takes_it_along`
//! * a live training of it is called off as by "Stop"               — `deleting_an_avatar_in_training_stops_it_at_fal`
//! * a deleted avatar has a job that erases it                      — `prune` looks for those that lost theirs

use sqlx::PgConnection;
use tracing::info;

use crate::{
    domain::{AvatarId, EndReason, UserId},
    enqueue::{EnqueueError, enqueue_for},
    notifications::{self, Place},
    payloads::DeleteAvatar,
    saga::{self, SagaError},
    store::{
        deletions, generations,
        orders::{self, Order},
        trainings,
    },
};

/// An avatar that was just deleted.
#[derive(Debug)]
pub(crate) struct DeletedAvatar {
    /// Its name. `None`: it had none yet.
    pub name: Option<String>,
    /// The name of the avatar that is the main one in its place. `None`: it was not the main one, or no other is ready.
    pub new_main: Option<String>,
}

/// Takes the avatar from its user. `None`: it is not theirs, or was deleted before. A draft's card is deleted from the chat,
/// unless the answer takes its `place`.
pub(crate) async fn delete_avatar(
    tx: &mut PgConnection,
    user: UserId,
    avatar: AvatarId,
    place: Place,
) -> Result<Option<DeletedAvatar>, SagaError> {
    // The training before its avatar, as every step of the saga locks them.
    let live = match trainings::live_of_avatar(tx, user, avatar).await? {
        Some(id) => orders::lock(tx, id.into()).await?,
        None => None,
    };
    let drawing = generations::live_of_avatar(tx, user, avatar).await?;
    saga::stop_all(tx, drawing, EndReason::User).await?;
    let Some(name) = deletions::mark(tx, user, avatar).await? else {
        return Ok(None);
    };
    let new_main = deletions::choose_main(tx, user).await?;
    notifications::retire_card(tx, user, avatar, place).await?;
    deletions::close_messages(tx, avatar).await?;
    if let Some(order) = live {
        let before = (*order).clone();
        let asked = saga::asked_to_end(tx, order, EndReason::User, None).await?;
        // After what the saga says, so that the last word is that the avatar is gone.
        if let Order::Training(training) = &before {
            notifications::avatar_deleted(tx, training.into()).await?;
        }
        info!(avatar.id = %avatar, "The training of the deleted avatar {avatar} is called off: {asked:?}");
    }
    carry_out(tx, user, avatar).await?;
    info!(avatar.id = %avatar, user.id = %user, "Avatar {avatar} was deleted by its user; it is erased");
    Ok(Some(DeletedAvatar { name, new_main }))
}

/// Enqueues the job that erases a deleted avatar, unless there is one.
pub(crate) async fn carry_out(
    tx: &mut PgConnection,
    user: UserId,
    avatar: AvatarId,
) -> Result<(), EnqueueError> {
    enqueue_for(tx, user, &DeleteAvatar::new(user, avatar)).await?;
    Ok(())
}
