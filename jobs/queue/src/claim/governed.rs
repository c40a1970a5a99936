//! Claims from a queue that is paused, limited, held to a rate, or whose jobs take turns (Q14, K7).
//!
//! The fast claim (`exchange.rs`) checks whether its queue is governed. If it is, that statement claims nothing and
//! says so; this claim follows, under the same token. `queue_claim_step()` in
//! `migrations/*_bound_governed_claims.sql` and `queue_take()` in `*_walk_past_locked_jobs.sql` do the work: one
//! call, serialised per queue by the row lock of `queue_controls`. A call walks past a bounded number of keys that
//! must wait; the next call continues there, until the walk has come round.
//!
//! # Must stay true
//! * never more jobs run than the limit, however many workers race — `q14_two_workers_never_run_more_than_the_limit`
//! * a pause holds from the next claim statement on; running jobs go on — `q14_a_pause_stops_claims_on_all_workers_and_what_runs_goes_on`
//! * keys take turns; one that must wait delays no other    — `q14_a_key_out_of_its_rate_delays_no_other`
//! * such a key is skipped however many jobs wait in it  — `q14_a_key_at_its_limit_is_skipped_without_walking_its_jobs`
//! * ten thousand such keys cost a claim no more than five hundred —
//!   `q26_keys_that_must_wait_are_walked_in_bounded_steps`; a worker that has walked past all
//!   of them for nothing rests (`rest.rs`)
//! * waiting for a limit, a rate or a turn costs no attempt: such a job is not claimed
//! * a refused worker claims again when a place is free: the worker whose job ended claims again, and wakes the
//!   others if it leaves a place; a worker that a rate holds back knows for how long
//!
//! # If the process dies here
//! Its running jobs count against the limit until they are rescued. Starts that a rate granted it are used up.

use std::time::{Duration, Instant};

use serde_json::value::RawValue;
use sqlx::{PgConnection, types::Json};
use tracing::info;

use crate::{
    Claim, Claimed, JobId,
    claim::{
        Grant,
        exchange::{Exchange, Exchanged, Wanted, seconds},
        rest::Rest,
    },
    database::Database,
    job::{DedupeScope, Queue},
    lease::boot_clock::BootInstant,
    operate::controls::wake,
    storable,
    trace::TraceContext,
};

/// A token bucket: how many jobs may start per second on average, and how many at once after a rest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Starts a second on average; more than zero.
    pub per_second: f64,
    /// At least 1. In any span of time no more jobs start than `burst`, plus
    /// `per_second` for each second of the span.
    pub burst: u16,
}

/// How fast jobs of a queue may start, over all workers. [`Default`]: as fast as they can.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Rates {
    /// For all jobs of the queue together; `None`: no rate.
    pub queue: Option<Rate>,
    /// For the jobs of each fairness key; `None`: no rate.
    pub key: Option<Rate>,
}

/// What a pump knows about the rules of its queue.
pub(crate) struct Governor {
    queue: Queue,
    rates: Rates,
    /// The last claim was governed.
    active: bool,
    /// A job of ours has ended since then.
    freed: bool,
    /// When a rate allows the next start. `None`: no rate holds us back.
    allowed_at: Option<Instant>,
    /// Where the next claim continues the walk. `None`: the last claim saw all keys.
    walk: Option<Walk>,
    rest: Rest,
}

/// How far a walk from key to key has come.
#[derive(Debug, Clone)]
struct Walk {
    /// The key that was looked at last. Empty: the jobs without a key.
    at: String,
    /// The walk ends when it passes this key again, after it has wrapped round.
    mark: String,
    /// The walk has passed the last key and begun again at the first.
    wrapped: bool,
}

/// Most keys that one claim walks past, and most jobs that it parks: a few milliseconds under the queue's lock.
const STEPS: i32 = 500;

impl Governor {
    pub(crate) fn new(queue: Queue, rates: Rates) -> Self {
        Self {
            queue,
            rates,
            active: false,
            freed: false,
            allowed_at: None,
            walk: None,
            rest: Rest::default(),
        }
    }

    /// The last claim did not see all keys: the next one should follow at once.
    pub(crate) fn is_walking(&self) -> bool {
        self.walk.is_some() && !self.rests()
    }

