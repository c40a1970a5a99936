//! Sends a user everything that is stored about them: ZIP files with `data.json`, their photos and their pictures.
//!
//! Each part is a temporary file without a name, below Telegram's 50 MB; at most one object is in memory. The parts are the same
//! in each run, so a part that Telegram accepted is not sent again, unless its answer was lost.
//!
//! # Must stay true
//! * rows, photos and pictures of the user are in it, and of nobody else — `a_copy_of_the_data_has_the_rows_and_the_photos`
//! * at most one a day                                                  — the same
//! * nothing that the user has deleted is handed out again              — `a_copy_of_the_data_has_the_users_own_pictures_and_none_of_deleted_avatars`
//!
//! # If we die
//! Between a part that arrived and its note: that part comes twice.

use std::{collections::HashSet, fs::File};

use bytes::Bytes;
use queue::Run;
use sqlx::PgConnection;
use tokio::task::spawn_blocking;
use tracing::{error, info};

use crate::{
    archive::Bundle,
    clients::object_store::ObjectError,
    clients::telegram::TelegramError,
    context::{Context, Services},
    job::{DeadReason, Done, JobError},
    notifications::{self, Place},
    payloads::ExportData,
    store::exports::{self, Export, UserObject},
    texts::{Locale, Message, Phrase},
};

/// In bytes, of the objects in one part.
const PART: i64 = 40_000_000;
/// In bytes: larger objects than any that we store.
const LARGEST: usize = 64 << 20;

impl Run<Services> for ExportData {
    async fn run(&self, cx: &Context) -> Result<Done, JobError> {
        let mut db = cx.read().await?;
        let Some(export) = exports::find(&mut db, self.export_id).await? else {
            return Ok(Done::Skipped("the export is sent, or its user is gone"));
        };
        let parts = parts(exports::objects(&mut db, export.user_id).await?);
        drop(db);
        let all = parts.len();
        for (number, objects) in (1..).zip(parts) {
            if number <= export.parts_sent {
                continue;
            }
            let (file, bytes) = self.bundle(cx, &export, number, objects).await?;
            if !send(cx, &export, number, all, file, bytes).await? {
                break;
            }
            let mut tx = cx.begin().await?;
            exports::sent(&mut tx, self.export_id, number).await?;
            tx.commit().await?;
        }
        let mut tx = cx.begin().await?;
        exports::finished(&mut tx, self.export_id).await?;
        cx.complete_in(&mut tx).await?;
        tx.commit().await?;
        info!(user.id = %export.user_id, "User {} got a copy of their data in {all} files", export.user_id);
        Ok(Done::Committed)
    }

    async fn on_dead(&self, tx: &mut PgConnection, why: &DeadReason) -> Result<(), JobError> {
        error!("A copy of a user's data could not be sent: {}", why.message);
        if let Some(user) = exports::give_up(tx, self.export_id).await? {
            let key = format!("export:{}", self.export_id);
            let sorry = Message::new(Phrase::ExportFailed {});
            notifications::reply(tx, user, &key, &sorry, Place::New, None).await?;
        }
        Ok(())
    }
}

/// The objects of each part. There is always a first one, for `data.json`.
fn parts(objects: Vec<UserObject>) -> Vec<Vec<UserObject>> {
    let mut parts = vec![Vec::new()];
    let mut bytes = 0;
    for object in objects {
        if bytes > 0 && bytes + object.bytes > PART {
            parts.push(Vec::new());
            bytes = 0;
        }
        bytes += object.bytes;
        if let Some(part) = parts.last_mut() {
            part.push(object);
        }
    }
    parts
}

impl ExportData {
    async fn bundle(
        &self,
        cx: &Context,
        export: &Export,
        number: i32,
        objects: Vec<UserObject>,
    ) -> Result<(File, u64), JobError> {
        let mut bundle = Bundle::create().map_err(JobError::retry)?;
        if number == 1 {
            let mut db = cx.read().await?;
            let data = exports::data(&mut db, export.user_id).await?;
            drop(db);
            bundle = append(bundle, "data.json".to_owned(), data.into()).await?;
        }
        let mut names = HashSet::new();
        for object in objects {
            let name = object.key.rsplit('/').next().unwrap_or(&object.key);
            let name = format!("{}/{name}", object.folder);
            if !names.insert(name.clone()) {
                continue;
            }
            match cx.objects.get(&object.key, LARGEST).await {
                Ok(content) => bundle = append(bundle, name, content).await?,
                // Deleted meanwhile.
                Err(ObjectError::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        spawn_blocking(|| bundle.finish())
            .await
            .map_err(JobError::retry)?
            .map_err(JobError::retry)
    }
}

/// Off the async threads.
async fn append(mut bundle: Bundle, name: String, content: Bytes) -> Result<Bundle, JobError> {
    let appended = spawn_blocking(move || bundle.append(&name, content).map(|()| bundle)).await;
    appended.map_err(JobError::retry)?.map_err(JobError::retry)
}

/// `false`: the user cannot be reached, and no further part is tried.
async fn send(
    cx: &Context,
    export: &Export,
    number: i32,
    all: usize,
    file: File,
    bytes: u64,
) -> Result<bool, JobError> {
    let message = Message::new(Phrase::ExportPart {
        part: u32::try_from(number).unwrap_or(0),
        parts: u32::try_from(all).unwrap_or(0),
    });
    let caption = cx.texts.message(Locale::from_code(&export.language), &message);
    let name = if all == 1 {
        "mydata.zip".to_owned()
    } else {
        format!("mydata-{number}-of-{all}.zip")
    };
    let sent = cx
        .telegram
        .send_document(export.telegram_id, &name, file, bytes, &caption);
    match sent.await {
        Ok(()) => Ok(true),
        Err(TelegramError::Unreachable(why)) => {
            info!("A user who asked for their data cannot be reached: {why}");
            Ok(false)
        }
        Err(failure) => Err(failure.into()),
    }
}
