//! The messages to users: composed from the database's state, in the transaction that changes it.
//!
//! Each function writes the outbox row and enqueues [`NotifyUser`] in the caller's transaction. So a change commits with the
//! message about it, and a change that is rolled back sends none.
//!
//! | row            | dedupe key                | lives                                                     |
//! |----------------|---------------------------|-----------------------------------------------------------|
//! | reply          | `update:<update id>`      | sent once                                                 |
//! | photos         | `photos:<avatar>:<n>`     | edited as photos come in, sent anew below them; superseded when shown elsewhere |
//! | progress       | `progress:<training>`     | edited until the training ends                            |
//! | final          | `final:<training>`        | sent once                                                 |
//! | final          | `late:<training>`         | sent once, when a model comes after the end               |
//!
//! Messages about pictures: `notifications/albums.rs`.
//!
//! Read next: `notifications/photo_card.rs`, `notify_user.rs` (how it is sent), `texts.rs` (in which words).

use std::time::Duration;

use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    domain::{
        Action, AvatarId, FailureCode, NotificationId, Stage, SupportCode, Tell, TrainingId, TrainingType,
        UserId,
    },
    enqueue::{EnqueueError, Options, enqueue_with},
    estimates,
    payloads::NotifyUser,
    store::{
        notifications::{self, About, MessageKind, New, Raised},
        trainings::{self, Training},
    },
    texts::{Message, Phrase},
};

mod albums;
mod photo_card;
mod photo_hints;

pub(crate) use albums::{AlbumEnd, album_asked, album_ended, album_progress, samples_ended};
use photo_card::rejected;
pub(crate) use photo_card::{
    PhotoStep, keep_card_in_view, photo_refused, photos_changed, retire_card, show_photos,
};

/// How long changes of a message are gathered before it is edited. Albums come as ten separate updates, and Telegram
/// accepts about one edit a second in a chat.
const GATHER: Duration = Duration::from_millis(1500);

/// Most equal replies that wait to be sent to one chat; further ones are dropped.
const MOST_REPEATS: i64 = 3;

/// The training that a message is about, from the row that the caller has locked or just written: no message reads it again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub training: TrainingId,
    pub user: UserId,
    pub avatar: AvatarId,
    /// The avatar's name; empty if it has none.
    pub name: &'a str,
    pub training_type: TrainingType,
    /// Photos in the archive; before there is one, those in our bucket and on their way there.
    pub photos: u32,
}

impl<'a> From<&'a Training> for Subject<'a> {
    fn from(training: &'a Training) -> Self {
        Self {
            training: training.id,
            user: training.user_id,
            avatar: training.avatar_id,
            name: &training.avatar_name,
            training_type: training.training_type,
            photos: small(training.photos),
        }
    }
}

/// Where in the chat a message appears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// At the end of the chat, as a new message.
    New,
    /// Instead of our message with this id of Telegram's: the one whose button was pressed.
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

/// Answers an update, once even if it is handled twice. `key` names the update, or several updates that get one answer
/// together (an album). `reply_to` is the user's message that the answer shows above itself. If [`MOST_REPEATS`] equal replies wait to be sent, this one is dropped: a user who asks ten thousand
/// times is not written to once a second for hours.
pub(crate) async fn reply(
    tx: &mut PgConnection,
    user: UserId,
    key: &str,
    message: &Message,
    place: Place,
    reply_to: Option<i64>,
) -> Result<(), EnqueueError> {
    if place == Place::New && notifications::replies_waiting(tx, user, message).await? >= MOST_REPEATS {
        return Ok(());
    }
    let new = New {
        user_id: user,
        avatar_id: None,
        training_id: None,
        album_id: None,
        kind: MessageKind::Reply,
        dedupe_key: key,
        message,
        takes_place_of: place.message_id(),
        reply_to,
        is_last: true,
    };
    send(tx, &new).await
}

