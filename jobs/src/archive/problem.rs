//! Why one photo is refused, in a form that can be stored and told to the user.

use std::borrow::Cow;

/// Why a photo does not go into the archive.
///
/// [`code`](Self::code) is what `avatar_photos.reason` stores and what the locale files translate, so it
/// never changes; the `Display` text is for the log. Every problem is permanent: the same bytes meet it
/// again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PhotoProblem {
    /// No bytes at all.
    #[error("the file is empty")]
    Empty,
    /// Nothing that we know as a picture: text, a video, a document.
    #[error("the file is not an image")]
    NotAnImage,
    /// An iPhone's "send as file". Telegram converts it when it is sent as a photo.
    #[error("HEIC cannot be read here: send it as a photo, not as a file")]
    Heic,
    /// A picture, but of a kind that is not read here (AVIF, GIF, arithmetic-coded JPEG…).
    #[error("{0} cannot be read here: send JPEG, PNG or WebP")]
    UnsupportedFormat(&'static str),
    /// More bytes than [`Limits::bytes`](super::Limits::bytes).
    #[error("the file has {bytes} bytes, more than the {limit} allowed")]
    TooLarge {
        /// Size of the file.
        bytes: usize,
        /// The limit it broke.
        limit: usize,
    },
    /// Larger than [`Limits::side`](super::Limits::side) or [`Limits::pixels`](super::Limits::pixels).
    #[error("the picture has {width}×{height} pixels, more than allowed")]
    TooManyPixels {
        /// As the header says.
        width: u32,
        /// As the header says.
        height: u32,
    },
    /// Begins as a picture, but cannot be read to its end.
    #[error("the picture is damaged: {0}")]
    Damaged(Cow<'static, str>),
}

impl PhotoProblem {
    /// Every code there is; each has a text in each locale.
    pub const CODES: [&'static str; 7] = [
        "empty",
        "not_an_image",
        "heic",
        "unsupported_format",
        "too_large",
        "too_many_pixels",
        "damaged",
    ];

    /// The stable code: one of [`CODES`](Self::CODES).
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::NotAnImage => "not_an_image",
            Self::Heic => "heic",
            Self::UnsupportedFormat(_) => "unsupported_format",
            Self::TooLarge { .. } => "too_large",
            Self::TooManyPixels { .. } => "too_many_pixels",
            Self::Damaged(_) => "damaged",
        }
    }

    /// A damaged picture, and where it stopped making sense.
    pub(super) const fn damaged(why: &'static str) -> Self {
        Self::Damaged(Cow::Borrowed(why))
    }
}
