//! The evidence at rest: the simulators' ledgers, SQL, and the bucket. It is read once, into plain values, so
//! that the invariants are functions that a test can call.

mod people;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use sha2::{Digest as _, Sha256};
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

pub use people::{AlbumRecord, Deletion, GenerationRecord, PictureRow, SentPicture, ShownPicture};

use super::{person, site::Site, wire};
use crate::simulators::{
    fal::ledger::{Entry, Event},
    telegram::{LedgerEntry, LedgerFilter},
};

/// More than the size of any model that the simulator makes.
const LARGEST_MODEL: usize = 64 << 20;

/// A training's row, with its avatar's status and what was sent about it.
#[derive(Debug, Clone, FromRow)]
pub struct TrainingRecord {
    /// Id of the training.
    pub id: Uuid,
    /// Id of its avatar.
    pub avatar_id: Uuid,
    /// Telegram id of its owner's chat.
    pub chat_id: i64,
    /// `trainings.status`.
    pub status: String,
    /// `trainings.failure_code`; `None` unless it failed.
    pub failure_code: Option<String>,
    /// Id of the request at FAL whose result counts.
    pub request_id: Option<String>,
    /// The word that calls the avatar up in prompts.
    pub trigger_phrase: String,
    /// The endpoint of the training's own submit attempts.
    pub endpoint: Option<String>,
    /// `portrait` or `style`.
    pub training_type: String,
    /// Status of its avatar.
    pub avatar_status: String,
    /// Whether its user deleted the avatar: then nobody is told how the training ended, and its model goes.
    pub is_deleted: bool,
    /// Key of our copy of the model in the bucket.
    pub model_key: Option<String>,
    /// SHA-256 of the model, as recorded in the row.
    pub model_sha256: Option<String>,
    /// Size of the model, as recorded in the row.
    pub model_bytes: Option<i64>,
    /// What is expected of a request that outlived its training: `watched`, `kept` or `settled`.
    pub late_model: Option<String>,
    /// Key of our copy of a model that came after its training had failed.
    pub late_model_key: Option<String>,
    /// How many sends of the final message were recorded as possible duplicates.
    pub possible_duplicates: i64,
}

/// A row of `training_attempts`, also of a user who is gone.
#[derive(Debug, Clone, FromRow)]
pub struct AttemptRow {
    /// Id of the training, or of the request for pictures.
    pub order_id: Uuid,
    /// Whether it is a request for pictures.
    pub is_for_pictures: bool,
    /// The attempt's token, which is in the webhook's URL.
    pub token: String,
    /// When it was committed, before its POST.
    pub created_at: DateTime<Utc>,
}

/// A job that has not ended, or is dead, or ended twice.
#[derive(Debug, Clone, FromRow)]
pub struct JobRecord {
    /// Id of the job.
    pub id: i64,
    /// The job's kind.
    pub kind: String,
    /// `jobs.state`, or the transitions of a job that ended twice.
    pub state: String,
    /// Number of charged attempts.
    pub attempt: i32,
    /// Code of its last error.
    pub error_code: Option<String>,
    /// Text of its last error.
    pub error: Option<String>,
}

/// A FAL delivery that the web role stored.
#[derive(Debug, Clone, FromRow)]
pub struct DeliveryRow {
    /// Id of the request at FAL.
    pub request_id: String,
    /// The verdict on it; `None`: it has not been applied.
    pub disposition: Option<String>,
    /// Whether the suite forged it; such a row must not exist.
    pub forged: bool,
}

/// A claim that was lost, with the times at which the job was rescued and claimed again.
#[derive(Debug, Clone, FromRow)]
pub struct LostClaim {
    /// The worker that lost it, as `pid-<pid>-<boot>`.
    pub worker: String,
    /// When the job was taken back and became ready.
    pub rescued_at: DateTime<Utc>,
    /// When the job was claimed again; `None`: never.
    pub reclaimed_at: Option<DateTime<Utc>>,
}