    /// A poll is due, or (`told`) a wake-up came. Returns whether to claim now;
    /// [`Governor::patience`] says when otherwise.
    pub(crate) fn hear(&mut self, told: bool) -> bool {
        if told {
            self.rest.tell();
            self.go_round();
        }
        !self.rests()
    }

    /// Makes the walk go once more round from where it is: there may be new jobs at a key that it has passed.
    fn go_round(&mut self) {
        if let Some(walk) = &mut self.walk {
            walk.mark.clone_from(&walk.at);
            walk.wrapped = false;
        }
    }

    /// When there is a reason to claim before the next poll. `None`: there is none.
    fn reason_at(&self) -> Option<Instant> {
        let news_at = self.rest.news_at();
        let reason = news_at.filter(|_| self.rest.is_told()).or(self.allowed_at)?;
        Some(news_at.map_or(reason, |at| reason.max(at)))
    }

    /// Whether we rest: all keys were looked at a moment ago and nothing could be claimed.
    pub(crate) fn rests(&self) -> bool {
        let Some(polls_at) = self.rest.polls_at() else {
            return false;
        };
        let end = self.reason_at().map_or(polls_at, |at| at.min(polls_at));
        Instant::now() < end
    }

    /// A job of ours has ended, and the next statement acks it. Others of its key may have waited for it.
    pub(crate) const fn ended_with_ack(&mut self) {
        self.rest.tell();
    }

    /// A job of ours has ended, and its end is written already. Returns whether another claim is worthwhile.
    pub(crate) fn ended(&mut self) -> bool {
        self.freed |= self.active;
        self.active && self.hear(true)
    }

    /// A place is free that other workers may wait for, and no statement has told them yet.
    pub(crate) const fn owes_a_look(&self) -> bool {
        self.freed
    }

    /// How long to wait for a wake-up: at most `poll`, and not beyond the moment
    /// at which a rate allows the next start.
    pub(crate) fn patience(&self, poll: Duration) -> Duration {
        self.reason_at().map_or(poll, |at| {
            poll.min(at.saturating_duration_since(Instant::now()) + Duration::from_millis(1))
        })
    }

    /// The rules for the next statement. If its claim is governed it may claim `places`
    /// jobs at most: nothing is claimed ahead.
    pub(crate) fn rules(&mut self, places: usize) -> ClaimRules {
        let freed = self.freed;
        self.freed = false;
        self.rest.set_out();
        ClaimRules {
            rates: self.rates,
            places,
            freed,
            walk: self.walk.take(),
        }
    }

    /// Call when a statement's answer was lost: the places that it was to free must be told again.
    pub(crate) const fn unheard(&mut self, rules: &ClaimRules) {
        self.freed |= rules.freed;
    }

    /// Takes the findings of a statement. `None`: its claim was not governed.
    pub(crate) fn learn(&mut self, governed: Option<Governed>) {
        let was_active = self.active;
        self.active = governed.is_some();
        let allowed_at = governed
            .as_ref()
            .and_then(|governed| Some(Instant::now() + governed.next_in?));
        // A walk takes several claims: keep the earliest moment that any of them found.
        let earlier = governed.as_ref().filter(|governed| governed.continues);
        self.allowed_at = [allowed_at, earlier.and(self.allowed_at)]
            .into_iter()
            .flatten()
            .min();
        let paused = governed.as_ref().is_some_and(|governed| governed.paused);
        match &governed {
            Some(governed) if governed.claimed == 0 && !paused => {
                self.rest.step(governed.took, governed.continues);
                if governed.walk.is_none() {
                    self.rest.begin();
                }
            }
            _ => self.rest.is_over(),
        }
        self.walk = governed.and_then(|governed| governed.walk);
        if self.rest.is_told() {
            self.go_round();
        }
        if was_active || self.active {
            metrics::gauge!("aisha_queue_paused", "queue" => self.queue.as_str())
                .set(f64::from(u8::from(paused)));
        }
    }
}

/// The limits and rates that one claim statement must keep to.
#[derive(Debug)]
pub(crate) struct ClaimRules {
    rates: Rates,
    /// Free slots of this worker.
    places: usize,
    /// A job of ours has ended since the last governed claim.
    freed: bool,
    /// Where to continue. `None`: after the key that was served last.
    walk: Option<Walk>,
}

