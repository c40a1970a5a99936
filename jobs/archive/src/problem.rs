//! Why a photo is refused, in a form that can be stored and shown to the user.

use std::{borrow::Cow, fmt};

/// Why a photo does not go into the archive.
///
/// [`code`](Self::code) is stored in `avatar_photos.reason` and translated by the locale files, so it never changes;
/// the `Display` text is for the log. Every problem is permanent: the same bytes always meet it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PhotoProblem {
    /// The file has no bytes.
    #[error("the file is empty")]
    Empty,
    /// Not a picture: text, a video, a document.
    #[error("the file is not an image")]
    NotAnImage,
    /// A photo that an iPhone sent as a file. Telegram converts it if it is sent as a photo.
    #[error("HEIC cannot be read here: send it as a photo, not as a file")]
    Heic,
    /// A picture in a format that we do not read (AVIF, GIF…).
    #[error("{0} cannot be read here: send it as a photo, not as a file")]
    UnsupportedFormat(&'static str),
    /// A JPEG of a kind that hardly any program reads (lossless, arithmetic-coded, 12 bits…).
    #[error("a JPEG {0} cannot be read here: send it as a photo, not as a file")]
    RareJpeg(&'static str),
    /// The file is larger than [`PhotoLimits::bytes`](super::PhotoLimits::bytes).
    #[error("the file has {bytes} bytes, more than the {limit} allowed")]
    TooLarge {
        /// Size of the file in bytes.
        bytes: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The picture is larger than [`PhotoLimits::side`](super::PhotoLimits::side) or [`PhotoLimits::pixels`](super::PhotoLimits::pixels).
    #[error(
        "the picture has {width}×{height} pixels, more than the {limit} allowed: send it as a photo, not as a file"
    )]
    TooManyPixels {
        /// In pixels, from the header.
        width: u32,
        /// In pixels, from the header.
        height: u32,
        /// The limit that was exceeded.
        limit: PixelLimit,
    },
    /// It begins like a picture, but cannot be read to its end.
    #[error("the picture is damaged: {0}")]
    Damaged(Cow<'static, str>),
}

/// The limit that a picture exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PixelLimit {
    /// The limit of the longer side, in pixels.
    Side(u32),
    /// The limit of width times height, in pixels.
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

/// A number of bytes in the unit of [`PhotoProblem::detail`]: megabytes.
pub fn megabytes(bytes: usize) -> String {
    (bytes / 1_000_000).to_string()
}

impl PhotoProblem {
    /// All codes; each has a text in each locale.
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

    /// The value in the code's text: the file's format in the user's words, or the limit that was exceeded.
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::UnsupportedFormat(format) => Some((*format).to_owned()),
            Self::RareJpeg(_) => Some("JPEG".to_owned()),
            Self::TooLarge { limit, .. } => Some(megabytes(*limit)),
            Self::TooManyPixels { limit, .. } => Some(limit.to_string()),
            Self::Empty | Self::NotAnImage | Self::Heic | Self::Damaged(_) => None,
        }
    }

    /// A damaged picture, and the point at which it stopped making sense.
    pub(super) const fn damaged(why: &'static str) -> Self {
        Self::Damaged(Cow::Borrowed(why))
    }
}