/// Writes the owner's message that a transition causes.
pub(crate) async fn tell(
    tx: &mut PgConnection,
    subject: Subject<'_>,
    tell: Tell,
) -> Result<(), EnqueueError> {
    match tell {
        Tell::Progress(stage) => progress(tx, subject, stage).await,
        Tell::Completed => completed(tx, subject).await,
        Tell::Failed(code) => failed(tx, subject, code).await,
        Tell::Cancelled => cancelled(tx, subject).await,
        Tell::CameLate => came_late(tx, subject).await,
    }
}

/// Shows a training's stage: starts its progress message, or changes it.
pub(crate) async fn progress(
    tx: &mut PgConnection,
    subject: Subject<'_>,
    stage: Stage,
) -> Result<(), EnqueueError> {
    let message = progress_message(tx, subject, stage).await?;
    let about = About::Training(subject.training);
    match notifications::raise(tx, MessageKind::Progress, about, &message, false).await? {
        Raised::Changed(id) => bring(tx, subject.user, id, message.version(), GATHER).await,
        Raised::Unchanged => Ok(()),
        Raised::NoneOpen => start_progress(tx, subject, &message, Place::New).await,
    }
}

/// The first progress message, in the place of the photo card. That is the message whose button was pressed, unless the card
/// has been sent anew below it since.
pub(crate) async fn training_requested(
    tx: &mut PgConnection,
    subject: Subject<'_>,
    place: Place,
) -> Result<(), EnqueueError> {
    let newest = notifications::card_message(tx, subject.avatar).await?;
    let place = newest.map_or(place, Place::InsteadOf);
    retire_card(tx, subject.user, subject.avatar, place).await?;
    let message = progress_message(tx, subject, Stage::Requested).await?;
    start_progress(tx, subject, &message, place).await
}

async fn start_progress(
    tx: &mut PgConnection,
    subject: Subject<'_>,
    message: &Message,
    place: Place,
) -> Result<(), EnqueueError> {
    let new = New {
        user_id: subject.user,
        avatar_id: Some(subject.avatar),
        training_id: Some(subject.training),
        album_id: None,
        kind: MessageKind::Progress,
        dedupe_key: &format!("progress:{}", subject.training),
        message,
        takes_place_of: place.message_id(),
        reply_to: None,
        is_last: false,
    };
    send(tx, &new).await
}

async fn progress_message(
    tx: &mut PgConnection,
    subject: Subject<'_>,
    stage: Stage,
) -> Result<Message, sqlx::Error> {
    let mut message = Message::new(title(subject)).and(Phrase::stage(stage));
    if let Some(left) = estimates::left(tx, subject.training, stage).await? {
        let minutes = estimates::minutes(left);
        message = message.and(Phrase::TimeLeft { minutes });
    }
    message.text.extend(rejected(tx, subject.avatar).await?);
    if stage.can_be_stopped() {
        message = message.button(Phrase::ButtonStop {}, Action::Stop(subject.training));
    }
    Ok(message)
}

fn title(subject: Subject<'_>) -> Phrase {
    Phrase::ProgressTitle {
        name: subject.name.to_owned(),
        kind: Phrase::kind(subject.training_type),
        photos: subject.photos,
    }
}

async fn completed(tx: &mut PgConnection, subject: Subject<'_>) -> Result<(), EnqueueError> {
    let name = subject.name.to_owned();
    let message = leads_to_pictures(Message::new(Phrase::TrainingCompleted { name }), subject);
    ended(tx, subject, Phrase::StageCompleted {}, &message).await
}

/// What a user does with an avatar that is ready.
fn leads_to_pictures(message: Message, subject: Subject<'_>) -> Message {
    message
        .button(Phrase::ButtonGenerate {}, Action::Generate(subject.avatar))
        .button(Phrase::ButtonCreate {}, Action::Create)
}

