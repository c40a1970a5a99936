//! What of a user's pictures they walk through.

/// All pictures, or those with a star.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shelf {
    /// Every picture that is kept.
    All,
    /// The user's favourites.
    Favourites,
}

impl Shelf {
    /// Both.
    pub const ALL: [Self; 2] = [Self::All, Self::Favourites];

    /// The word in buttons.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Favourites => "stars",
        }
    }

    /// The shelf with this word.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|shelf| shelf.as_str() == word)
    }
}
