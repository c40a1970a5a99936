//! The files Telegram stores: real bytes, ids that follow from the content, paths that expire.
//!
//! The same content always has the same `file_id` and `file_unique_id`, since bots recognise a photo they
//! have seen by its `file_unique_id`. A photo is listed in several sizes, as on the real server. The largest
//! size is the uploaded bytes, untouched; the smaller ones are flat grey pictures of the right dimensions, so
//! that a bot that picks a thumbnail by mistake is noticed at once.

use std::collections::HashMap;

use axum::body::Bytes;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::image_header;
use super::refusal::{Known, Refusal};

/// The largest file that a bot can download, though users can send 2 GB.
const MAX_DOWNLOAD: usize = 20 << 20;
const MAX_PHOTO: usize = 10 << 20;
/// How long the real server promises that a path from `getFile` works.
const PATH_SECONDS: i64 = 3600;
/// Longest sides of the smaller sizes, which Telegram calls `m` and `x`.
const THUMBNAILS: [u32; 2] = [320, 800];

/// Bot API's `PhotoSize`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhotoSize {
    /// The bot's handle on this size, for `getFile` and for sending it again.
    pub file_id: String,
    /// The same for every sending of the same content.
    pub file_unique_id: String,
    /// Width of this size in pixels.
    pub width: u32,
    /// Height of this size in pixels.
    pub height: u32,
    /// Size of the file in bytes.
    pub file_size: usize,
}

/// Bot API's `Document`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// The bot's handle on the file, for `getFile` and for sending it again.
    pub file_id: String,
    /// The same for every sending of the same content.
    pub file_unique_id: String,
    /// The file's name on the sender's side.
    pub file_name: String,
    /// The file's type as the sender's app guessed it.
    pub mime_type: String,
    /// Size of the file in bytes.
    pub file_size: usize,
}

pub(super) struct StoredFile {
    pub bytes: Bytes,
    pub mime: String,
    unique_id: String,
    path: String,
    /// When `getFile` last returned the path, in unix seconds of the simulator's clock.
    granted_at: Option<i64>,
    /// The message content that sending this `file_id` makes.
    pub media: Media,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Media {
    Photo(Vec<PhotoSize>),
    Document(Document),
}

/// A file's record in the journal. Its bytes lie in a file beside the journal.
#[derive(Serialize, Deserialize)]
pub(super) struct KeptFile {
    pub sha256: String,
    mime: String,
    unique_id: String,
    path: String,
    media: Media,
}

impl StoredFile {
    pub fn kept(&self, sha256: String) -> KeptFile {
        KeptFile {
            sha256,
            mime: self.mime.clone(),
            unique_id: self.unique_id.clone(),
            path: self.path.clone(),
            media: self.media.clone(),
        }
    }

    pub fn again(kept: KeptFile, bytes: Bytes) -> Self {
        Self {
            bytes,
            mime: kept.mime,
            unique_id: kept.unique_id,
            path: kept.path,
            granted_at: None,
            media: kept.media,
        }
    }
}

#[derive(Default)]
pub(super) struct Files {
    by_id: HashMap<String, StoredFile>,
    /// Ids of files that are not in the journal yet.
    pub added: Vec<String>,
}

impl Files {
    /// Stores a picture and lists its sizes, smallest first.
    pub fn add_photo(&mut self, bytes: Bytes) -> Result<Media, Refusal> {
        if bytes.len() > MAX_PHOTO {
            return Err(Refusal::bad_request(format!(
                "file of size {} bytes is too big for a photo; the maximum size is {MAX_PHOTO} bytes",
                bytes.len()
            )));
        }
        let (width, height) = image_header::dimensions(&bytes).ok_or(Known::ImageProcessFailed)?;
        if width.saturating_add(height) > 10_000 || width > 20 * height || height > 20 * width {
            return Err(Known::PhotoInvalidDimensions.into());
        }
        let mut contents: Vec<(u32, u32, Bytes)> = THUMBNAILS
            .iter()
            .filter(|side| **side < width.max(height))
            .map(|side| {
                let scaled = |length: u32| (length * side / width.max(height)).max(1);
                (
                    scaled(width),
                    scaled(height),
                    flat_jpeg(scaled(width), scaled(height)),
                )
            })
            .collect();
        let digest = Sha256::digest(&bytes);
        contents.push((width, height, bytes));
        let sizes: Vec<PhotoSize> = contents
            .iter()
            .map(|(width, height, content)| {
                let (file_id, file_unique_id) = ids("AgACAgIAAxk", &digest, *width);
                PhotoSize {
                    file_id,
                    file_unique_id,
                    width: *width,
                    height: *height,
                    file_size: content.len(),
                }
            })
            .collect();
        for (size, (_, _, content)) in sizes.iter().zip(contents) {
            let media = Media::Photo(sizes.clone());
            self.insert(
                &size.file_id,
                &size.file_unique_id,
                content,
                "image/jpeg",
                "photos",
                "jpg",
                media,
            );
        }
        Ok(Media::Photo(sizes))
    }

