//! The dialogue that asks for pictures: style → own words → a card with shape and number → make.
//!
//! The draft album is the whole state, so the dialogue continues where the user stopped. Its words are the only answer that
//! is typed: they are an open question, which a command or another tap ends. The avatar's trigger word is never shown.

use jobs::{
    domain::{Action, AlbumId, Aspect, AvatarId, PictureId},
    producer::{AlbumDraft, Ordered, Place, ProducerError, Turn},
    texts::{Message, Phrase},
};

use super::{gallery, photos::small, wizard::Toast};

/// Styles on one page: two in a row, so that all of them fit a phone's screen with the question.
const STYLES: usize = 8;
/// Most characters of a user's words that a message repeats.
pub(super) const SHOWN_WORDS: usize = 300;

/// Begins with the styles for this avatar. An avatar that has no model shows its page instead.
pub(super) async fn begin(turn: &mut Turn, avatar: AvatarId, place: Place) -> Result<Toast, ProducerError> {
    match turn.begin_album(avatar).await? {
        Some(draft) => ask_next(turn, &draft, place).await.map(|()| None),
        None => gallery::show(turn, Some(avatar), place).await,
    }
}

/// Asks for what the draft lacks; a complete one is shown as a card.
async fn ask_next(turn: &mut Turn, draft: &AlbumDraft, place: Place) -> Result<(), ProducerError> {
    let message = if draft.style.is_none() {
        styles(turn, draft, 0)
    } else if draft.words.is_none() {
        turn.ask_words(draft.id).await?;
        words(turn, draft)
    } else {
        card(turn, draft)
    };
    turn.reply(&message, place).await
}

/// The next question after an answer. `is_answered`: there is such a draft.
async fn go_on(
    turn: &mut Turn,
    album: AlbumId,
    is_answered: bool,
    place: Place,
) -> Result<Toast, ProducerError> {
    match turn.album_draft(album).await?.filter(|_| is_answered) {
        Some(draft) => ask_next(turn, &draft, place).await.map(|()| None),
        None => gone(turn).await,
    }
}

/// A button of a draft that was left, sent off or replaced.
async fn gone(turn: &mut Turn) -> Result<Toast, ProducerError> {
    gallery::show(turn, None, Place::New).await?;
    Ok(Some(Phrase::StaleButton {}))
}

/// Shows a page of the styles.
pub(super) async fn show_styles(
    turn: &mut Turn,
    album: AlbumId,
    page: u8,
    place: Place,
) -> Result<Toast, ProducerError> {
    let Some(draft) = turn.album_draft(album).await? else {
        return gone(turn).await;
    };
    let message = styles(turn, &draft, usize::from(page));
    turn.reply(&message, place).await?;
    Ok(None)
}

/// Chooses a style. One that was taken out of the table since is not chosen: the styles that there are are shown.
pub(super) async fn choose_style(
    turn: &mut Turn,
    album: AlbumId,
    style: &str,
    place: Place,
) -> Result<Toast, ProducerError> {
    let is_answered = turn.choose_style(album, style).await?;
    let toast = go_on(turn, album, is_answered, place).await?;
    let is_offered = turn.rules().pictures().styles.get(style).is_some();
    Ok(toast.or((!is_offered).then_some(Phrase::StyleGone {})))
}

/// Asks for the user's own words, also to change them.
pub(super) async fn ask_words(turn: &mut Turn, album: AlbumId, place: Place) -> Result<Toast, ProducerError> {
    let Some(draft) = turn.album_draft(album).await? else {
        return gone(turn).await;
    };
    turn.ask_words(album).await?;
    let message = words(turn, &draft);
    turn.reply(&message, place).await?;
    Ok(None)
}

/// The answer to that question. Words that do not fit leave it open.
pub(super) async fn on_words(turn: &mut Turn, album: AlbumId, text: &str) -> Result<(), ProducerError> {
    let words = match turn.rules().pictures().prompt(text) {
        Ok(words) => words,
        Err(refusal) => {
            let code = refusal.code().to_owned();
            let max = small(turn.rules().pictures().prompt_max);
            let message = Message::new(Phrase::WordsRefused { code, max }).row([
                (Phrase::ButtonWithoutWords {}, Action::WithoutWords(album)),
                (Phrase::ButtonDiscard {}, Action::LeaveAlbum(album)),
            ]);
            return turn.reply(&message, Place::New).await;
        }
    };
    turn.end_question().await?;
    let is_answered = turn.choose_words(album, &words).await?;
    go_on(turn, album, is_answered, Place::New).await.map(drop)
}

