//! The wizard's photo step: the card that counts the photos and has the button that starts the training.
//!
//! The card is one message, edited as photos come in. Photos that come below it would hide it: so once a burst of photos is
//! over, it is sent anew below them, and its old message is deleted (`work/notify_user/chat.rs`).

use std::time::Duration;

use queue::count_waiting;
use sqlx::PgConnection;

use super::{GATHER, Place, bring, photo_hints, reply, send, small};
use crate::{
    archive::PhotoLimits,
    context::Services,
    domain::{Action, AvatarId, NotificationId, Preset, Trainers, TrainingType, UserId, WizardStep},
    enqueue::EnqueueError,
    estimates,
    payloads::NotifyUser,
    store::{
        avatars,
        notifications::{self, About, MessageKind, New, Raised},
        photos::{self, OwnedPhoto},
    },
    texts::{Message, Phrase},
};

/// The rules of the photo step: how many photos, and what their training takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PhotoStep<'a> {
    pub limits: &'a PhotoLimits,
    pub trainers: &'a Trainers,
}

impl<'a> PhotoStep<'a> {
    /// By the settings of a worker.
    pub(crate) fn of(services: &'a Services) -> Self {
        Self {
            limits: &services.settings.photos,
            trainers: &services.trainers,
        }
    }
}

/// How much longer changes of a card are gathered for each message that waits already: so cards are edited ten times a second
/// in all, of the thirty messages that Telegram accepts from a bot. Without it, the cards of two hundred people who send
/// albums at once would take all of them, and an answer to anybody else would wait for its turn behind these cards.
const SPREAD: Duration = Duration::from_millis(100);

/// Most messages that are counted for that: a card is never more than 15 s later.
const MOST_SPREAD: u32 = 150;

/// Most refused photos that a message names one by one; the others are counted.
const MOST_REJECTED: usize = 12;

/// Changes the photo counter after a photo came in, was stored or refused. Does nothing unless the draft is at the wizard's
/// photo step. Counts never go back, since the draft stays locked until the transaction ends.
pub(crate) async fn photos_changed(
    tx: &mut PgConnection,
    avatar: AvatarId,
    step: PhotoStep<'_>,
) -> Result<(), EnqueueError> {
    let Some((user, message)) = photos_message(tx, avatar, step).await? else {
        return Ok(());
    };
    match notifications::raise(tx, MessageKind::Photos, About::Avatar(avatar), &message, false).await? {
        Raised::Changed(id) => {
            gather(tx, user, id, message.version()).await?;
        }
        Raised::Unchanged => {}
        Raised::NoneOpen => show_photos(tx, avatar, step, Place::New).await?,
    }
    Ok(())
}

/// Shows the wizard's photo step; from now on this message is the counter.
pub(crate) async fn show_photos(
    tx: &mut PgConnection,
    avatar: AvatarId,
    step: PhotoStep<'_>,
    place: Place,
) -> Result<(), EnqueueError> {
    let Some((user_id, message)) = photos_message(tx, avatar, step).await? else {
        return Ok(());
    };
    retire_card(tx, user_id, avatar, place).await?;
    let shown = notifications::count(tx, MessageKind::Photos, avatar).await?;
    let new = New {
        user_id,
        avatar_id: Some(avatar),
        training_id: None,
        album_id: None,
        kind: MessageKind::Photos,
        dedupe_key: &format!("photos:{avatar}:{shown}"),
        message: &message,
        takes_place_of: place.message_id(),
        reply_to: None,
        is_last: false,
    };
    send(tx, &new).await
}

/// Something else takes over from the card: its messages in the chat are deleted, except `keep`, which the other one replaces.
pub(crate) async fn retire_card(
    tx: &mut PgConnection,
    user: UserId,
    avatar: AvatarId,
    keep: Place,
) -> Result<(), EnqueueError> {
    let about = About::Avatar(avatar);
    for card in notifications::supersede(tx, MessageKind::Photos, about, keep.message_id()).await? {
        if card.retires {
            bring(tx, user, card.id, 1, Duration::ZERO).await?;
        }
    }
    Ok(())
}