/// The final message of a failed training: why, in the user's terms, which photos did not work, and a button to try again.
async fn failed(tx: &mut PgConnection, subject: Subject<'_>, code: FailureCode) -> Result<(), EnqueueError> {
    let mut message = Message::new(Phrase::TrainingFailed {
        name: subject.name.to_owned(),
        code: code.to_string(),
    })
    .button(Phrase::ButtonRetry {}, Action::Retry(subject.avatar));
    message.text.extend(rejected(tx, subject.avatar).await?);
    let message = message.and(support_code(subject.training.0));
    ended(tx, subject, Phrase::StageFailed {}, &message).await
}

/// How a user names the row to us.
fn support_code(id: Uuid) -> Phrase {
    let reference = SupportCode::of(id).to_string();
    Phrase::SupportCode { reference }
}

/// The final message of a training that its user or an operator called off.
async fn cancelled(tx: &mut PgConnection, subject: Subject<'_>) -> Result<(), EnqueueError> {
    let name = subject.name.to_owned();
    let message = Message::new(Phrase::TrainingCancelled { name })
        .button(Phrase::ButtonRetry {}, Action::Retry(subject.avatar));
    ended(tx, subject, Phrase::StageCancelled {}, &message).await
}

/// The last word of the progress message when the owner deletes the avatar: the training's end is told to nobody.
pub(crate) async fn avatar_deleted(tx: &mut PgConnection, subject: Subject<'_>) -> Result<(), EnqueueError> {
    let last = Message::new(title(subject)).and(Phrase::StageDeleted {});
    let about = About::Training(subject.training);
    if let Raised::Changed(id) = notifications::raise(tx, MessageKind::Progress, about, &last, true).await? {
        bring(tx, subject.user, id, last.version(), Duration::ZERO).await?;
    }
    Ok(())
}

/// The message about a model that came after the end: whether the avatar has it, or has another training by now.
async fn came_late(tx: &mut PgConnection, subject: Subject<'_>) -> Result<(), EnqueueError> {
    let name = subject.name.to_owned();
    let message = if trainings::was_completed_late(tx, subject.training).await? {
        leads_to_pictures(Message::new(Phrase::TrainingCameLate { name }), subject)
    } else {
        Message::new(Phrase::TrainingCameTooLate { name })
    };
    send_final(tx, subject, &format!("late:{}", subject.training), &message).await
}

/// Edits the progress message a last time, and sends the final message. These are two jobs of one chat, of which the second
/// waits for the first (`notify_user.rs`): the edit may still gather changes, and both may be claimed at once.
async fn ended(
    tx: &mut PgConnection,
    subject: Subject<'_>,
    last_stage: Phrase,
    message: &Message,
) -> Result<(), EnqueueError> {
    let last = Message::new(title(subject)).and(last_stage);
    let about = About::Training(subject.training);
    if let Raised::Changed(id) = notifications::raise(tx, MessageKind::Progress, about, &last, true).await? {
        bring(tx, subject.user, id, last.version(), Duration::ZERO).await?;
    }
    send_final(tx, subject, &format!("final:{}", subject.training), message).await
}

async fn send_final(
    tx: &mut PgConnection,
    subject: Subject<'_>,
    dedupe_key: &str,
    message: &Message,
) -> Result<(), EnqueueError> {
    let new = New {
        user_id: subject.user,
        avatar_id: Some(subject.avatar),
        training_id: Some(subject.training),
        album_id: None,
        kind: MessageKind::Final,
        dedupe_key,
        message,
        takes_place_of: None,
        reply_to: None,
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

/// Inserts the outbox row and enqueues its delivery, unless the key was used before.
async fn send(tx: &mut PgConnection, new: &New<'_>) -> Result<(), EnqueueError> {
    if let Some(id) = notifications::insert(tx, new).await? {
        bring(tx, new.user_id, id, new.message.version(), Duration::ZERO).await?;
    }
    Ok(())
}

/// Enqueues the delivery of an outbox row, for a worker that knows its phrases. The reader is the fairness key, and each chat
/// has a rate of its own.
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

/// A count as texts have it. None of ours comes near the limit.
fn small(count: impl TryInto<u32>) -> u32 {
    count.try_into().unwrap_or(u32::MAX)
}