/// A message that ends a training, as Telegram accepted it.
#[derive(Debug, Clone)]
pub struct FinalMessage {
    /// The chat that it was sent to.
    pub chat_id: i64,
}

/// The ledgers of FAL and Telegram. They must be taken before any row is read: a submit that FAL accepted has
/// an attempt that was committed before, so rows that are read later show it. In the opposite order, a submit
/// between the two reads looked like one without an attempt (I2), and a good run failed.
pub(super) struct Ledgers {
    fal: Vec<Entry>,
    telegram: Vec<LedgerEntry>,
}

impl Ledgers {
    pub(super) fn of(site: &Site) -> Self {
        Self {
            fal: site.fal.ledger(),
            telegram: site.telegram.control().ledger(&LedgerFilter::default()),
        }
    }
}

/// All evidence of a run.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// FAL's ledger, oldest first.
    pub fal: Vec<Entry>,
    /// Final messages that Telegram accepted.
    pub finals: Vec<FinalMessage>,
    /// Number of calls to Telegram.
    pub telegram_calls: u64,
    /// All trainings.
    pub trainings: Vec<TrainingRecord>,
    /// All submit attempts.
    pub attempts: Vec<AttemptRow>,
    /// Jobs that have not ended, except periodic ones.
    pub live_jobs: Vec<JobRecord>,
    /// Jobs that are dead letters.
    pub dead_jobs: Vec<JobRecord>,
    /// All stored deliveries whose users are not gone.
    pub deliveries: Vec<DeliveryRow>,
    /// The requests of all deliveries that were ever stored.
    pub stored: BTreeSet<String>,
    /// All albums that were asked for, and all first pictures.
    pub albums: Vec<AlbumRecord>,
    /// All requests for pictures.
    pub generations: Vec<GenerationRecord>,
    /// All pictures that were stored.
    pub pictures: Vec<PictureRow>,
    /// Messages with pictures, and those below them, that Telegram accepted.
    pub sent: Vec<SentPicture>,
    /// The pictures that chats show.
    pub shown: Vec<ShownPicture>,
    /// Avatars and users that were deleted, with what is left of them.
    pub deletions: Vec<Deletion>,
    /// Jobs that reached a final state more than once.
    pub ended_twice: Vec<JobRecord>,
    /// Transitions out of a final status: what, its id, from, to.
    pub left_final: Vec<(String, Uuid, String, String)>,
    /// Kinds of jobs that were enqueued while the same work waited, and how often.
    pub same_work: Vec<(String, i64)>,
    /// Updates that the bot stored and did not handle, or gave up; with the reason.
    pub lost_updates: Vec<(i64, Option<String>)>,
    /// Claims whose worker lost them.
    pub lost_claims: Vec<LostClaim>,
    /// Number of jobs in all states.
    pub jobs: i64,
    /// Size and hash of the models and pictures in the bucket, by key.
    pub objects: BTreeMap<String, (u64, String)>,
}

/// The SQL condition of jobs that must have ended: all but periodic ones, polls of a training that we had to end and whose
/// model may still come, and deletions that wait for such a training.
fn must_have_ended() -> String {
    let periodic = jobs::kinds_by_the_clock().map(|kind| format!("'{kind}'"));
    format!(
        "kind not in ({}) \
         and not (kind = 'poll_status' and exists (select from trainings t where t.id::text = payload ->> 'training_id' \
                  and t.status in ('failed', 'cancelled'))) \
         and not (kind in ('delete_avatar', 'erase_user') and exists (select from trainings t \
                  left join erasures e on e.user_id = t.user_id where t.late_model = 'watched' \
                  and (t.avatar_id::text = payload ->> 'avatar_id' or e.id::text = payload ->> 'erasure_id')))",
        periodic.collect::<Vec<_>>().join(", ")
    )
}