/// The user wrote something that was answered and changes no count: the card comes below it.
pub(crate) async fn keep_card_in_view(
    tx: &mut PgConnection,
    user: UserId,
    avatar: AvatarId,
) -> Result<(), EnqueueError> {
    if let Some((card, needs_version)) = notifications::stir_card(tx, avatar).await? {
        gather(tx, user, card, needs_version).await?;
    }
    Ok(())
}

/// Brings the card once changes of it are gathered.
async fn gather(
    tx: &mut PgConnection,
    user: UserId,
    card: NotificationId,
    needs_version: i16,
) -> Result<(), EnqueueError> {
    let waiting = count_waiting::<NotifyUser>(tx, MOST_SPREAD).await?;
    bring(tx, user, card, needs_version, GATHER + SPREAD * waiting).await
}

/// Tells the owner that a photo was refused, as a reply to it: in an album nobody can count which one is the third. Photos of
/// one album that are refused for one reason get one answer.
pub(crate) async fn photo_refused(
    tx: &mut PgConnection,
    photo: &OwnedPhoto,
    reason: &str,
    detail: Option<&str>,
) -> Result<(), EnqueueError> {
    let key = photo.album.as_ref().map_or_else(
        || format!("unfit:{reason}:photo:{}", photo.id),
        |album| format!("unfit:{reason}:album:{album}:{}", photo.user_id),
    );
    let problem = Phrase::photo_problem(reason.to_owned(), detail.map(ToOwned::to_owned));
    let message = Message::new(Phrase::PhotoUnfit { problem });
    reply(tx, photo.user_id, &key, &message, Place::New, photo.message_id).await
}

/// `None` when the avatar is not at the photo step.
async fn photos_message(
    tx: &mut PgConnection,
    avatar: AvatarId,
    step: PhotoStep<'_>,
) -> Result<Option<(UserId, Message)>, sqlx::Error> {
    let Some(draft) = avatars::lock_draft(tx, avatar).await? else {
        return Ok(None);
    };
    let (Some(name), Some(gender)) = (draft.name, draft.gender) else {
        return Ok(None);
    };
    let photos = photos::counts(tx, avatar).await?;
    let (min, max) = (
        small(*step.limits.photos.start()),
        small(*step.limits.photos.end()),
    );
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
    if (1..min).contains(&photos.taken()) {
        // The message that asked for photos has said so, and is gone by now.
        message = message.and(Phrase::PhotosTips {});
    }
    if photos.stored >= min {
        message = message.button(Phrase::ButtonStart {}, Action::Start(avatar));
        message = offer_presets(
            tx,
            avatar,
            draft.training_type,
            draft.preset.as_deref(),
            step,
            message,
        )
        .await?;
    }
    message = photo_hints::add(tx, avatar, draft.training_type, message).await?;
    let row = [
        (Phrase::ButtonBack {}, Action::Back(avatar, WizardStep::Name)),
        (Phrase::ButtonDiscard {}, Action::Discard(avatar)),
    ];
    Ok(Some((draft.user_id, message.row(row))))
}

/// Each preset with its time and price, and the buttons that choose one.
async fn offer_presets(
    tx: &mut PgConnection,
    avatar: AvatarId,
    kind: TrainingType,
    chosen: Option<&str>,
    step: PhotoStep<'_>,
    message: Message,
) -> Result<Message, sqlx::Error> {
    let trainer = step.trainers.default_for(kind);
    let chosen = step.trainers.preset_or_default(chosen);
    let estimates = estimates::of_presets(tx, trainer).await?;
    let lines = estimates
        .into_iter()
        .map(|(preset, duration)| Phrase::PresetLine {
            preset: Phrase::preset(preset),
            minutes: estimates::minutes(duration),
            cost: Phrase::cost(trainer.cost(preset)),
            chosen: (if preset == chosen { "yes" } else { "no" }).to_owned(),
        });
    let lines = lines.collect();
    let buttons = Preset::ALL.iter().map(|preset| {
        let label = Phrase::preset(*preset);
        let label = if *preset == chosen {
            Phrase::ButtonChosen { choice: label }
        } else {
            *label
        };
        (label, Action::ChoosePreset(avatar, *preset))
    });
    Ok(message.and(Phrase::Presets { lines }).row(buttons))
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