    pub fn add_document(&mut self, name: &str, mime: Option<&str>, bytes: Bytes) -> Media {
        let digest = Sha256::digest(&bytes);
        let (file_id, file_unique_id) = ids("BQACAgIAAxk", &digest, 0);
        let extension = name.rsplit_once('.').map_or("bin", |(_, extension)| extension);
        let told = mime.filter(|mime| *mime != "application/octet-stream");
        let mime = told.unwrap_or_else(|| guess_mime(extension));
        let document = Document {
            file_id: file_id.clone(),
            file_unique_id: file_unique_id.clone(),
            file_name: name.to_owned(),
            mime_type: mime.to_owned(),
            file_size: bytes.len(),
        };
        let media = Media::Document(document);
        self.insert(
            &file_id,
            &file_unique_id,
            bytes,
            mime,
            "documents",
            extension,
            media.clone(),
        );
        media
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the two callers above are the whole use; a struct would repeat them"
    )]
    fn insert(
        &mut self,
        id: &str,
        unique_id: &str,
        bytes: Bytes,
        mime: &str,
        folder: &str,
        extension: &str,
        media: Media,
    ) {
        let path = format!("{folder}/file_{}.{extension}", self.by_id.len());
        let file = StoredFile {
            bytes,
            mime: mime.to_owned(),
            unique_id: unique_id.to_owned(),
            path,
            granted_at: None,
            media,
        };
        // The name and path of the first sender stay, since the content is the same.
        self.by_id.entry(id.to_owned()).or_insert_with(|| {
            self.added.push(id.to_owned());
            file
        });
    }

    pub fn put_back(&mut self, id: String, file: StoredFile) {
        self.by_id.insert(id, file);
    }

    pub fn all(&self) -> impl Iterator<Item = (&String, &StoredFile)> {
        self.by_id.iter()
    }

    pub fn get(&self, id: &str) -> Option<&StoredFile> {
        self.by_id.get(id)
    }

    pub fn by_unique_id(&self, unique_id: &str) -> Option<&StoredFile> {
        self.by_id.values().find(|file| file.unique_id == unique_id)
    }

    /// `getFile`: returns the file's path, which works for an hour.
    pub fn grant(&mut self, id: &str, now: i64) -> Result<Value, Refusal> {
        let file = self.by_id.get_mut(id).ok_or(Known::InvalidFileId)?;
        if file.bytes.len() > MAX_DOWNLOAD {
            return Err(Known::FileIsTooBig.into());
        }
        file.granted_at = Some(now);
        Ok(json!({
            "file_id": id,
            "file_unique_id": file.unique_id,
            "file_size": file.bytes.len(),
            "file_path": file.path,
        }))
    }

    /// The file at a path; only if `getFile` returned the path within the last hour.
    pub fn by_path(&self, path: &str, now: i64) -> Option<&StoredFile> {
        self.by_id
            .values()
            .find(|file| file.path == path)
            .filter(|file| file.granted_at.is_some_and(|at| now - at < PATH_SECONDS))
    }
}

/// `(file_id, file_unique_id)` of one size of a file.
fn ids(prefix: &str, digest: &[u8], width: u32) -> (String, String) {
    let mut hash = Sha256::new();
    hash.update(prefix);
    hash.update(digest);
    hash.update(width.to_be_bytes());
    let hash = hash.finalize();
    let file_id = format!("{prefix}{}", URL_SAFE_NO_PAD.encode(&hash[8..]));
    (file_id, format!("AQAD{}", URL_SAFE_NO_PAD.encode(&hash[..8])))
}

fn flat_jpeg(width: u32, height: u32) -> Bytes {
    let (Ok(columns), Ok(rows)) = (u16::try_from(width), u16::try_from(height)) else {
        return Bytes::new();
    };
    let pixels = vec![0x80; usize::from(columns) * usize::from(rows)];
    let mut jpeg = Vec::new();
    let encoder = jpeg_encoder::Encoder::new(&mut jpeg, 50);
    // Writing to memory cannot fail. If it did, the thumbnail would be an empty file, which a test would
    // notice.
    drop(encoder.encode(&pixels, columns, rows, jpeg_encoder::ColorType::Luma));
    jpeg.into()
}

fn guess_mime(extension: &str) -> &'static str {
    match extension.to_ascii_lowercase().as_str() {
        "jpg" | "jpeg" => "image/jpeg",
        "png" => "image/png",
        "webp" => "image/webp",
        "gif" => "image/gif",
        "heic" => "image/heic",
        "pdf" => "application/pdf",
        "zip" => "application/zip",
        "txt" => "text/plain",
        _ => "application/octet-stream",
    }
}
