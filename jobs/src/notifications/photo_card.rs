//! The wizard's photo step: the card that counts the photos and has the button that starts the training.

use sqlx::PgConnection;

use super::{GATHER, Place, bring, send, small};
use crate::{
    archive::PhotoLimits,
    domain::{Action, AvatarId, UserId, WizardStep},
    enqueue::EnqueueError,
    store::{
        avatars,
        notifications::{self, About, MessageKind, New, Raised},
        photos,
    },
    texts::{Message, Phrase},
};

/// Most refused photos that a message names one by one; the others are counted.
const MOST_REJECTED: usize = 12;

/// Changes the photo counter after a photo came in, was stored or refused. Does nothing unless the draft is at the wizard's
/// photo step. Counts never go back, since the draft stays locked until the transaction ends.
pub(crate) async fn photos_changed(
    tx: &mut PgConnection,
    avatar: AvatarId,
    limits: &PhotoLimits,
) -> Result<(), EnqueueError> {
    let Some((user, message)) = photos_message(tx, avatar, limits).await? else {
        return Ok(());
    };
    match notifications::raise(tx, MessageKind::Photos, About::Avatar(avatar), &message, false).await? {
        Raised::Changed(id) => {
            bring(tx, user, id, message.version(), GATHER).await?;
        }
        Raised::Unchanged => {}
        Raised::NoneOpen => show_photos(tx, avatar, limits, Place::New).await?,
    }
    Ok(())
}

/// Shows the wizard's photo step; from now on this message is the counter.
pub(crate) async fn show_photos(
    tx: &mut PgConnection,
    avatar: AvatarId,
    limits: &PhotoLimits,
    place: Place,
) -> Result<(), EnqueueError> {
    let Some((user_id, message)) = photos_message(tx, avatar, limits).await? else {
        return Ok(());
    };
    notifications::supersede(tx, MessageKind::Photos, About::Avatar(avatar)).await?;
    let shown = notifications::count(tx, MessageKind::Photos, avatar).await?;
    let new = New {
        user_id,
        avatar_id: Some(avatar),
        training_id: None,
        kind: MessageKind::Photos,
        dedupe_key: &format!("photos:{avatar}:{shown}"),
        message: &message,
        takes_place_of: place.message_id(),
        is_last: false,
    };
    send(tx, &new).await
}

/// `None` when the avatar is not at the photo step.
async fn photos_message(
    tx: &mut PgConnection,
    avatar: AvatarId,
    limits: &PhotoLimits,
) -> Result<Option<(UserId, Message)>, sqlx::Error> {
    let Some(draft) = avatars::lock_draft(tx, avatar).await? else {
        return Ok(None);
    };
    let (Some(name), Some(gender)) = (draft.name, draft.gender) else {
        return Ok(None);
    };
    let photos = photos::counts(tx, avatar).await?;
    let (min, max) = (small(*limits.photos.start()), small(*limits.photos.end()));
    let kind = Phrase::kind(draft.training_type);
    let mut message = Message::new(Phrase::PhotosTitle {
        name,
        kind,
        gender: Phrase::gender(gender),
    });
    if photos.taken() == 0 {
        message = message.and(Phrase::PhotosAsk { min, max });
    } else {
        message = message.and(Phrase::PhotosCounted {
            stored: photos.stored,
            min,
            max,
        });
    }
    if photos.pending > 0 {
        message = message.and(Phrase::PhotosLoading {
            pending: photos.pending,
        });
    }
    if photos.stored >= min {
        let room = max.saturating_sub(photos.taken());
        message = message.and(if room == 0 {
            Phrase::PhotosFull { max }
        } else {
            Phrase::PhotosEnough { room }
        });
    } else if photos.taken() > 0 && photos.taken() < min {
        message = message.and(Phrase::PhotosMissing {
            missing: min - photos.taken(),
        });
    }
    message.text.extend(rejected(tx, avatar).await?);
    if photos.stored >= min {
        message = message.button(Phrase::ButtonStart {}, Action::Start(avatar));
    }
    let row = [
        (Phrase::ButtonBack {}, Action::Back(avatar, WizardStep::Name)),
        (Phrase::ButtonDiscard {}, Action::Discard(avatar)),
    ];
    Ok(Some((draft.user_id, message.row(row))))
}

/// The refused photos, each with its reason; of many only the latest, since a message has a largest size. `None`: there are
/// none.
pub(super) async fn rejected(tx: &mut PgConnection, avatar: AvatarId) -> Result<Option<Phrase>, sqlx::Error> {
    let photos = photos::rejected(tx, avatar).await?;
    let unsaid = photos.len().saturating_sub(MOST_REJECTED);
    let lines = photos
        .into_iter()
        .skip(unsaid)
        .map(|photo| Phrase::RejectedPhoto {
            number: small(photo.number),
            problem: Phrase::photo_problem(photo.reason, photo.detail),
        });
    let more = (unsaid > 0).then_some(Phrase::MoreRejected { count: small(unsaid) });
    let lines: Vec<_> = more.into_iter().chain(lines).collect();
    Ok((!lines.is_empty()).then_some(Phrase::PhotosRejected { lines }))
}
