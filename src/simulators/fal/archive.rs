//! How a trainer reads an archive: it downloads and opens the file and decodes every picture.
//!
//! The pictures are decoded for real, so that an archive of broken files fails here as it would at FAL.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io::{Cursor, Read};
use std::ops::RangeInclusive;
use std::time::Duration;

use axum::body::Bytes;
use image::{DynamicImage, ImageFormat};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use zip::read::ZipFile;
use zip::{CompressionMethod, ZipArchive};

use super::origin::Service;
use super::pictures::keepsake;
use super::simulation::Simulation;

/// Largest unpacked size of one file in the archive.
const LARGEST_FILE: u64 = 64 << 20;
const DOWNLOAD_TIMEOUT: Duration = Duration::from_mins(1);

/// Contents of an accepted archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Number of pictures; all of them were decoded.
    pub images: usize,
    /// Number of caption files.
    pub captions: usize,
    /// Size of the archive in bytes.
    pub bytes: u64,
    /// SHA-256 of the archive, in lower-case hex.
    pub sha256: String,
    /// Names in the archive, in its order.
    pub names: Vec<String>,
    /// Width and height of each picture, in the archive's order.
    pub dimensions: Vec<(u32, u32)>,
    /// Number of pictures that still have an Exif block. FAL accepts those, but Exif can reveal private data.
    /// than we promised.
    pub images_with_exif: usize,
    /// Whether every entry is stored, none deflated.
    pub stored: bool,
}

/// The error for a refused archive: `type` and `msg` of the model error.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub kind: &'static str,
    pub message: String,
}

fn refuse<T>(kind: &'static str, message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal {
        kind,
        message: message.into(),
    })
}

/// The error for an archive of a kind that trainers cannot read.
fn odd<T>(message: impl Into<String>) -> Result<T, Refusal> {
    refuse("unsupported_archive_format", message)
}

/// Downloads the archive at `url` and checks its contents. Returns the first picture as well, small.
pub(super) async fn check(
    sim: &Simulation,
    url: &str,
    input: &Value,
    pictures: RangeInclusive<usize>,
) -> Result<(Facts, Bytes), Refusal> {
    let named = input
        .get("data_archive_format")
        .and_then(Value::as_str)
        .filter(|format| !format.is_empty());
    let path = url::Url::parse(url)
        .map(|url| url.path().to_owned())
        .unwrap_or_default();
    if !named.map_or_else(|| has_extension(&path, &["zip"]), |format| format == "zip") {
        return odd("Cannot tell the archive format, or it is not zip");
    }
    let bytes = fetch(sim, url).await?;
    let inspected = tokio::task::spawn_blocking(move || inspect(&bytes, &pictures)).await;
    inspected.unwrap_or_else(|error| {
        refuse(
            "internal_server_error",
            format!("cannot inspect the archive: {error}"),
        )
    })
}

/// Downloads a file as a runner does: a plain GET without a key. URLs of our own CDN are fetched from our own
/// address.
pub(super) async fn fetch(sim: &Simulation, url: &str) -> Result<Bytes, Refusal> {
    let failed = |why: String| Refusal {
        kind: "file_download_error",
        message: format!("Cannot download {url}: {why}"),
    };
    let mut target = url::Url::parse(url).map_err(|error| failed(error.to_string()))?;
    if target.host_str().and_then(Service::of_host) == Some(Service::Cdn) {
        let local = format!("http://{}/cdn{}", sim.address, target.path());
        target = url::Url::parse(&local).map_err(|error| failed(error.to_string()))?;
    }
    let response = sim.http.get(target).timeout(DOWNLOAD_TIMEOUT).send().await;
    let response = response.map_err(|error| failed(error.to_string()))?;
    if response.status() != reqwest::StatusCode::OK {
        return Err(failed(format!("status {}", response.status())));
    }
    response.bytes().await.map_err(|error| failed(error.to_string()))
}

