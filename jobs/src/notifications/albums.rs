//! The messages about albums: the progress of one that a user asked for, its pictures, and how it ended.
//!
//! | row      | dedupe key           | lives                                                              |
//! |----------|----------------------|--------------------------------------------------------------------|
//! | progress | `progress:<album>`   | edited until the album is settled                                  |
//! | final    | `pictures:<album>`   | the pictures, sent once; several are a silent album without buttons |
//! | final    | `album:<album>`      | what to do with them, or why there are none; sent once             |

use std::time::Duration;

use sqlx::PgConnection;

use super::{GATHER, Place, bring, send, small, support_code};
use crate::{
    domain::{Action, FailureCode, PictureId, Stage},
    enqueue::EnqueueError,
    store::{
        albums::{Album, AlbumStatus},
        notifications::{self, About, MessageKind, New, Raised},
    },
    texts::{Message, Phrase},
};

/// How an album ended.
#[derive(Debug, Clone, Copy)]
pub(crate) enum AlbumEnd<'a> {
    /// It has pictures.
    Ready {
        pictures: &'a [PictureId],
        /// How many more FAL's safety checker held back.
        flagged: i64,
    },
    /// FAL's safety checker held all of them back.
    Flagged,
    /// None came, for this reason ([`crate::domain::FailureCode`]).
    Failed { code: &'a str },
    /// The user called it off, or its avatar is going.
    Cancelled,
}

impl AlbumEnd<'_> {
    pub(crate) const fn status(self) -> AlbumStatus {
        match self {
            Self::Ready { .. } => AlbumStatus::Ready,
            Self::Flagged | Self::Failed { .. } => AlbumStatus::Failed,
            Self::Cancelled => AlbumStatus::Cancelled,
        }
    }
}

/// The first progress message of an album, in the place of the message whose button was pressed.
pub(crate) async fn album_asked(
    tx: &mut PgConnection,
    album: &Album,
    place: Place,
) -> Result<(), EnqueueError> {
    let message = progress_message(album, Phrase::AlbumAsked {});
    start_progress(tx, album, &message, place).await
}

/// Shows the stage of an album's request at FAL.
pub(crate) async fn album_progress(
    tx: &mut PgConnection,
    album: &Album,
    stage: Stage,
) -> Result<(), EnqueueError> {
    let message = progress_message(album, line(stage));
    match notifications::raise(tx, MessageKind::Progress, About::Album(album.id), &message, false).await? {
        Raised::Changed(id) => bring(tx, album.user_id, id, message.version(), GATHER).await,
        Raised::Unchanged => Ok(()),
        Raised::NoneOpen => start_progress(tx, album, &message, Place::New).await,
    }
}

fn line(stage: Stage) -> Phrase {
    match stage {
        Stage::Requested | Stage::Archived | Stage::Booked { .. } | Stage::Submitted => Phrase::AlbumAsked {},
        Stage::Queued { position } => Phrase::AlbumQueued {
            position: small(position),
        },
        Stage::Running { .. } => Phrase::AlbumRunning {},
        Stage::Trained | Stage::Sampling => Phrase::AlbumStoring {},
        Stage::Stopping => Phrase::AlbumStopping {},
    }
}

fn progress_message(album: &Album, line: Phrase) -> Message {
    let can_be_stopped = !matches!(line, Phrase::AlbumStoring {} | Phrase::AlbumStopping {});
    let message = Message::new(title(album)).and(line);
    if can_be_stopped {
        message.button(Phrase::ButtonStopAlbum {}, Action::StopAlbum(album.id))
    } else {
        message
    }
}

fn title(album: &Album) -> Phrase {
    Phrase::AlbumTitle {
        name: album.avatar_name.clone(),
        count: small(album.wanted),
    }
}

async fn start_progress(
    tx: &mut PgConnection,
    album: &Album,
    message: &Message,
    place: Place,
) -> Result<(), EnqueueError> {
    let key = format!("progress:{}", album.id);
    let new = New {
        kind: MessageKind::Progress,
        takes_place_of: place.message_id(),
        is_last: false,
        ..new(album, &key, message)
    };
    send(tx, &new).await
}

