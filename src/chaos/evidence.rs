//! What is known when all is at rest: the simulators' ledgers, SQL, the bucket. Read once, into plain values, so that
//! the invariants are functions that a test can call.

use std::{collections::BTreeMap, fmt::Write as _};

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use sha2::{Digest as _, Sha256};
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use super::{person, site::Site, wire};
use crate::simulators::{
    fal::ledger::{Entry, Event},
    telegram::{LedgerEntry, LedgerFilter},
};

/// Larger than any model that the simulator makes.
const LARGEST_MODEL: usize = 64 << 20;

/// A training's row, with its avatar's and what was told about it.
#[derive(Debug, Clone, FromRow)]
pub struct TrainingRow {
    /// The training.
    pub id: Uuid,
    /// Chat of its owner.
    pub chat_id: i64,
    /// As in the database.
    pub status: String,
    /// As in the database.
    pub failure_code: Option<String>,
    /// FAL's id of what counts.
    pub request_id: Option<String>,
    /// Endpoint that the training's own attempts name.
    pub endpoint: Option<String>,
    /// `portrait` or `style`.
    pub training_type: String,
    /// The avatar's.
    pub avatar_status: String,
    /// Our copy.
    pub model_key: Option<String>,
    /// As recorded.
    pub model_sha256: Option<String>,
    /// As recorded.
    pub model_bytes: Option<i64>,
    /// What is expected of a request that outlived its training: `watched`, `kept` or `settled`.
    pub late_model: Option<String>,
    /// Our copy of a model that came after its training had failed.
    pub late_model_key: Option<String>,
    /// Sends of the final message that we counted as perhaps twice.
    pub possible_duplicates: i64,
}

/// An attempt to submit.
#[derive(Debug, Clone, FromRow)]
pub struct AttemptRow {
    /// Whose.
    pub training_id: Uuid,
    /// In the webhook's URL.
    pub token: String,
}

/// A job that is not at rest, or dead.
#[derive(Debug, Clone, FromRow)]
pub struct JobRow {
    /// The job.
    pub id: i64,
    /// The job's kind.
    pub kind: String,
    /// As in the database.
    pub state: String,
    /// Charged runs.
    pub attempt: i32,
    /// Its last words.
    pub error_code: Option<String>,
    /// Its last words.
    pub error: Option<String>,
}

/// A delivery that the web role stored.
#[derive(Debug, Clone, FromRow)]
pub struct DeliveryRow {
    /// FAL's id of the request.
    pub request_id: String,
    /// What became of it; `None`: nothing yet.
    pub disposition: Option<String>,
    /// One of ours, which nobody may have taken.
    pub forged: bool,
}

/// A claim that was lost, and when the job was claimed again.
#[derive(Debug, Clone, FromRow)]
pub struct LostClaim {
    /// `pid-<pid>-<boot>`.
    pub worker: String,
    /// Taken back, ready for anybody.
    pub rescued_at: DateTime<Utc>,
    /// The next claim of the job; `None`: there was none.
    pub reclaimed_at: Option<DateTime<Utc>>,
}

/// A message to a chat that Telegram took, and that ends a training.
#[derive(Debug, Clone)]
pub struct FinalMessage {
    /// Whose chat.
    pub chat_id: i64,
}

/// What FAL and Telegram were asked. A value of its own because it is taken before any row is read: a submit that FAL
/// took has an attempt that was committed earlier, so rows that are read later must show it. The other way round, a
/// submit that comes between the two reads looks like one that nobody of ours made (I2), and a green run turned red.
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

/// Everything.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// FAL's ledger.
    pub fal: Vec<Entry>,
    /// Final messages that Telegram accepted.
    pub finals: Vec<FinalMessage>,
    /// Calls to Telegram.
    pub telegram_calls: u64,
    /// Rows.
    pub trainings: Vec<TrainingRow>,
    /// Rows.
    pub attempts: Vec<AttemptRow>,
    /// Jobs in a state that is not final, periodic ones apart.
    pub live_jobs: Vec<JobRow>,
    /// Dead letters.
    pub dead_jobs: Vec<JobRow>,
    /// Rows.
    pub deliveries: Vec<DeliveryRow>,
    /// Jobs that arrived in a final state more than once.
    pub ended_twice: Vec<JobRow>,
    /// Steps of a training out of a final status: training, from, to.
    pub left_final: Vec<(Uuid, String, String)>,
    /// Kinds of jobs that were enqueued while the same work waited, and how often.
    pub same_work: Vec<(String, i64)>,
    /// Updates that the bot took and did not handle, or gave up.
    pub lost_updates: Vec<(i64, Option<String>)>,
    /// Claims that were lost.
    pub lost_claims: Vec<LostClaim>,
    /// Jobs of all states.
    pub jobs: i64,
    /// Size and hash of what lies in the bucket, by key.
    pub objects: BTreeMap<String, (u64, String)>,
}

