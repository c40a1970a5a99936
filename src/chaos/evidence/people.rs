//! The evidence about pictures and deletions: what was stored, what chats show, and what is left of those who left.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use crate::{
    chaos::{face, site::Site},
    simulators::telegram::{LedgerEntry, MessageFilter},
};

/// The good and bad examples in the wizard: everybody gets them, and they show nobody's face.
const PHOTO_EXAMPLES: &[u8] = include_bytes!("../../../jobs/src/clients/telegram/photo_examples.jpg");
/// More objects than a user has.
const OBJECTS: usize = 200;

/// An album that was asked for, or the first pictures of an avatar.
#[derive(Debug, Clone, FromRow)]
pub struct AlbumRecord {
    /// Id of the album.
    pub id: Uuid,
    /// Telegram id of its owner's chat.
    pub chat_id: i64,
    /// `user` or `samples`.
    pub origin: String,
    /// `albums.status`.
    pub status: String,
    /// Whether its user deleted the avatar: then its pictures go, and nobody need be told.
    pub is_deleted: bool,
    /// Number of its requests at FAL that have not ended.
    pub live: i64,
    /// Number of pictures that were stored for it.
    pub pictures: i64,
    /// How many sends of its pictures were recorded as possible duplicates.
    pub pictures_twice: i64,
    /// The same of the message below them.
    pub end_twice: i64,
}

/// A request for pictures.
#[derive(Debug, Clone, FromRow)]
pub struct GenerationRecord {
    /// Its id.
    pub id: Uuid,
    /// Id of its album.
    pub album_id: Uuid,
    /// Telegram id of its owner's chat.
    pub chat_id: i64,
    /// `generations.status`.
    pub status: String,
    /// `generations.failure_code`; `None` unless it failed.
    pub failure_code: Option<String>,
    /// Id of the request at FAL whose result counts.
    pub request_id: Option<String>,
    /// The word that calls its avatar up.
    pub trigger_phrase: Option<String>,
}

/// A picture that was stored.
#[derive(Debug, Clone, FromRow)]
pub struct PictureRow {
    /// Id of its album.
    pub album_id: Uuid,
    /// Telegram id of its owner's chat.
    pub chat_id: i64,
    /// Its key in the bucket.
    pub storage_key: String,
    /// Size of its file, as recorded.
    pub bytes: i64,
    /// SHA-256 of its file, as recorded.
    pub sha256: String,
    /// Whether its row was deleted, by its user or with its avatar.
    pub is_gone: bool,
}

pub(super) const PICTURES: &str = "select p.album_id, u.telegram_id as chat_id, p.storage_key, p.bytes, p.sha256, \
                                   p.gone_at is not null as is_gone \
                                   from chaos.all_pictures p join chaos.all_users u on u.id = p.user_id";

/// A message about an album that Telegram accepted.
#[derive(Debug, Clone)]
pub enum SentPicture {
    /// The pictures themselves.
    Pictures {
        /// The chat.
        chat_id: i64,
        /// SHA-256 of the files that were uploaded with it.
        files: Vec<String>,
    },
    /// The message below them, or the one that says why there are none.
    End {
        /// The chat.
        chat_id: i64,
        /// The `callback_data` of its buttons, as JSON.
        buttons: String,
    },
}

/// A picture in a chat, as its reader sees it.
#[derive(Debug, Clone)]
pub struct ShownPicture {
    /// The chat.
    pub chat_id: i64,
    /// SHA-256 of the file.
    pub sha256: String,
    /// Whose face is on it; `None`: nobody's.
    pub face: Option<u16>,
}