/// What a governed claim returns besides the jobs.
#[derive(Debug)]
pub(crate) struct Governed {
    paused: bool,
    claimed: i32,
    /// Duration of the claim, including waits for other claims of the queue.
    took: Duration,
    /// When a rate allows more jobs than were claimed. `None`: no rate held any back.
    next_in: Option<Duration>,
    /// The claim continued the walk of the claim before it.
    continues: bool,
    /// Where the next claim continues. `None`: all keys were looked at.
    walk: Option<Walk>,
}

/// The answer of a statement that acks and claims by the rules.
#[derive(Default)]
pub(crate) struct ClaimAnswer {
    pub exchanged: Exchanged,
    /// The findings of a governed claim. `None`: there was none.
    pub governed: Option<Governed>,
}

impl ClaimRules {
    /// Leaves `jobs` fewer free slots to claim for.
    pub(crate) const fn less(&mut self, jobs: usize) {
        self.places = self.places.saturating_sub(jobs);
    }

    /// Acks and claims as `exchange` asks. If the queue is governed, it claims by the rules instead.
    pub(crate) async fn claim(
        &self,
        db: &mut PgConnection,
        exchange: Exchange<'_>,
    ) -> Result<ClaimAnswer, sqlx::Error> {
        let has_rates = self.rates != Rates::default();
        let plain = Exchange {
            wanted: if has_rates {
                Wanted::Strict(0)
            } else {
                exchange.wanted
            },
            ..exchange
        };
        let mut answer = ClaimAnswer::default();
        if !has_rates || !plain.acks.is_empty() {
            answer.exchanged = plain.run(db).await?;
        }
        if has_rates || answer.exchanged.is_governed {
            let wanted = exchange.wanted.count();
            let governed = self.claim_governed(db, &plain, wanted, &mut answer.exchanged);
            answer.governed = Some(governed.await?);
        }
        Ok(answer)
    }

    async fn claim_governed(
        &self,
        db: &mut PgConnection,
        exchange: &Exchange<'_>,
        wanted: usize,
        exchanged: &mut Exchanged,
    ) -> Result<Governed, sqlx::Error> {
        let sent = BootInstant::now();
        let answer = sqlx::query_file!(
            "src/sql/claim_governed.sql",
            exchange.queue.as_str(),
            exchange.claim.0,
            exchange.worker,
            exchange.lease.as_secs_f64(),
            &exchange.known.names,
            &exchange.known.versions,
            i32::try_from(wanted.min(self.places)).unwrap_or(i32::MAX),
            self.freed || !exchange.acks.is_empty(),
            self.rates.queue.map(|rate| rate.per_second),
            self.rates.queue.map(|rate| i32::from(rate.burst)),
            self.rates.key.map(|rate| rate.per_second),
            self.rates.key.map(|rate| i32::from(rate.burst)),
            STEPS,
            self.walk.as_ref().map(|walk| walk.at.as_str()),
            self.walk.as_ref().map(|walk| walk.mark.as_str()),
            self.walk.as_ref().map(|walk| walk.wrapped),
        )
        .fetch_one(&mut *db)
        .await?;
        let governed = Governed {
            paused: answer.paused,
            claimed: answer.claimed,
            took: sent.elapsed(),
            next_in: answer.next_in.map(seconds),
            continues: self.walk.is_some(),
            walk: answer.walk_at.map(|at| Walk {
                mark: answer.walk_mark.unwrap_or_else(|| at.clone()),
                wrapped: answer.walk_wrapped.unwrap_or_default(),
                at,
            }),
        };
        // Governed claims are always strict, so suspects need no special case.
        exchanged.suspects = false;
        if answer.claimed > 0 {
            read_claimed(db, exchange, sent, exchanged).await?;
        }
        Ok(governed)
    }
}