impl Evidence {
    /// Reads what can be judged while the system runs, which excludes rows that are about to change.
    pub(super) async fn gather(ledgers: Ledgers, db: &mut PgConnection) -> anyhow::Result<Self> {
        let Ledgers { fal, telegram } = ledgers;
        let trainings = sqlx::query_as(include_str!("evidence/trainings.sql"))
            .fetch_all(&mut *db)
            .await?;
        let attempts = "select coalesce(training_id, generation_id) as order_id, generation_id is not null as is_for_pictures, \
                        token, created_at from chaos.all_training_attempts";
        let attempts = sqlx::query_as(attempts).fetch_all(&mut *db).await?;
        let jobs = "select id, kind, state::text as state, attempt, error_code, error from jobs where ";
        let live = sqlx::AssertSqlSafe(format!(
            "{jobs} state in ('scheduled', 'ready', 'running') and {}",
            must_have_ended()
        ));
        let dead = sqlx::AssertSqlSafe(format!("{jobs} state = 'dead'"));
        let ended_twice = sqlx::query_as(
            "select job_id as id, min(kind) as kind, string_agg(from_state || ' to ' || to_state, ', ' order by at) as state, \
             0 as attempt, null as error_code, null as error \
             from chaos.job_ends group by job_id having count(*) > 1",
        );
        let left_final = sqlx::query_as(
            "select what, id, from_status, to_status from chaos.steps \
             where from_status in ('ready', 'completed', 'failed', 'cancelled')",
        );
        let deliveries = sqlx::query_as(
            "select request_id, disposition, position($1::bytea in body) > 0 as forged from fal_deliveries",
        )
        .bind(wire::FORGED.as_bytes());
        let live_jobs = sqlx::query_as(live).fetch_all(&mut *db).await?;
        let dead_jobs = sqlx::query_as(dead).fetch_all(&mut *db).await?;
        let lost_updates = sqlx::query_as(
            "select update_id, error from telegram_updates \
             where (handled_at is null or error is not null) and position($1 in body::text) = 0",
        )
        .bind(wire::UNREADABLE);
        let same_work = "select kind, count(*) from chaos.same_work group by kind";
        let finals = telegram
            .iter()
            .filter(|call| call.accepted && call.method.eq_ignore_ascii_case("sendMessage"))
            .filter(|call| call.params["text"].as_str().is_some_and(person::is_ending))
            .filter_map(|call| call.chat_id.map(|chat_id| FinalMessage { chat_id }));
        let mut evidence = Self {
            finals: finals.collect(),
            sent: people::sent(&telegram),
            telegram_calls: telegram
                .iter()
                .filter(|call| !call.method.eq_ignore_ascii_case("getUpdates"))
                .count() as u64,
            fal,
            trainings,
            attempts,
            live_jobs,
            dead_jobs,
            deliveries: deliveries.fetch_all(&mut *db).await?,
            ended_twice: ended_twice.fetch_all(&mut *db).await?,
            left_final: left_final.fetch_all(&mut *db).await?,
            same_work: sqlx::query_as(same_work).fetch_all(&mut *db).await?,
            lost_updates: lost_updates.fetch_all(&mut *db).await?,
            lost_claims: sqlx::query_as(include_str!("evidence/lost_claims.sql"))
                .fetch_all(&mut *db)
                .await?,
            jobs: sqlx::query_scalar("select count(*) from jobs")
                .fetch_one(&mut *db)
                .await?,
            ..Self::default()
        };
        evidence.read_people(db).await?;
        Ok(evidence)
    }

    async fn read_people(&mut self, db: &mut PgConnection) -> anyhow::Result<()> {
        let stored: Vec<String> = sqlx::query_scalar("select distinct request_id from chaos.deliveries")
            .fetch_all(&mut *db)
            .await?;
        self.stored = stored.into_iter().collect();
        self.albums = sqlx::query_as(include_str!("evidence/albums.sql"))
            .fetch_all(&mut *db)
            .await?;
        self.generations = sqlx::query_as(include_str!("evidence/generations.sql"))
            .fetch_all(&mut *db)
            .await?;
        self.pictures = sqlx::query_as(people::PICTURES).fetch_all(db).await?;
        Ok(())
    }