/// "Without words".
pub(super) async fn without_words(
    turn: &mut Turn,
    album: AlbumId,
    place: Place,
) -> Result<Toast, ProducerError> {
    let is_answered = turn.choose_words(album, "").await?;
    go_on(turn, album, is_answered, place).await
}

/// Chooses the shape of the pictures.
pub(super) async fn choose_aspect(
    turn: &mut Turn,
    album: AlbumId,
    aspect: Aspect,
    place: Place,
) -> Result<Toast, ProducerError> {
    let is_answered = turn.choose_aspect(album, aspect).await?;
    go_on(turn, album, is_answered, place).await
}

/// Chooses how many pictures are made.
pub(super) async fn choose_count(
    turn: &mut Turn,
    album: AlbumId,
    count: u8,
    place: Place,
) -> Result<Toast, ProducerError> {
    let is_answered = turn.choose_count(album, count).await?;
    go_on(turn, album, is_answered, place).await
}

/// Leaves the dialogue, back to the avatar.
pub(super) async fn leave(turn: &mut Turn, album: AlbumId, place: Place) -> Result<Toast, ProducerError> {
    let avatar = turn.album_draft(album).await?.map(|draft| draft.avatar);
    turn.leave_album(Some(album)).await?;
    match avatar {
        Some(avatar) => gallery::show(turn, Some(avatar), place).await,
        None => gone(turn).await,
    }
}

/// "Make": the only tap here that costs money.
pub(super) async fn make(turn: &mut Turn, album: AlbumId, place: Place) -> Result<Toast, ProducerError> {
    let ordered = turn.order_album(album, place).await?;
    answer(turn, ordered, place).await
}

/// "More like this": the same choices once more, below the pictures.
pub(super) async fn again(turn: &mut Turn, album: AlbumId) -> Result<Toast, ProducerError> {
    let ordered = turn.order_again(album, Place::New).await?;
    answer(turn, ordered, Place::New).await
}

async fn answer(turn: &mut Turn, ordered: Ordered, place: Place) -> Result<Toast, ProducerError> {
    match ordered {
        Ordered::Yes => Ok(None),
        Ordered::Incomplete(draft) => {
            ask_next(turn, &draft, place).await?;
            Ok(draft.style.is_none().then_some(Phrase::StyleGone {}))
        }
        Ordered::AlreadyMaking => Ok(Some(Phrase::AlreadyMaking {})),
        Ordered::TooManyLive { live } => Ok(Some(Phrase::TooManyAlbums { live })),
        Ordered::TooManyToday { left, .. } if left > 0 => Ok(Some(Phrase::PicturesLeft { left })),
        Ordered::TooManyToday { most, wait, .. } => Ok(Some(Phrase::PicturesUsedUp {
            most,
            wait: Phrase::in_time(wait),
        })),
        Ordered::Stale => gone(turn).await,
    }
}

/// Opens the dialogue with an album's choices, below its pictures.
pub(super) async fn change(turn: &mut Turn, album: AlbumId) -> Result<Toast, ProducerError> {
    let draft = turn.copy_album(album).await?;
    reopen(turn, draft).await
}

/// The same with the choices that led to a picture.
pub(super) async fn like_picture(turn: &mut Turn, picture: PictureId) -> Result<Toast, ProducerError> {
    let draft = turn.copy_picture(picture).await?;
    reopen(turn, draft).await
}

async fn reopen(turn: &mut Turn, draft: Option<AlbumDraft>) -> Result<Toast, ProducerError> {
    match draft {
        Some(draft) => ask_next(turn, &draft, Place::New).await.map(|()| None),
        None => gone(turn).await,
    }
}

/// Calls an album off. Its progress message says so.
pub(super) async fn stop(turn: &mut Turn, album: AlbumId) -> Result<Toast, ProducerError> {
    if turn.stop_album(album).await? {
        Ok(None)
    } else {
        Ok(Some(Phrase::AlbumOver {}))
    }
}

/// The name of a style for the user; one that is gone from the table has none.
pub(super) fn style_name(turn: &Turn, style: &str) -> Phrase {
    let style = turn.rules().pictures().styles.get(style);
    style.map_or(Phrase::StyleUnnamed {}, Phrase::style)
}

