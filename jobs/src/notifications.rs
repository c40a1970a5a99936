//! What is said to a user, and when: composed from the database's state in the transaction that changes it.
//!
//! Each function writes the outbox row and enqueues [`NotifyUser`] in the caller's transaction, so that nothing
//! becomes true without its owner hearing of it, and nothing is told that was rolled back.
//!
//! | row            | dedupe key                | lives                                                     |
//! |----------------|---------------------------|-----------------------------------------------------------|
//! | reply          | `update:<update id>`      | sent once                                                 |
//! | photos         | `photos:<avatar>:<n>`     | edited as photos come in; superseded when shown elsewhere |
//! | progress       | `progress:<training>`     | edited until the training ends                            |
//! | final          | `final:<training>`        | sent once                                                 |
//! | final          | `late:<training>`         | sent once, when a model comes after the end               |
//!
//! Read next: `notify_user.rs` (how it is sent), `texts.rs` (in which words).

use std::time::Duration;

use sqlx::PgConnection;

use crate::{
    archive::PhotoLimits,
    domain::{Action, AvatarId, FailureCode, NotificationId, TrainingId, UserId, WizardStep},
    enqueue::{EnqueueError, Options, enqueue_with},
    payloads::NotifyUser,
    store::{
        avatars,
        notifications::{self, About, Kind, New, Raised},
        photos,
        training_requests::{self, Subject},
    },
    texts::{Message, Phrase},
};

/// Changes of a message are gathered for so long before it is edited. Albums come as ten separate updates, and
/// Telegram bears about one edit a second in a chat.
const GATHER: Duration = Duration::from_millis(1500);

/// Refused photos that a message names one by one.
const MOST_REJECTED: usize = 12;

/// The same reply, waiting to be sent to the same chat.
const MOST_REPEATS: i64 = 3;

/// How far a training has come, in the user's terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The photos are being packed.
    Requested,
    /// They are packed.
    Archived,
    /// They are packed, and the account's trainings of the day are used up.
    Booked {
        /// Until it goes on.
        wait: Duration,
    },
    /// FAL has the request.
    Submitted,
    /// It waits there; so many are before it.
    Queued {
        /// Requests before ours.
        position: i32,
    },
    /// It is being trained.
    Running {
        /// 0-100.
        percent: u8,
    },
    /// The model is being copied and verified.
    Trained,
    /// FAL is being asked to stop.
    Stopping,
}

impl Stage {
    /// The line of the progress message.
    pub(crate) fn phrase(self) -> Phrase {
        match self {
            Self::Requested => Phrase::StageRequested {},
            Self::Archived => Phrase::StageArchived {},
            Self::Booked { wait } => Phrase::StageBooked {
                wait: Phrase::in_time(wait),
            },
            Self::Submitted => Phrase::StageSubmitted {},
            Self::Queued { position } => Phrase::StageQueued {
                position: u32::try_from(position).unwrap_or(0),
            },
            Self::Running { percent } => Phrase::running(percent),
            Self::Trained => Phrase::StageTrained {},
            Self::Stopping => Phrase::StageStopping {},
        }
    }

    /// Whether the user can still call it off.
    const fn can_be_stopped(self) -> bool {
        !matches!(self, Self::Trained | Self::Stopping)
    }
}

/// Where a message appears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// At the end of the chat.
    New,
    /// Instead of a message of ours, by Telegram's message id: the one whose button was pressed.
    InsteadOf(i64),
}

impl Place {
    const fn message_id(self) -> Option<i64> {
        match self {
            Self::New => None,
            Self::InsteadOf(id) => Some(id),
        }
    }
}

/// Answers an update, once however often it is handled. `key` is the update's, or that of several updates which
/// get one answer together (an album). Behind [`MOST_REPEATS`] that say exactly this and wait to be sent nothing is put:
/// whoever asks ten thousand times is not written to once a second for hours.
pub(crate) async fn reply(
    tx: &mut PgConnection,
    user: UserId,
    key: &str,
    message: &Message,
    place: Place,
) -> Result<(), EnqueueError> {
    if place == Place::New && notifications::replies_waiting(tx, user, message).await? >= MOST_REPEATS {
        return Ok(());
    }
    let new = New {
        user_id: user,
        avatar_id: None,
        training_id: None,
        kind: Kind::Reply,
        dedupe_key: key,
        message,
        takes_place_of: place.message_id(),
        is_last: true,
    };
    send(tx, &new).await
}