    /// Reads what is judged at rest only: models and pictures in the bucket, pictures in chats, and what deletions left.
    pub(super) async fn look_closer(&mut self, site: &Site, db: &mut PgConnection) -> anyhow::Result<()> {
        let of_trainings = self.trainings.iter().filter(|training| !training.is_deleted);
        let models =
            of_trainings.flat_map(|training| [training.model_key.clone(), training.late_model_key.clone()]);
        let pictures = self.pictures.iter().filter(|picture| !picture.is_gone);
        let pictures = pictures.map(|picture| Some(picture.storage_key.clone()));
        let keys: Vec<String> = models.chain(pictures).flatten().collect();
        for key in keys {
            // A missing object is what the invariant looks for, so it is no error here.
            if let Ok(bytes) = site.objects.get(&key, LARGEST_MODEL).await {
                let found = (bytes.len() as u64, hex::encode(Sha256::digest(&bytes)));
                self.objects.insert(key, found);
            }
        }
        self.shown = people::shown(site);
        self.deletions = people::deletions(site, db).await?;
        Ok(())
    }

    /// The attempt that a submit was for, by the token in its webhook's URL, else by the one in its archive's URL or comment.
    /// Pictures have no archive.
    pub fn attempt_of(&self, event: &Event) -> Option<&AttemptRow> {
        let Event::Submitted { input, webhook, .. } = event else {
            return None;
        };
        let text = format!("{} {input}", webhook.as_deref().unwrap_or_default());
        self.attempts.iter().find(|attempt| text.contains(&attempt.token))
    }
}

/// Id of the request, if the entry says that FAL ended it with a result.
pub(super) fn ended_well(entry: &Entry) -> Option<String> {
    match &entry.event {
        Event::RunEnded {
            request_id,
            http_status: 200,
        } => Some(request_id.to_string()),
        _ => None,
    }
}

/// What is still under way; `None` when the system is at rest.
pub(super) async fn unrest(site: &Site, db: &mut PgConnection) -> anyhow::Result<Option<String>> {
    let must_have_ended = must_have_ended();
    let query = format!(
        "select coalesce(string_agg(what, ', '), '') from ( \
         select count(*) || ' jobs of ' || kind as what from jobs where state in ('scheduled', 'ready', 'running') and {must_have_ended} group by kind \
         union all select count(*) || ' trainings ' || status::text from trainings where status not in ('completed', 'failed', 'cancelled') group by status \
         union all select count(*) || ' requests for pictures ' || status::text from generations where status not in ('completed', 'failed', 'cancelled') group by status \
         union all select count(*) || ' albums being made' from albums where status = 'making' having count(*) > 0 \
         union all select count(*) || ' deletions not done' from avatars a where deleted_at is not null \
                   and not exists (select from trainings t where t.avatar_id = a.id and t.late_model = 'watched') having count(*) > 0 \
         union all select count(*) || ' users not erased' from erasures e \
                   where not exists (select from trainings t where t.user_id = e.user_id and t.late_model = 'watched') having count(*) > 0 \
         union all select count(*) || ' updates not handled' from telegram_updates where handled_at is null having count(*) > 0 \
         union all select count(*) || ' deliveries not applied' from fal_deliveries where applied_at is null having count(*) > 0 \
         union all select count(*) || ' late results not had' from trainings \
                   where late_model in ('watched', 'kept') and request_id = any($1) having count(*) > 0 \
         ) as open"
    );
    let ended: Vec<String> = site.fal.ledger().iter().filter_map(ended_well).collect();
    let mut open: String = sqlx::query_scalar(sqlx::AssertSqlSafe(query))
        .bind(ended)
        .fetch_one(db)
        .await
        .context("the database cannot be looked into")?;
    let pending = site.telegram.control().pending_updates().len();
    if pending > 0 {
        let _ = write!(open, ", {pending} updates not fetched");
    }
    Ok((!open.is_empty()).then_some(open))
}
