//! The photo card's place in the chat: below the photos that it counts, once they have stopped coming.
//!
//! Telegram neither scrolls to an edited message nor tells of it. A person who sends twelve photos sees these photos, and the
//! card with "Start" is above them, out of sight. So the card is sent anew below, and the message that it was before is
//! deleted: that is one card for a burst of photos, and never one for each photo.
//!
//! # If we die …
//! | …                                    | the row says                    | and the next run              |
//! |--------------------------------------|---------------------------------|-------------------------------|
//! | after the card has left its place    | no message, `retires` the old   | sends it                      |
//! | after the send                       | `sending_since`                 | sends again, which is counted |
//! | before the old message is deleted    | `retires` the old               | deletes it                    |
//! | after that                           | `retires` the old               | finds it gone                 |

use std::time::Duration;

use crate::{
    clients::telegram::TelegramError,
    context::Context,
    domain::NotificationId,
    job::JobError,
    store::notifications::{self, DueMessage},
};

/// Silence after which a burst of photos is over, if all its photos are settled.
const SETTLED: Duration = Duration::from_secs(2);
/// The same while photos are being fetched: after it the card comes down all the same, and counts on below them.
const LOADING: Duration = Duration::from_secs(6);
/// The longest pause between two looks: a photo that settles meanwhile makes the burst shorter.
const LOOK: Duration = Duration::from_secs(2);

/// What a change of the photo card does to its place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Move {
    /// It is edited where it stands.
    Stay,
    /// It is sent anew, below.
    Down,
    /// Photos or answers are still coming: look again after this time.
    Wait(Duration),
}

pub(super) async fn next_place(cx: &Context, due: &DueMessage) -> Result<Move, JobError> {
    if due.delivered_revision == 0 {
        // It answers a tap on the message whose place it takes: the user looks there.
        return Ok(Move::Stay);
    }
    let mut db = cx.read().await?;
    let Some(standing) = notifications::standing(&mut db, due.id).await? else {
        return Ok(Move::Stay);
    };
    if !standing.is_above_others {
        return Ok(Move::Stay);
    }
    let needed = if standing.is_loading { LOADING } else { SETTLED };
    let waited = standing
        .quiet_seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let left = waited.map_or(Duration::ZERO, |waited| needed.saturating_sub(waited));
    Ok(if !left.is_zero() {
        Move::Wait(left.min(LOOK))
    } else if standing.is_reply_on_its_way {
        Move::Wait(LOOK)
    } else {
        Move::Down
    })
}

/// Deletes the messages that a row has made out of date. Does nothing if there are none.
pub(super) async fn retire(cx: &Context, id: NotificationId) -> Result<(), JobError> {
    let mut db = cx.read().await?;
    let outdated = notifications::to_retire(&mut db, id).await?;
    drop(db);
    let Some(outdated) = outdated else {
        return Ok(());
    };
    for message in &outdated.messages {
        match cx.telegram.retire(outdated.telegram_id, *message).await {
            // There is nobody to see them.
            Ok(()) | Err(TelegramError::Unreachable(_)) => {}
            Err(failure) => return Err(failure.into()),
        }
    }
    let mut tx = cx.begin().await?;
    notifications::retired(&mut tx, id, &outdated.messages).await?;
    Ok(tx.commit().await?)
}