/// Shows a training's stage: starts its progress message, or changes it.
pub(crate) async fn progress(
    tx: &mut PgConnection,
    training: TrainingId,
    stage: Stage,
) -> Result<(), EnqueueError> {
    let Some(subject) = training_requests::subject(tx, training).await? else {
        return Ok(());
    };
    let message = progress_message(tx, training, &subject, stage).await?;
    match notifications::raise(tx, Kind::Progress, About::Training(training), &message, false).await? {
        Raised::Changed(id) => bring(tx, subject.user_id, id, message.version(), GATHER).await,
        Raised::Unchanged => Ok(()),
        Raised::NoneOpen => start_progress(tx, training, &subject, &message, Place::New).await,
    }
}

/// The first progress message, in the place of the photo counter whose button was pressed.
pub(crate) async fn training_requested(
    tx: &mut PgConnection,
    training: TrainingId,
    place: Place,
) -> Result<(), EnqueueError> {
    let Some(subject) = training_requests::subject(tx, training).await? else {
        return Ok(());
    };
    notifications::supersede(tx, Kind::Photos, About::Avatar(subject.avatar_id)).await?;
    let message = progress_message(tx, training, &subject, Stage::Requested).await?;
    start_progress(tx, training, &subject, &message, place).await
}

async fn start_progress(
    tx: &mut PgConnection,
    training: TrainingId,
    subject: &Subject,
    message: &Message,
    place: Place,
) -> Result<(), EnqueueError> {
    let new = New {
        user_id: subject.user_id,
        avatar_id: Some(subject.avatar_id),
        training_id: Some(training),
        kind: Kind::Progress,
        dedupe_key: &format!("progress:{training}"),
        message,
        takes_place_of: place.message_id(),
        is_last: false,
    };
    send(tx, &new).await
}

async fn progress_message(
    tx: &mut PgConnection,
    training: TrainingId,
    subject: &Subject,
    stage: Stage,
) -> Result<Message, sqlx::Error> {
    let mut message = Message::new(title(subject)).and(stage.phrase());
    message.text.extend(rejected(tx, subject.avatar_id).await?);
    if stage.can_be_stopped() {
        message = message.button(Phrase::ButtonStop {}, Action::Stop(training));
    }
    Ok(message)
}

fn title(subject: &Subject) -> Phrase {
    let photos = small(subject.photos);
    Phrase::ProgressTitle {
        name: subject.name.clone(),
        kind: Phrase::kind(subject.training_type),
        photos,
    }
}

/// The avatar can be used.
pub(crate) async fn completed(tx: &mut PgConnection, training: TrainingId) -> Result<(), EnqueueError> {
    let Some(subject) = training_requests::subject(tx, training).await? else {
        return Ok(());
    };
    let message = Message::new(Phrase::TrainingCompleted {
        name: subject.name.clone(),
    })
    .button(Phrase::ButtonCreate {}, Action::Create);
    ended(tx, training, &subject, Phrase::StageCompleted {}, &message).await
}

/// The training failed; says why in the user's terms, which photos did not work, and offers another try.
pub(crate) async fn failed(
    tx: &mut PgConnection,
    training: TrainingId,
    code: FailureCode,
) -> Result<(), EnqueueError> {
    let Some(subject) = training_requests::subject(tx, training).await? else {
        return Ok(());
    };
    let mut message = Message::new(Phrase::TrainingFailed {
        name: subject.name.clone(),
        code: code.to_string(),
    })
    .button(Phrase::ButtonRetry {}, Action::Retry(subject.avatar_id));
    message.text.extend(rejected(tx, subject.avatar_id).await?);
    ended(tx, training, &subject, Phrase::StageFailed {}, &message).await
}

/// The user called it off.
pub(crate) async fn cancelled(tx: &mut PgConnection, training: TrainingId) -> Result<(), EnqueueError> {
    let Some(subject) = training_requests::subject(tx, training).await? else {
        return Ok(());
    };
    let message = Message::new(Phrase::TrainingCancelled {
        name: subject.name.clone(),
    })
    .button(Phrase::ButtonRetry {}, Action::Retry(subject.avatar_id));
    ended(tx, training, &subject, Phrase::StageCancelled {}, &message).await
}