async fn read_claimed(
    db: &mut PgConnection,
    exchange: &Exchange<'_>,
    sent: BootInstant,
    exchanged: &mut Exchanged,
) -> Result<(), sqlx::Error> {
    let mut rows = sqlx::query_file!("src/sql/claimed.sql", exchange.queue.as_str(), exchange.claim.0)
        .fetch_all(db)
        .await?;
    rows.sort_by_key(|row| (std::cmp::Reverse(row.priority), row.run_at, row.id));
    for row in rows {
        // Always found: the claim was given the known kinds.
        let Some(kind) = exchange.known.find(&row.kind) else {
            continue;
        };
        let grant = Grant {
            job: JobId(row.id),
            id: exchange.claim,
            attempt: u16::try_from(row.attempt).unwrap_or(u16::MAX),
            max_attempts: kind.max_attempts,
            age: seconds(row.age),
            claimed: sent,
            lease: exchange.lease,
        };
        exchanged.waits.push(seconds(row.waited));
        exchanged.claimed.push(Claimed {
            claim: Claim::new(&grant),
            kind: kind.name,
            payload: row.payload.0,
            coalesces: row.dedupe_scope == Some(DedupeScope::UntilStarted),
            trace: row.traceparent.as_deref().and_then(TraceContext::parse),
        });
    }
    Ok(())
}

/// When this many keys were silenced within [`SOON`], the whole queue is: a 429 does not always say whom it is for.
const EVERYBODY: i64 = 3;
/// Keys that are told to be silent within this time count as together.
const SOON: Duration = Duration::from_secs(5);
/// Longest silence of a whole queue before one job probes it: the wait that the other
/// side names for one chat can be hours.
pub(crate) const PROBE_AFTER: Duration = Duration::from_mins(1);

/// Obeys a 429: no job of `key` starts in `queue` for the time `silence`, on any worker; without a key, no job of the
/// queue. Jobs of other keys go on, unless several keys were silenced within seconds. Then the 429 was meant for all,
/// and the whole queue is silent for the shortest of their waits, a minute at most. After that one job is let through
/// as a probe: another 429 starts the next silence, a success ends it ([`let_speak`]).
/// Returns how long the whole queue is silent. `None`: it is not.
///
/// Two commits, since keys that are silenced at the same moment see each other only once they are committed. In one
/// statement, three concurrent transactions would miss each other's uncommitted rows, and none would count three. If
/// the process dies between the two commits, the next 429 does the check.
pub(crate) async fn hold_back(
    database: &Database,
    queue: Queue,
    key: Option<&str>,
    silence: Duration,
) -> Result<Option<Duration>, sqlx::Error> {
    let Some(key) = key else {
        let silence = silence.min(PROBE_AFTER);
        let mut tx = database.begin().await?;
        sqlx::query_file!(
            "src/sql/hold_queue_back.sql",
            queue.as_str(),
            silence.as_secs_f64()
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        return Ok(Some(silence));
    };
    let mut tx = database.begin().await?;
    sqlx::query_file!(
        "src/sql/hold_back.sql",
        queue.as_str(),
        key,
        storable::delay(silence).as_secs_f64(),
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    let mut tx = database.begin().await?;
    let everybody = sqlx::query_file_scalar!(
        "src/sql/hold_everybody_back.sql",
        queue.as_str(),
        PROBE_AFTER.as_secs_f64(),
        EVERYBODY,
        SOON.as_secs_f64(),
    )
    .fetch_optional(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(everybody.map(seconds))
}

/// The other side accepted a call of `queue`: if that job was the probe, the queue's silence ends and all jobs go on.
pub(crate) async fn let_speak(database: &Database, queue: Queue) -> Result<(), sqlx::Error> {
    let mut tx = database.begin().await?;
    let ended = sqlx::query_file!("src/sql/let_speak.sql", queue.as_str())
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    if ended.rows_affected() > 0 {
        info!(queue = queue.as_str(), "The silence of {queue} is over");
        let mut tx = database.begin().await?;
        wake(&mut tx, queue).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// Every silent queue and every queue with silent keys: how long it stays silent, and how many keys are.
pub(crate) async fn silences(db: &mut PgConnection) -> Result<Vec<Silence>, sqlx::Error> {
    sqlx::query_file_as!(Silence, "src/sql/silences.sql")
        .fetch_all(db)
        .await
}

/// One queue that is silent, or has silent keys.
pub(crate) struct Silence {
    pub queue: String,
    /// Seconds until the silence of the whole queue ends. 0 also while the queue is probed.
    pub seconds: f64,
    pub keys: i64,
}

/// Deletes buckets that are full again, and silences that ended long ago without a job to probe them.
pub(crate) async fn sweep_buckets(db: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from queue_buckets
          where greatest(nullif(full_at, 'infinity'), quiet_until, held_at) < now() - case full_at when 'infinity' then interval '10 min' else interval '1 min' end"
    )
    .execute(db)
    .await?;
    Ok(())
}
