//! The evidence at the end: reads the database and the simulators' ledgers once, and checks the demo's claims
//! on them.

use anyhow::{Context as _, ensure};
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{Connection as _, FromRow, PgConnection};

use super::{DemoArgs, person::AVATAR};
use crate::{
    dev::stack::Stack,
    simulators::{
        fal::ledger::{Entry, Event},
        telegram::{MessageFilter, MessageView, PhotoSize, Side},
    },
};

/// The columns of the training's row that the demo checks.
#[derive(Debug, Serialize, FromRow)]
pub(super) struct TrainingRow {
    pub status: String,
    pub trainer: String,
    pub trigger_phrase: String,
    pub archive_sha256: Option<String>,
    pub archive_bytes: Option<i64>,
    pub archive_photos: Option<i32>,
    pub request_id: Option<String>,
    pub result_source: Option<String>,
    pub failure_code: Option<String>,
    pub failure_detail: Option<String>,
    pub created_at: DateTime<Utc>,
    pub archived_at: Option<DateTime<Utc>>,
    pub submitted_at: Option<DateTime<Utc>>,
    pub trained_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
    pub avatar_status: String,
    pub model_key: Option<String>,
    pub model_bytes: Option<i64>,
    pub finetune_id: Option<String>,
    pub is_main: bool,
}

/// Counts over all jobs of one kind.
#[derive(Debug, Serialize, FromRow)]
pub(super) struct KindRow {
    pub kind: String,
    pub done: i64,
    pub dead: i64,
    pub live: i64,
    /// Number of claims whose worker was killed.
    pub lost: i64,
    /// Number of jobs that lost a claim and were completed by a later one.
    pub recovered: i64,
}

/// A claim that did not end with success at the first attempt.
#[derive(Debug, Serialize, FromRow)]
pub(super) struct ClaimRow {
    pub kind: String,
    pub attempt: i32,
    pub outcome: String,
    pub started_at: DateTime<Utc>,
    pub ended_at: DateTime<Utc>,
}

/// Everything that the demo read at the end.
#[derive(Debug, Serialize)]
pub(super) struct DemoEvidence {
    pub training: TrainingRow,
    pub kinds: Vec<KindRow>,
    pub claims: Vec<ClaimRow>,
    pub photos_sent: usize,
    pub first_update_at: DateTime<Utc>,
    pub photos_stored_at: Option<DateTime<Utc>>,
    pub ledger: Vec<Entry>,
    pub chat: Vec<MessageView>,
}

/// Reads the database and both ledgers.
pub(super) async fn gather(stack: &Stack, user: i64, photos_sent: usize) -> anyhow::Result<DemoEvidence> {
    let mut db = PgConnection::connect(&stack.database_url())
        .await
        .context("the demo cannot look into the database")?;
    settle(&mut db).await?;
    let training = sqlx::query_as(include_str!("evidence/training.sql"))
        .fetch_one(&mut db)
        .await
        .context("there is no training")?;
    let kinds = sqlx::query_as(include_str!("evidence/kinds.sql"))
        .fetch_all(&mut db)
        .await?;
    let claims = sqlx::query_as(include_str!("evidence/claims.sql"))
        .fetch_all(&mut db)
        .await?;
    let first_update_at = sqlx::query_scalar("select min(received_at) from telegram_updates")
        .fetch_one(&mut db)
        .await?;
    let photos_stored_at = sqlx::query_scalar("select max(settled_at) from avatar_photos")
        .fetch_one(&mut db)
        .await?;
    let filter = MessageFilter {
        chat_id: Some(user),
        from: Some(Side::Bot),
        ..MessageFilter::default()
    };
    let (ledger, chat) = (stack.fal.ledger(), stack.telegram.control().messages(&filter));
    Ok(DemoEvidence {
        training,
        kinds,
        claims,
        photos_sent,
        first_update_at,
        photos_stored_at,
        ledger,
        chat,
    })
}

