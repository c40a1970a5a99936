//! Removes objects from the bucket that no row names: left behind by a discarded draft, a replaced archive, or a
//! crash between an upload and its commit.
//!
//! Each run handles one page of the bucket, in key order; a full page enqueues the next. Only keys of our own shape
//! are touched (`{user}/{avatar}/{name}.{jpg|zip|safetensors}`), only objects older than `saga.orphan_age`, and
//! only if no row names them or may come to name them (`store/sql/wanted_objects.sql`). Archives at FAL need no
//! sweep: they expire by their lifecycle.
//!
//! # Must stay true
//! * nothing that a row names is removed, however old  — `the_sweep_removes_only_what_no_row_names`
//! * nothing young is removed                          — the same
//!
//! # If we die
//! Removed objects stay removed; the next tick begins at the first page again.
//!
//! Read next: `clients/object_store.rs`.

use std::collections::HashSet;

use chrono::TimeDelta;
use queue::Run;
use sqlx::PgConnection;
use tracing::{error, info};
use uuid::Uuid;

use crate::{
    context::{Context, Services},
    enqueue::enqueue,
    job::{DeadReason, Done, JobError},
    payloads::SweepOrphans,
    store::trainings,
};

/// S3's own largest page.
const PAGE: u16 = 1000;

#[derive(Debug, PartialEq, Eq)]
struct Object {
    key: String,
    avatar: Uuid,
    name: String,
}

impl Object {
    /// `None`: the key does not have our shape, so the object is left alone.
    fn parse(key: &str) -> Option<Self> {
        let mut parts = key.split('/');
        let (user, avatar, file) = (parts.next()?, parts.next()?, parts.next()?);
        let (name, extension) = file.rsplit_once('.')?;
        if parts.next().is_some() || !matches!(extension, "jpg" | "zip" | "safetensors") || name.is_empty() {
            return None;
        }
        user.parse::<Uuid>().ok()?;
        Some(Self {
            key: key.to_owned(),
            avatar: avatar.parse().ok()?,
            name: name.to_owned(),
        })
    }
}

impl Run<Services> for SweepOrphans {
    async fn run(&self, cx: &Context) -> Result<Done, JobError> {
        let page = cx.objects.page(&self.after, PAGE).await?;
        let age = TimeDelta::from_std(cx.settings.orphan_age).unwrap_or(TimeDelta::MAX);
        // The difference of the store's clock and ours is far less than an hour, the setting's minimum.
        let young = cx.clock.now() - age;
        let old: Vec<Object> = page
            .iter()
            .filter(|listed| listed.modified.is_some_and(|modified| modified < young))
            .filter_map(|listed| Object::parse(&listed.key))
            .collect();
        let removed = remove_unwanted(cx, old).await?;
        if removed > 0 {
            info!("Removed {removed} objects that no row names");
            metrics::counter!("aisha_orphans_removed_total").increment(removed);
        }
        let mut tx = cx.begin().await?;
        cx.complete_in(&mut tx).await?;
        if let Some(last) = page.last().filter(|_| page.len() >= usize::from(PAGE)) {
            let after = last.key.clone();
            enqueue(&mut tx, &Self { after }).await?;
        }
        tx.commit().await?;
        Ok(Done::Committed)
    }

    /// The next tick begins again.
    async fn on_dead(&self, _: &mut PgConnection, why: &DeadReason) -> Result<(), JobError> {
        error!("The bucket could not be swept: {}", why.message);
        Ok(())
    }
}

async fn remove_unwanted(cx: &Context, objects: Vec<Object>) -> Result<u64, JobError> {
    if objects.is_empty() {
        return Ok(0);
    }
    let keys: Vec<String> = objects.iter().map(|object| object.key.clone()).collect();
    let avatars: Vec<Uuid> = objects.iter().map(|object| object.avatar).collect();
    let names: Vec<String> = objects.iter().map(|object| object.name.clone()).collect();
    let mut db = cx.read().await?;
    let wanted: HashSet<String> = trainings::wanted(&mut db, &keys, &avatars, &names)
        .await?
        .into_iter()
        .collect();
    drop(db);
    let mut removed = 0;
    for key in keys.iter().filter(|key| !wanted.contains(*key)) {
        cx.objects.delete(key).await?;
        removed += 1;
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_keys_of_our_shape_are_ours() {
        let (user, avatar) = (Uuid::from_u128(1), Uuid::from_u128(2));
        for file in ["a.jpg", "photos-12ab.zip", "m.safetensors"] {
            let object = Object::parse(&format!("{user}/{avatar}/{file}")).expect("ours");
            assert_eq!(
                (object.avatar, object.name.as_str()),
                (avatar, file.rsplit_once('.').expect("a dot").0)
            );
        }
        for key in [
            "backup.zip".to_owned(),
            format!("{user}/{avatar}"),
            format!("{user}/{avatar}/a.txt"),
            format!("{user}/{avatar}/.jpg"),
            format!("{user}/{avatar}/deeper/a.jpg"),
            format!("people/{avatar}/a.jpg"),
            format!("{user}/lisa/a.jpg"),
        ] {
            assert_eq!(Object::parse(&key), None, "{key}");
        }
    }
}
