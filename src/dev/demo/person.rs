//! The scripted user: answers the bot's questions as a person would, and watches the chat.
//!
//! Buttons are found by their `callback_data`, not by their label, so that a change of wording does not break
//! the demo.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use axum::body::Bytes;

use super::{AvatarKind, Show};
use crate::simulators::telegram::{
    ButtonChoice, Control, MediaOptions, MessageFilter, MessageView, NewUser, Running, Side, SimUser,
};

/// How long the bot may take for each step but the training.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the training may take, with seven kills of the worker.
const TRAINING_PATIENCE: Duration = Duration::from_secs(55);
/// Telegram's limit for photos in one album.
const ALBUM: usize = 10;
/// The avatar's name, which the final message must contain.
pub(super) const AVATAR: &str = "Aisha";

/// A photo of the user.
pub(super) struct PhonePhoto {
    /// The file's name, for error messages.
    pub name: String,
    pub bytes: Bytes,
}

macro_rules! builtin {
    ($($name:literal),+ $(,)?) => {
        &[$(include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/photos/portrait/", $name, ".jpg"))),+]
    };
}

/// CC0 and public domain (tests/photos/LICENSES.md).
const BUILTIN: &[&[u8]] = builtin![
    "00_astronaut",
    "01_astronaut",
    "02_astronaut",
    "03_astronaut",
    "04_astronaut",
    "05_astronaut",
    "06_chelsea",
    "07_chelsea",
    "08_chelsea",
    "09_chelsea",
    "10_coffee",
    "11_coffee",
];

/// The built-in photos as a person would send them at once: in albums.
pub(in crate::dev) fn sample_albums() -> impl Iterator<Item = Vec<Bytes>> {
    let album = |photos: &[&'static [u8]]| photos.iter().map(|bytes| Bytes::from_static(bytes)).collect();
    BUILTIN.chunks(ALBUM).map(album)
}

/// Loads the photos of the directory, or the built-in ones.
pub(super) fn load_photos(directory: Option<&Path>) -> anyhow::Result<Vec<PhonePhoto>> {
    let Some(directory) = directory else {
        return Ok(BUILTIN
            .iter()
            .map(|bytes| PhonePhoto {
                name: "a built-in photo".to_owned(),
                bytes: Bytes::from_static(bytes),
            })
            .collect());
    };
    let listed =
        std::fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    let mut files: Vec<PathBuf> = listed
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| is_photo(path))
        .collect();
    files.sort();
    ensure!(
        (10..=20).contains(&files.len()),
        "{} has {} photos; a training takes 10 to 20",
        directory.display(),
        files.len()
    );
    let read = |path: &PathBuf| {
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(PhonePhoto {
            name: path.display().to_string(),
            bytes: bytes.into(),
        })
    };
    let photos: Vec<PhonePhoto> = files.iter().map(read).collect::<anyhow::Result<_>>()?;
    let broken: Vec<String> = photos
        .iter()
        .filter_map(|photo| Some(format!("\n  {}: {}", photo.name, why_refused(&photo.bytes)?)))
        .collect();
    ensure!(
        broken.is_empty(),
        "Telegram would not take these photos:{}",
        broken.concat()
    );
    Ok(photos)
}

/// Why Telegram would refuse these bytes as a photo, reported before anything is started; `None`: it would
/// not.
fn why_refused(bytes: &[u8]) -> Option<String> {
    /// Telegram's limits for a photo: bytes, and width plus height in pixels.
    const MOST_BYTES: usize = 10 << 20;
    const MOST_SIDES: u32 = 10_000;
    if bytes.is_empty() {
        return Some("it is empty".to_owned());
    }
    if bytes.len() > MOST_BYTES {
        return Some(format!("it has {} bytes, more than {MOST_BYTES}", bytes.len()));
    }
    match image::load_from_memory(bytes) {
        Err(error) => Some(error.to_string()),
        Ok(image) if image.width().saturating_add(image.height()) > MOST_SIDES => Some(format!(
            "it is {} x {} pixels, and width and height together may be {MOST_SIDES}",
            image.width(),
            image.height()
        )),
        Ok(_) => None,
    }
}

fn is_photo(path: &Path) -> bool {
    let known = |extension: &std::ffi::OsStr| {
        ["jpg", "jpeg", "png", "webp"]
            .iter()
            .any(|photo| extension.eq_ignore_ascii_case(photo))
    };
    path.extension().is_some_and(known)
}

/// The scripted user with their chat.
pub(super) struct Person {
    user: SimUser,
    control: Control,
    kind: AvatarKind,
    show: Show,
}

impl Person {
    pub(super) fn new(telegram: &Running, kind: AvatarKind, show: Show) -> Self {
        let control = telegram.control().clone();
        let user = control.create_user(NewUser {
            first_name: Some("Lisa".to_owned()),
            username: Some("lisa".to_owned()),
            language_code: Some("en".to_owned()),
            ..NewUser::default()
        });
        Self {
            user,
            control,
            kind,
            show,
        }
    }

    /// The Telegram id, which is also the chat's id.
    pub(super) fn id(&self) -> i64 {
        self.user.id()
    }

    /// Goes from /start to the message that ends the training, and meanwhile shows the chat.
    pub(super) async fn train(&self, photos: Vec<PhonePhoto>) -> anyhow::Result<()> {
        let mut shown = HashMap::new();
        let story = tokio::select! {
            done = self.wizard(photos) => done,
            never = self.watch(&mut shown) => never,
        };
        // Messages that arrived while the story ended.
        self.show_new(&mut shown);
        story
    }

    async fn wizard(&self, photos: Vec<PhonePhoto>) -> anyhow::Result<()> {
        self.user.send_text("/start")?;
        self.press(&format!("new:{}", self.kind.word())).await?;
        self.press("gender:").await?;
        self.user
            .wait_for(from_bot().containing("call the avatar"), PATIENCE)
            .await?;
        self.user.send_text(AVATAR)?;
        self.user
            .wait_for(from_bot().containing("different angles"), PATIENCE)
            .await?;
        let count = photos.len();
        for album in photos.chunks(ALBUM) {
            let bytes = album.iter().map(|photo| photo.bytes.clone()).collect();
            let sent = self.user.send_album(bytes, MediaOptions::default()).await;
            sent.with_context(|| {
                let names: Vec<&str> = album.iter().map(|photo| photo.name.as_str()).collect();
                format!("one of these photos was refused: {}", names.join(", "))
            })?;
        }
        self.user
            .wait_for(from_bot().containing(&format!("{count} photos loaded")), PATIENCE)
            .await?;
        self.press("start:").await?;
        self.user
            .wait_for(from_bot().containing("is ready!"), TRAINING_PATIENCE)
            .await?;
        Ok(())
    }

    /// Presses the first button with this action on the latest message that has one.
    async fn press(&self, action: &str) -> anyhow::Result<()> {
        let message = self
            .user
            .wait_for(
                MessageFilter {
                    data: Some(action.to_owned()),
                    ..from_bot()
                },
                PATIENCE,
            )
            .await?;
        let button = message.buttons.iter().flatten().find(|button| {
            button
                .data
                .as_deref()
                .is_some_and(|data| data.starts_with(action))
        });
        let data = button
            .and_then(|button| button.data.clone())
            .context("the button is gone")?;
        self.user.press_button(&ButtonChoice {
            message_id: Some(message.message_id),
            data: Some(data),
            label: None,
        })?;
        Ok(())
    }

    /// Shows each message of the bot, and each edit of one, as it appears.
    async fn watch(&self, shown: &mut HashMap<i64, String>) -> anyhow::Result<()> {
        let mut changes = self.control.changes();
        loop {
            self.show_new(shown);
            changes
                .changed()
                .await
                .context("the Telegram simulator has stopped")?;
        }
    }

    fn show_new(&self, shown: &mut HashMap<i64, String>) {
        for message in self.control.messages(&MessageFilter {
            chat_id: Some(self.id()),
            ..from_bot()
        }) {
            let before = shown.insert(message.message_id, message.text.clone());
            if before.as_ref() != Some(&message.text) {
                self.show.event(&format!(
                    "{} {}",
                    if before.is_some() { "✎" } else { "💬" },
                    seen(&message)
                ));
            }
        }
    }
}

/// A picture without a caption has no text.
fn seen(message: &MessageView) -> String {
    let line = one_line(message);
    if line.is_empty() { "🖼".to_owned() } else { line }
}

fn from_bot() -> MessageFilter {
    MessageFilter {
        from: Some(Side::Bot),
        ..MessageFilter::default()
    }
}

fn one_line(message: &MessageView) -> String {
    message.text.split_whitespace().collect::<Vec<_>>().join(" ")
}