/// Waits until no job is under way. The final message arrives shortly before its job is acknowledged, and the
/// last jobs of a killed worker are rescued even later. A poll that only waits for its next look may stay,
/// unless its worker was killed: then it must run again.
async fn settle(db: &mut PgConnection) -> anyhow::Result<()> {
    const LOOK: std::time::Duration = std::time::Duration::from_millis(100);
    const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);
    let query = "select count(*) from jobs where state in ('ready', 'running') or (state = 'scheduled' and (kind <> 'poll_status' or attempt > 0))";
    let settled = async {
        while sqlx::query_scalar::<_, i64>(query).fetch_one(&mut *db).await? > 0 {
            tokio::time::sleep(LOOK).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(PATIENCE, settled)
        .await
        .context("jobs were still under way after the final message")?
}

/// Whether this is the input of a request for pictures; a training has no prompt.
pub(super) fn is_of_pictures(input: &serde_json::Value) -> bool {
    input.get("prompt").is_some()
}

impl DemoEvidence {
    /// Checks every claim; fails with the first that does not hold.
    pub(super) fn check(&self, args: &DemoArgs, killed: &[&str]) -> anyhow::Result<()> {
        self.check_end()?;
        self.check_fal()?;
        self.check_pictures()?;
        self.check_delivery(args)?;
        self.check_messenger(args)?;
        for kind in killed {
            let row = self
                .kinds
                .iter()
                .find(|row| row.kind == *kind)
                .with_context(|| format!("no {kind} ever ran"))?;
            ensure!(
                row.lost > 0,
                "the history shows no lost claim of {kind}, though its worker was killed"
            );
            ensure!(
                row.recovered > 0,
                "no {kind} was done by a later claim after its worker was killed"
            );
        }
        Ok(())
    }

    fn check_end(&self) -> anyhow::Result<()> {
        let training = &self.training;
        ensure!(
            training.status == "completed" && training.avatar_status == "completed",
            "the training ended {} ({:?}: {:?}), its avatar {}",
            training.status,
            training.failure_code,
            training.failure_detail,
            training.avatar_status
        );
        ensure!(training.is_main, "the user's first avatar is not the main one");
        let finals = self
            .chat
            .iter()
            .filter(|message| message.text.contains(AVATAR) && message.text.contains("is ready!"))
            .count();
        ensure!(finals == 1, "the user got {finals} final messages instead of one");
        let dead: Vec<_> = self
            .kinds
            .iter()
            .filter(|kind| kind.dead > 0)
            .map(|kind| kind.kind.as_str())
            .collect();
        ensure!(dead.is_empty(), "there are dead letters: {}", dead.join(", "));
        Ok(())
    }

    /// Checks that FAL accepted one training, of the archive that we built from all photos.
    fn check_fal(&self) -> anyhow::Result<()> {
        let submits = self
            .ledger
            .iter()
            .filter(|entry| matches!(&entry.event, Event::Submitted { input, .. } if !is_of_pictures(input)));
        let submits = submits.count();
        ensure!(submits == 1, "FAL accepted {submits} trainings instead of one");
        let facts = self.ledger.iter().find_map(|entry| match &entry.event {
            Event::ArchiveChecked { facts, refused, .. } => Some((facts.as_ref(), refused.as_ref())),
            _ => None,
        });
        let (facts, refused) = facts.context("FAL never looked at the archive")?;
        let facts = facts.with_context(|| format!("FAL refused the archive: {refused:?}"))?;
        ensure!(
            facts.images == self.photos_sent,
            "FAL found {} photos of {}",
            facts.images,
            self.photos_sent
        );
        ensure!(
            self.training.archive_sha256.as_deref() == Some(facts.sha256.as_str()),
            "FAL fetched another archive ({}) than was built ({:?})",
            facts.sha256,
            self.training.archive_sha256
        );
        Ok(())
    }

    /// Checks that each picture that FAL drew shows this avatar, and that each reached the user once.
    fn check_pictures(&self) -> anyhow::Result<()> {
        let mut drawn = 0;
        for entry in &self.ledger {
            let Event::Drawn {
                trigger, pictures, ..
            } = &entry.event
            else {
                continue;
            };
            // A finetune does not say with which word it was trained.
            let strange = trigger
                .as_ref()
                .filter(|trigger| !trigger.contains(&self.training.trigger_phrase));
            ensure!(
                strange.is_none(),
                "FAL drew with another avatar's model: {strange:?}"
            );
            drawn += pictures.len();
        }
        let sent = self.pictures().count();
        ensure!(sent == drawn, "FAL drew {drawn} pictures and the user got {sent}");
        Ok(())
    }

    /// The pictures of the avatar in the chat, oldest first. Photos from before the training are the wizard's examples.
    pub(super) fn pictures(&self) -> impl Iterator<Item = &PhotoSize> {
        let since = self.training.submitted_at.map_or(i64::MAX, |at| at.timestamp());
        let later = self.chat.iter().filter(move |message| message.date >= since);
        later.filter_map(|message| message.photo.as_ref())
    }

    /// Checks how FAL got the archive: from its own storage, or by a presigned URL of our store.
    fn check_delivery(&self, args: &DemoArgs) -> anyhow::Result<()> {
        let uploads = self
            .ledger
            .iter()
            .filter(|entry| matches!(entry.event, Event::Uploaded { .. }))
            .count();
        let is_presigned = self.ledger.iter().any(|entry| {
            matches!(&entry.event, Event::ArchiveChecked { url, .. } if url.contains("X-Amz-Signature="))
        });
        ensure!(
            is_presigned == args.presigned && (uploads == 0) == args.presigned,
            "{uploads} uploads to FAL, and a presigned URL was {}used",
            if is_presigned { "" } else { "not " }
        );
        Ok(())
    }

    /// Checks how the end was learnt: by a webhook or by a poll.
    fn check_messenger(&self, args: &DemoArgs) -> anyhow::Result<()> {
        let delivered = self
            .ledger
            .iter()
            .filter(|entry| matches!(entry.event, Event::WebhookAttempted { delivered: true, .. }))
            .count();
        let source = self.training.result_source.as_deref().unwrap_or("nobody");
        if args.drop_webhooks {
            ensure!(
                delivered == 0,
                "{delivered} webhooks arrived although they were to be dropped"
            );
            ensure!(
                source == "poll",
                "the end came by {source} although every webhook was dropped"
            );
        } else {
            ensure!(delivered > 0, "no webhook arrived");
            ensure!(
                source == "webhook",
                "the training was finished by {source}, not by its webhook"
            );
        }
        Ok(())
    }
}