fn new<'a>(album: &Album, dedupe_key: &'a str, message: &'a Message) -> New<'a> {
    New {
        user_id: album.user_id,
        avatar_id: Some(album.avatar_id),
        training_id: None,
        album_id: Some(album.id),
        kind: MessageKind::Final,
        dedupe_key,
        message,
        takes_place_of: None,
        is_last: true,
        reply_to: None,
    }
}

/// An album that a user asked for is settled: its progress message says so, its pictures go out, and a message tells what
/// can be done with them, or why there are none.
pub(crate) async fn album_ended(
    tx: &mut PgConnection,
    album: &Album,
    end: AlbumEnd<'_>,
) -> Result<(), EnqueueError> {
    let name = album.avatar_name.clone();
    let (last, told) = match end {
        AlbumEnd::Ready { pictures, flagged } => {
            send_pictures(tx, album, pictures).await?;
            (Phrase::AlbumDone {}, ready(album, pictures, flagged))
        }
        AlbumEnd::Flagged => (Phrase::AlbumNone {}, again(album, Phrase::AlbumFlagged { name })),
        AlbumEnd::Failed { code } => {
            let code = code.to_owned();
            // The same pictures once more would fail for the same reason.
            let is_final = code == FailureCode::ModelGone.as_str();
            let phrase = Phrase::AlbumFailed { name, code };
            let told = if is_final {
                Message::new(phrase).button(Phrase::ButtonCreate {}, Action::Create)
            } else {
                again(album, phrase)
            };
            (Phrase::AlbumNone {}, told.and(support_code(album.id.0)))
        }
        AlbumEnd::Cancelled => (
            Phrase::AlbumStopped {},
            again(album, Phrase::AlbumCancelled { name }),
        ),
    };
    let last = Message::new(title(album)).and(last);
    if let Raised::Changed(id) =
        notifications::raise(tx, MessageKind::Progress, About::Album(album.id), &last, true).await?
    {
        bring(tx, album.user_id, id, last.version(), Duration::ZERO).await?;
    }
    send(tx, &new(album, &format!("album:{}", album.id), &told)).await
}

/// The first pictures of an avatar go out, without a sound: the final message of their training follows.
pub(crate) async fn samples_ended(
    tx: &mut PgConnection,
    album: &Album,
    pictures: &[PictureId],
) -> Result<(), EnqueueError> {
    if pictures.is_empty() {
        return Ok(());
    }
    send_pictures(tx, album, pictures).await
}

async fn send_pictures(
    tx: &mut PgConnection,
    album: &Album,
    pictures: &[PictureId],
) -> Result<(), EnqueueError> {
    let name = album.avatar_name.clone();
    let message = Message::new(Phrase::AlbumCaption { name }).with_pictures(pictures.to_vec());
    send(tx, &new(album, &format!("pictures:{}", album.id), &message)).await
}

/// What can be done with the pictures: others like them, other words, and a star for each.
fn ready(album: &Album, pictures: &[PictureId], flagged: i64) -> Message {
    let count = small(pictures.len());
    let name = album.avatar_name.clone();
    let mut message = Message::new(Phrase::AlbumReady { name, count });
    if flagged > 0 {
        message = message.and(Phrase::AlbumPartlyFlagged {
            flagged: small(flagged),
        });
    } else if count < small(album.wanted) {
        message = message.and(Phrase::AlbumPartly {
            missing: small(album.wanted).saturating_sub(count),
        });
    }
    let stars = (1..).zip(pictures).map(|(number, picture)| {
        (
            Phrase::ButtonKeepPicture { number },
            Action::KeepPicture(*picture),
        )
    });
    choices(album, message.row(stars), Phrase::ButtonMoreLikeThis {})
}

/// No pictures came: why, and a button that asks for them again.
fn again(album: &Album, phrase: Phrase) -> Message {
    choices(album, Message::new(phrase), Phrase::ButtonRetry {})
}

fn choices(album: &Album, message: Message, once_more: Phrase) -> Message {
    message.row([
        (once_more, Action::MoreLikeThis(album.id)),
        (Phrase::ButtonAgain {}, Action::ChangeAlbum(album.id)),
    ])
}