/// The beginning of a user's words, for messages whose length is limited.
pub(super) fn beginning(words: &str) -> String {
    let mut beginning: String = words.chars().take(SHOWN_WORDS).collect();
    if beginning.len() < words.len() {
        beginning.push('…');
    }
    beginning
}

fn styles(turn: &Turn, draft: &AlbumDraft, page: usize) -> Message {
    let fitting: Vec<_> = turn
        .rules()
        .pictures()
        .styles
        .fitting(draft.training_type)
        .collect();
    let pages: Vec<_> = fitting.chunks(STYLES).collect();
    // A page of an older table is the last one now.
    let page = page.min(pages.len().saturating_sub(1));
    let name = draft.name.clone();
    let mut message = Message::new(Phrase::AskStyle { name });
    for pair in pages.get(page).into_iter().flat_map(|page| page.chunks(2)) {
        message = message.row(pair.iter().map(|style| {
            let action = Action::ChooseStyle(draft.id, style.name.clone());
            (Phrase::style(style), action)
        }));
    }
    if pages.len() > 1 {
        let to = |page: usize| Action::Styles(draft.id, u8::try_from(page % pages.len()).unwrap_or(0));
        message = message.row([
            (Phrase::ButtonPrevious {}, to(page + pages.len() - 1)),
            (Phrase::ButtonNext {}, to(page + 1)),
        ]);
    }
    message.button(Phrase::ButtonDiscard {}, Action::LeaveAlbum(draft.id))
}

fn words(turn: &Turn, draft: &AlbumDraft) -> Message {
    let max = small(turn.rules().pictures().prompt_max);
    let title = title(turn, draft);
    let question = Message::new(title).and(Phrase::AskWords { max });
    question
        .button(Phrase::ButtonWithoutWords {}, Action::WithoutWords(draft.id))
        .row([
            (Phrase::ButtonBack {}, Action::Styles(draft.id, 0)),
            (Phrase::ButtonDiscard {}, Action::LeaveAlbum(draft.id)),
        ])
}

fn title(turn: &Turn, draft: &AlbumDraft) -> Phrase {
    Phrase::AlbumChoice {
        name: draft.name.clone(),
        style: Box::new(style_name(turn, draft.style.as_deref().unwrap_or_default())),
    }
}

/// The card: everything that was chosen, and the buttons that change it.
fn card(turn: &Turn, draft: &AlbumDraft) -> Message {
    let style = draft
        .style
        .as_deref()
        .and_then(|style| turn.rules().pictures().styles.get(style));
    let mut message = Message::new(title(turn, draft));
    let words = draft.words.as_deref().unwrap_or_default();
    if !words.is_empty() {
        let words = beginning(words);
        message = message.and(Phrase::AlbumWords { words });
    }
    let chosen = draft.aspect.or(style.map(|style| style.aspect));
    let aspects = Aspect::ALL.iter().map(|aspect| {
        let (width, height) = aspect.ratio();
        let label = if Some(*aspect) == chosen {
            Phrase::ButtonAspectChosen { width, height }
        } else {
            Phrase::ButtonAspect { width, height }
        };
        (label, Action::ChooseAspect(draft.id, *aspect))
    });
    let counts = (1..=turn.rules().pictures().most_pictures).map(|count| {
        let number = u32::from(count);
        let label = if count == draft.count {
            Phrase::ButtonCountChosen { number }
        } else {
            Phrase::ButtonCount { number }
        };
        (label, Action::ChooseCount(draft.id, count))
    });
    let count = u32::from(draft.count);
    message
        .and(Phrase::AlbumReadyToMake {})
        .row(aspects)
        .row(counts)
        .row([
            (Phrase::ButtonStyleAgain {}, Action::Styles(draft.id, 0)),
            (Phrase::ButtonWords {}, Action::AskWords(draft.id)),
        ])
        .button(Phrase::ButtonMake { count }, Action::Make(draft.id))
        .button(Phrase::ButtonDiscard {}, Action::LeaveAlbum(draft.id))
}

/// /cancel while words are asked for, or while nothing else can be cancelled. `false`: there is no draft.
pub(super) async fn cancel(turn: &mut Turn) -> Result<bool, ProducerError> {
    let is_left = turn.leave_album(None).await?;
    if is_left {
        let message = Message::new(Phrase::AlbumLeft {}).button(Phrase::ButtonGallery {}, Action::Gallery);
        turn.reply(&message, Place::New).await?;
    }
    Ok(is_left)
}