fn inspect(bytes: &Bytes, pictures: &RangeInclusive<usize>) -> Result<(Facts, Bytes), Refusal> {
    let zip = ZipArchive::new(Cursor::new(bytes));
    let mut zip = zip.or_else(|error| odd(format!("Not a zip file: {error}")))?;
    let mut facts = Facts {
        images: 0,
        captions: 0,
        bytes: bytes.len() as u64,
        sha256: hex::encode(Sha256::digest(bytes)),
        names: Vec::new(),
        dimensions: Vec::new(),
        images_with_exif: 0,
        stored: true,
    };
    let mut seen = BTreeSet::new();
    let mut first = None;
    for index in 0..zip.len() {
        let entry = zip
            .by_index(index)
            .or_else(|error| odd(format!("Entry {index}: {error}")))?;
        let (name, content) = unpack(entry, &mut facts)?;
        if !seen.insert(name.clone()) {
            return odd(format!("{name} is there twice"));
        }
        if has_extension(&name, &["txt"]) {
            facts.captions += 1;
        } else {
            let picture = decode(&name, &content)?;
            facts.dimensions.push((picture.width(), picture.height()));
            first = first.or_else(|| keepsake(&picture));
            facts.images += 1;
            facts.images_with_exif += usize::from(has_exif(&content));
        }
        facts.names.push(name);
    }
    if facts.images < *pictures.start() {
        let message = format!(
            "At least {} images are needed, the archive has {}",
            pictures.start(),
            facts.images
        );
        return refuse("sequence_too_short", message);
    }
    if facts.images > *pictures.end() {
        let message = format!(
            "At most {} images are allowed, the archive has {}",
            pictures.end(),
            facts.images
        );
        return refuse("sequence_too_long", message);
    }
    Ok((facts, first.unwrap_or_default()))
}

fn unpack(mut entry: ZipFile<'_, impl Read>, facts: &mut Facts) -> Result<(String, Vec<u8>), Refusal> {
    let name = entry
        .name()
        .map(Cow::into_owned)
        .or_else(|error| odd(error.to_string()))?;
    check_name(&name)?;
    match entry.compression() {
        CompressionMethod::Stored => {}
        CompressionMethod::Deflated => facts.stored = false,
        other => return odd(format!("{name} is packed with {other}")),
    }
    if entry.size() > LARGEST_FILE {
        return refuse("file_too_large", format!("{name} has {} bytes", entry.size()));
    }
    let mut content = Vec::new();
    // Reading to the end also checks the CRC.
    match entry.by_ref().take(LARGEST_FILE).read_to_end(&mut content) {
        Ok(_) => Ok((name, content)),
        Err(error) => odd(format!("{name}: {error}")),
    }
}

/// A file must lie at the top level, be visible, have an ASCII name and a known extension. FAL does not
/// document what it does with other files.
fn check_name(name: &str) -> Result<(), Refusal> {
    let flat = !name.contains(['/', '\\']);
    let plain = name.is_ascii() && !name.starts_with('.') && !name.contains(|c: char| c.is_ascii_control());
    if flat && plain && has_extension(name, &["jpg", "jpeg", "png", "webp", "txt"]) {
        return Ok(());
    }
    odd(format!(
        "The archive may hold pictures and captions at the top level only: {name:?}"
    ))
}

fn has_extension(name: &str, extensions: &[&str]) -> bool {
    name.rsplit_once('.')
        .is_some_and(|(_, own)| extensions.iter().any(|known| own.eq_ignore_ascii_case(known)))
}

fn decode(name: &str, content: &[u8]) -> Result<DynamicImage, Refusal> {
    let failed = |why: String| Refusal {
        kind: "image_load_error",
        message: format!("{name}: {why}"),
    };
    let format = image::guess_format(content).map_err(|error| failed(error.to_string()))?;
    if !matches!(format, ImageFormat::Jpeg | ImageFormat::Png | ImageFormat::WebP) {
        return Err(failed(format!("{format:?} is no format for training")));
    }
    // The decoder fills in the missing part of a truncated JPEG; the runner's (Pillow) refuses it.
    if format == ImageFormat::Jpeg && !content.ends_with(&[0xff, 0xd9]) {
        return Err(failed("image file is truncated".to_owned()));
    }
    image::load_from_memory_with_format(content, format).map_err(|error| failed(error.to_string()))
}

fn has_exif(content: &[u8]) -> bool {
    content
        .windows(6)
        .take(1 << 16)
        .any(|window| window == b"Exif\0\0")
        || content.windows(4).any(|w| w == b"eXIf")
}