/// A user who had everything deleted, or an avatar that its user deleted.
#[derive(Debug, Clone, Default, FromRow)]
pub struct Deletion {
    /// The user's chat.
    pub chat_id: i64,
    /// Whether it is of the whole user.
    pub is_of_user: bool,
    /// Where its objects were in the bucket.
    pub folder: String,
    /// Whether its rows are gone.
    pub is_done: bool,
    /// Whether FAL may still finish a training that was given up, for which it waits.
    pub waits_for_fal: bool,
    /// What names it: ids, of its requests at FAL as well.
    pub words: Vec<String>,
    /// Its requests at FAL that we knew.
    pub requests: Vec<String>,
    /// Where rows still have such a word, as `table: word`.
    #[sqlx(skip)]
    pub mentions: Vec<String>,
    /// Its objects that are still in the bucket.
    #[sqlx(skip)]
    pub objects: Vec<String>,
    /// How often the user was told that nothing is left, or could not be told.
    #[sqlx(skip)]
    pub receipts: usize,
}

/// A part of the message that tells a user that nothing about them is left.
const RECEIPT: &str = "nothing about you is left";

pub(super) fn sent(telegram: &[LedgerEntry]) -> Vec<SentPicture> {
    let accepted = telegram.iter().filter(|call| call.accepted);
    let of = |call: &LedgerEntry| {
        let chat_id = call.chat_id?;
        let is = |method: &str| call.method.eq_ignore_ascii_case(method);
        if is("sendPhoto") || is("sendMediaGroup") {
            let files = call.params.as_object()?.values();
            let files = files.filter_map(|file| Some(file["sha256"].as_str()?.to_owned()));
            return Some(SentPicture::Pictures {
                chat_id,
                files: files.collect(),
            });
        }
        let buttons = &call.params["reply_markup"];
        let buttons = buttons
            .as_str()
            .map_or_else(|| buttons.to_string(), str::to_owned);
        is("sendMessage").then_some(SentPicture::End { chat_id, buttons })
    };
    accepted.filter_map(of).collect()
}

/// Every picture that a chat shows, looked at.
pub(super) fn shown(site: &Site) -> Vec<ShownPicture> {
    let telegram = site.telegram.control();
    let with_media = MessageFilter {
        media: Some(true),
        ..MessageFilter::from_bot()
    };
    let mut known: BTreeMap<String, Option<u16>> = BTreeMap::new();
    let mut shown = Vec::new();
    for message in telegram.messages(&with_media) {
        let Some(file) = message.photo.and_then(|photo| telegram.file(&photo.file_id)) else {
            continue;
        };
        if file == PHOTO_EXAMPLES {
            continue;
        }
        let sha256 = hex::encode(Sha256::digest(&file));
        let face = *known
            .entry(sha256.clone())
            .or_insert_with(|| face::on_picture(&file));
        shown.push(ShownPicture {
            chat_id: message.chat_id,
            sha256,
            face,
        });
    }
    shown
}

pub(super) async fn deletions(site: &Site, db: &mut PgConnection) -> anyhow::Result<Vec<Deletion>> {
    let mut deletions: Vec<Deletion> = sqlx::query_as(include_str!("deletions.sql"))
        .fetch_all(&mut *db)
        .await?;
    let done = deletions.iter().filter(|deletion| deletion.is_done);
    let words: Vec<String> = done.flat_map(|deletion| deletion.words.clone()).collect();
    let mentions: Vec<String> = sqlx::query_scalar("select chaos.mentions($1)")
        .bind(words)
        .fetch_all(db)
        .await?;
    let calls = site.telegram.control().ledger(&Default::default());
    let receipts: Vec<i64> = calls
        .iter()
        .filter(|call| call.accepted || call.status == Some(403))
        .filter(|call| {
            call.params["text"]
                .as_str()
                .is_some_and(|text| text.contains(RECEIPT))
        })
        .filter_map(|call| call.chat_id)
        .collect();
    for deletion in &mut deletions {
        let mut mentions = mentions.clone();
        mentions.retain(|mention| deletion.words.iter().any(|word| mention.ends_with(word)));
        deletion.mentions = mentions;
        if deletion.is_done {
            let left = site.objects.list_prefix(&deletion.folder, OBJECTS).await?;
            deletion.objects = left.into_iter().map(|object| object.key).collect();
        }
        deletion.receipts = receipts.iter().filter(|chat| **chat == deletion.chat_id).count();
    }
    Ok(deletions)
}
