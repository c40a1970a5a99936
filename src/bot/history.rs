//! The pictures of the past, one at a time, in one message: all of them, or the favourites.
//!
//! As in the gallery, buttons carry the picture to which they lead, and one that is gone is answered with words over the chat.

use jobs::{
    domain::{Action, PictureId, Shelf},
    producer::{PictureCard, Place, ProducerError, Turn},
    texts::{Message, Phrase},
};

use super::{
    albums::{beginning, style_name},
    wizard::Toast,
};

/// Shows this picture, or the newest of the shelf.
pub(super) async fn show(
    turn: &mut Turn,
    shelf: Shelf,
    picture: Option<PictureId>,
    place: Place,
) -> Result<Toast, ProducerError> {
    if let Some(card) = turn.picture(shelf, picture).await? {
        let message = page(turn, shelf, &card);
        turn.reply(&message, place).await?;
        return Ok(None);
    }
    let newest = match picture {
        Some(_) => turn.picture(shelf, None).await?,
        None => None,
    };
    let message = newest.map_or_else(|| empty(shelf), |card| page(turn, shelf, &card));
    turn.reply(&message, place).await?;
    Ok(picture.map(|_| Phrase::PictureGone {}))
}

/// Marks a picture as a favourite, or takes the mark back, and shows it anew. On the shelf of favourites the next one takes
/// the place of a picture that is none any more.
pub(super) async fn star(
    turn: &mut Turn,
    picture: PictureId,
    is_favourite: bool,
    shelf: Shelf,
    place: Place,
) -> Result<Toast, ProducerError> {
    let after = match shelf {
        Shelf::Favourites if !is_favourite => {
            turn.picture(shelf, Some(picture)).await?.map(|card| card.after)
        }
        _ => None,
    };
    let is_there = turn.star(picture, is_favourite).await?;
    let next = after.filter(|after| *after != picture);
    let toast = match after {
        Some(_) => show(turn, shelf, next, place).await?,
        None => show(turn, shelf, Some(picture), place).await?,
    };
    let word = if is_favourite {
        Phrase::PictureStarred {}
    } else {
        Phrase::PictureUnstarred {}
    };
    Ok(is_there.then_some(word).or(toast))
}

/// The star under an album: marks a picture and leaves the chat as it is. A second tap changes nothing.
pub(super) async fn keep(turn: &mut Turn, picture: PictureId) -> Result<Toast, ProducerError> {
    Ok(Some(if turn.star(picture, true).await? {
        Phrase::PictureStarred {}
    } else {
        Phrase::PictureGone {}
    }))
}

/// Asks whether to delete a picture.
pub(super) async fn ask_delete(
    turn: &mut Turn,
    picture: PictureId,
    shelf: Shelf,
    place: Place,
) -> Result<Toast, ProducerError> {
    let Some(card) = turn.picture(Shelf::All, Some(picture)).await? else {
        return show(turn, shelf, Some(picture), place).await;
    };
    let question = Message::new(Phrase::AskDeletePicture {})
        .with_pictures(vec![card.id])
        .row([
            (
                Phrase::ButtonDiscardNow {},
                Action::DeletePictureNow(picture, shelf),
            ),
            (Phrase::ButtonBack {}, Action::Picture(picture, shelf)),
        ]);
    turn.reply(&question, place).await?;
    Ok(None)
}

/// Deletes a picture, and shows the next one in its place.
pub(super) async fn delete(
    turn: &mut Turn,
    picture: PictureId,
    shelf: Shelf,
    place: Place,
) -> Result<Toast, ProducerError> {
    let card = turn.picture(shelf, Some(picture)).await?;
    let next = card.map(|card| card.after).filter(|after| *after != picture);
    let is_deleted = turn.delete_picture(picture).await?;
    show(turn, shelf, next, place).await?;
    Ok(Some(if is_deleted {
        Phrase::PictureDeleted {}
    } else {
        Phrase::PictureGone {}
    }))
}

fn page(turn: &Turn, shelf: Shelf, card: &PictureCard) -> Message {
    let (place, total) = (card.place, card.total);
    let name = card.avatar.clone();
    let style = Box::new(style_name(turn, &card.style));
    let caption = match shelf {
        Shelf::All => Phrase::PicturePlace {
            place,
            total,
            name,
            style,
        },
        Shelf::Favourites => Phrase::FavouritePlace {
            place,
            total,
            name,
            style,
        },
    };
    let mut message = Message::new(caption).with_pictures(vec![card.id]);
    if !card.words.is_empty() {
        let words = beginning(&card.words);
        message = message.and(Phrase::AlbumWords { words });
    }
    if total > 1 {
        message = message.row([
            (Phrase::ButtonPrevious {}, Action::Picture(card.before, shelf)),
            (Phrase::ButtonNext {}, Action::Picture(card.after, shelf)),
        ]);
    }
    let star = if card.is_favourite {
        (Phrase::ButtonUnstar {}, Action::Unstar(card.id, shelf))
    } else {
        (Phrase::ButtonStar {}, Action::Star(card.id, shelf))
    };
    let other = match shelf {
        Shelf::All => (Phrase::ButtonFavourites {}, Action::Pictures(Shelf::Favourites)),
        Shelf::Favourites => (Phrase::ButtonAllPictures {}, Action::Pictures(Shelf::All)),
    };
    message
        .row([
            star,
            (Phrase::ButtonMoreLikePicture {}, Action::MoreLikePicture(card.id)),
        ])
        .row([
            other,
            (
                Phrase::ButtonDeletePicture {},
                Action::DeletePicture(card.id, shelf),
            ),
        ])
}

fn empty(shelf: Shelf) -> Message {
    match shelf {
        Shelf::All => Message::new(Phrase::PicturesNone {}).button(Phrase::ButtonGallery {}, Action::Gallery),
        Shelf::Favourites => Message::new(Phrase::FavouritesNone {})
            .button(Phrase::ButtonAllPictures {}, Action::Pictures(Shelf::All)),
    }
}