/// Periodic jobs come by themselves; and a training that we had to end is watched for a model that comes all the same.
const LEFT_OVER: &str = "kind not in ('reconcile_trainings', 'sweep_orphans', 'prune') \
    and not (kind = 'poll_status' and exists (select from trainings t where t.id::text = payload ->> 'training_id' \
             and t.status in ('failed', 'cancelled')))";

impl Evidence {
    /// What can be known while the system runs; rows that are about to change are none of it.
    pub(super) async fn gather(ledgers: Ledgers, db: &mut PgConnection) -> anyhow::Result<Self> {
        let Ledgers { fal, telegram } = ledgers;
        let trainings = sqlx::query_as(include_str!("evidence/trainings.sql"))
            .fetch_all(&mut *db)
            .await?;
        let attempts = sqlx::query_as("select training_id, token from training_attempts")
            .fetch_all(&mut *db)
            .await?;
        let jobs = "select id, kind, state::text as state, attempt, error_code, error from jobs where ";
        let live = sqlx::AssertSqlSafe(format!(
            "{jobs} state in ('scheduled', 'ready', 'running') and {LEFT_OVER}"
        ));
        let dead = sqlx::AssertSqlSafe(format!("{jobs} state = 'dead'"));
        let ended_twice = sqlx::query_as(
            "select job_id as id, min(kind) as kind, string_agg(from_state || ' to ' || to_state, ', ' order by at) as state, \
             0 as attempt, null as error_code, null as error \
             from chaos.job_ends group by job_id having count(*) > 1",
        );
        let left_final = sqlx::query_as(
            "select training_id, from_status, to_status from chaos.training_steps \
             where from_status in ('completed', 'failed', 'cancelled')",
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
        Ok(Self {
            finals: finals.collect(),
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
            objects: BTreeMap::new(),
        })
    }

    /// Reads every model that an avatar is said to have.
    pub(super) async fn read_models(&mut self, site: &Site) -> anyhow::Result<()> {
        for key in self
            .trainings
            .iter()
            .flat_map(|training| [training.model_key.clone(), training.late_model_key.clone()])
            .flatten()
        {
            // A key without an object is what the invariant is about, and no failure to read.
            if let Ok(bytes) = site.objects.get(&key, LARGEST_MODEL).await {
                let found = (bytes.len() as u64, hex::encode(Sha256::digest(&bytes)));
                self.objects.insert(key, found);
            }
        }
        Ok(())
    }

    /// Which training a submit was for: by the token in its webhook's URL, else by its archive's or comment's.
    pub fn training_of(&self, event: &Event) -> Option<Uuid> {
        let Event::Submitted { input, webhook, .. } = event else {
            return None;
        };
        let text = format!("{} {input}", webhook.as_deref().unwrap_or_default());
        self.attempts
            .iter()
            .find(|attempt| text.contains(&attempt.token))
            .map(|attempt| attempt.training_id)
    }
}

/// The request that FAL ended with a result.
pub(super) fn ended_well(entry: &Entry) -> Option<String> {
    match &entry.event {
        Event::RunEnded {
            request_id,
            http_status: 200,
        } => Some(request_id.to_string()),
        _ => None,
    }
}

/// Whether nothing is under way any more; else what is.
pub(super) async fn unrest(site: &Site, db: &mut PgConnection) -> anyhow::Result<Option<String>> {
    let query = format!(
        "select coalesce(string_agg(what, ', '), '') from ( \
         select count(*) || ' jobs of ' || kind as what from jobs where state in ('scheduled', 'ready', 'running') and {LEFT_OVER} group by kind \
         union all select count(*) || ' trainings ' || status::text from trainings where status not in ('completed', 'failed', 'cancelled') group by status \
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
