//! A question outside the wizard that the user's next text answers.

use uuid::Uuid;

use super::{AlbumId, AvatarId};

/// The open question of a user. It is modal: the next command or tap ends it, so that a text never answers a question
/// that was left long ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenQuestion {
    /// What to call the avatar from now on.
    NewName(AvatarId),
    /// What the pictures of a draft album should show, in the user's own words.
    Words(AlbumId),
}

impl OpenQuestion {
    /// The word in `users.open_question`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NewName(_) => "new_name",
            Self::Words(_) => "words",
        }
    }

    /// The id in `users.open_question_about`.
    pub const fn about(self) -> Uuid {
        match self {
            Self::NewName(avatar) => avatar.0,
            Self::Words(album) => album.0,
        }
    }

    /// The stored question. `None`: another version asked it, and only that version can read the answer.
    pub fn stored(word: &str, about: Uuid) -> Option<Self> {
        match word {
            "new_name" => Some(Self::NewName(AvatarId(about))),
            "words" => Some(Self::Words(AlbumId(about))),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_read_as_it_was_stored() {
        let about = Uuid::from_u128(7);
        for question in [
            OpenQuestion::NewName(AvatarId(about)),
            OpenQuestion::Words(AlbumId(about)),
        ] {
            assert_eq!(
                OpenQuestion::stored(question.as_str(), question.about()),
                Some(question)
            );
        }
        assert_eq!(OpenQuestion::stored("from_the_future", about), None);
    }
}
