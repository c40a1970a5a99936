//! Why one photo is refused, in a form that can be stored and told to the user.

use std::{borrow::Cow, fmt};

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
    /// A picture, but of a format that is not read here (AVIF, GIF…).
    #[error("{0} cannot be read here: send it as a photo, not as a file")]
    UnsupportedFormat(&'static str),
    /// A JPEG, but of a kind that hardly anybody reads (lossless, arithmetic-coded, 12 bits…).
    #[error("a JPEG {0} cannot be read here: send it as a photo, not as a file")]
    RareJpeg(&'static str),
    /// More bytes than [`PhotoLimits::bytes`](super::PhotoLimits::bytes).
    #[error("the file has {bytes} bytes, more than the {limit} allowed")]
    TooLarge {
        /// Size of the file.
        bytes: usize,
        /// The limit it broke.
        limit: usize,
    },
    /// Larger than [`PhotoLimits::side`](super::PhotoLimits::side) or [`PhotoLimits::pixels`](super::PhotoLimits::pixels).
    #[error(
        "the picture has {width}×{height} pixels, more than the {limit} allowed: send it as a photo, not as a file"
    )]
    TooManyPixels {
        /// As the header says.
        width: u32,
        /// As the header says.
        height: u32,
        /// The limit it broke.
        limit: PixelLimit,
    },
    /// Begins as a picture, but cannot be read to its end.
    #[error("the picture is damaged: {0}")]
    Damaged(Cow<'static, str>),
}

/// A limit of a picture's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PixelLimit {
    /// Of its longer side, in pixels.
    Side(u32),
    /// Of all its pixels.
    All(u64),
}

impl fmt::Display for PixelLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Side(pixels) => write!(f, "{pixels} px"),
            Self::All(pixels) => write!(f, "{} MP", pixels / 1_000_000),
        }
    }
}

/// A number of bytes as [`PhotoProblem::detail`] names it.
pub fn megabytes(bytes: usize) -> String {
    (bytes / 1_000_000).to_string()
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
            Self::UnsupportedFormat(_) | Self::RareJpeg(_) => "unsupported_format",
            Self::TooLarge { .. } => "too_large",
            Self::TooManyPixels { .. } => "too_many_pixels",
            Self::Damaged(_) => "damaged",
        }
    }

    /// What the code's text names: what the file is, as its user calls it, or the limit that it broke.
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::UnsupportedFormat(format) => Some((*format).to_owned()),
            Self::RareJpeg(_) => Some("JPEG".to_owned()),
            Self::TooLarge { limit, .. } => Some(megabytes(*limit)),
            Self::TooManyPixels { limit, .. } => Some(limit.to_string()),
            Self::Empty | Self::NotAnImage | Self::Heic | Self::Damaged(_) => None,
        }
    }

    /// A damaged picture, and where it stopped making sense.
    pub(super) const fn damaged(why: &'static str) -> Self {
        Self::Damaged(Cow::Borrowed(why))
    }
}