/// A model came after the training had ended. Says whether the avatar took it, or had started another training by then.
pub(crate) async fn came_late(tx: &mut PgConnection, training: TrainingId) -> Result<(), EnqueueError> {
    let Some(subject) = training_requests::subject(tx, training).await? else {
        return Ok(());
    };
    let name = subject.name.clone();
    let message = if training_requests::was_completed_late(tx, training).await? {
        Message::new(Phrase::TrainingCameLate { name }).button(Phrase::ButtonCreate {}, Action::Create)
    } else {
        Message::new(Phrase::TrainingCameTooLate { name })
    };
    let new = New {
        user_id: subject.user_id,
        avatar_id: Some(subject.avatar_id),
        training_id: Some(training),
        kind: Kind::Final,
        dedupe_key: &format!("late:{training}"),
        message: &message,
        takes_place_of: None,
        is_last: true,
    };
    send(tx, &new).await
}

/// The progress message says its last word, and the final message goes out. Two jobs of one chat, of which the second
/// gives way to the first (`notify_user.rs`): the edit may still gather changes, and both may be claimed at once.
async fn ended(
    tx: &mut PgConnection,
    training: TrainingId,
    subject: &Subject,
    last_stage: Phrase,
    message: &Message,
) -> Result<(), EnqueueError> {
    let last = Message::new(title(subject)).and(last_stage);
    if let Raised::Changed(id) =
        notifications::raise(tx, Kind::Progress, About::Training(training), &last, true).await?
    {
        bring(tx, subject.user_id, id, last.version(), Duration::ZERO).await?;
    }
    let new = New {
        user_id: subject.user_id,
        avatar_id: Some(subject.avatar_id),
        training_id: Some(training),
        kind: Kind::Final,
        dedupe_key: &format!("final:{training}"),
        message,
        takes_place_of: None,
        is_last: true,
    };
    send(tx, &new).await
}

/// Queues again the final messages that could not be delivered while the user was unreachable.
pub(crate) async fn resume_finals(tx: &mut PgConnection, user: UserId) -> Result<(), EnqueueError> {
    for waiting in notifications::reopen_finals(tx, user).await? {
        bring(tx, user, waiting.id, waiting.needs_version, Duration::ZERO).await?;
    }
    Ok(())
}

/// A photo came in, was stored or refused: the counter changes. Nothing to do while the wizard asks something
/// else, or when it is over. Counts never go back, since the draft
/// stays locked until the transaction ends.
pub(crate) async fn photos_changed(
    tx: &mut PgConnection,
    avatar: AvatarId,
    limits: &PhotoLimits,
) -> Result<(), EnqueueError> {
    let Some((user, message)) = photos_message(tx, avatar, limits).await? else {
        return Ok(());
    };
    match notifications::raise(tx, Kind::Photos, About::Avatar(avatar), &message, false).await? {
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
    notifications::supersede(tx, Kind::Photos, About::Avatar(avatar)).await?;
    let shown = notifications::count(tx, Kind::Photos, avatar).await?;
    let new = New {
        user_id,
        avatar_id: Some(avatar),
        training_id: None,
        kind: Kind::Photos,
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

/// The photos that were refused, each with its reason; of many the latest, since a message has its limits. `None`
/// when there are none.
async fn rejected(tx: &mut PgConnection, avatar: AvatarId) -> Result<Option<Phrase>, sqlx::Error> {
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

/// Outbox row and job, unless the key was used before.
async fn send(tx: &mut PgConnection, new: &New<'_>) -> Result<(), EnqueueError> {
    if let Some(id) = notifications::insert(tx, new).await? {
        bring(tx, new.user_id, id, new.message.version(), Duration::ZERO).await?;
    }
    Ok(())
}

/// Enqueues the delivery of an outbox row, by a worker that can say it. Readers take turns, and each chat has a rate of its own.
async fn bring(
    tx: &mut PgConnection,
    reader: UserId,
    id: NotificationId,
    needs_version: i16,
    after: Duration,
) -> Result<(), EnqueueError> {
    let options = Options::default().fair_key(reader).delay(after);
    enqueue_with(tx, &NotifyUser::new(id, needs_version), options).await?;
    Ok(())
}

/// A count in a text. None of ours comes near the limit.
fn small(count: impl TryInto<u32>) -> u32 {
    count.try_into().unwrap_or(u32::MAX)
}
