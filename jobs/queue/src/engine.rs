//! What the loops of one worker process share: its name, its fencing tokens, its claims and its wake-up signals.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::{
    Claim, ClaimId, Interruption, JobId,
    claim::connection::EngineConnection,
    database::{self, Database},
    job::Queue,
};

/// The engine's times, with K10's names and defaults.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    /// A worker that renews no lease for this long has lost its jobs.
    pub lease: Duration,
    /// Pause between heartbeats; several fit into a lease.
    pub beat: Duration,
    /// Pause between looks for expired leases.
    pub sweep: Duration,
    /// Pause between looks for jobs when no wake-up came: the net under LISTEN/NOTIFY.
    pub poll: Duration,
}

pub(crate) struct Engine {
    pub worker: String,
    pub timing: Timing,
    /// For all statements except claims, acks and heartbeats. The jobs' own transactions use another pool.
    pub database: Database,
    pub held: HeldClaims,
    /// A job was scheduled here that may be due before the promoter looks again.
    pub due_soon: Notify,
    pub(crate) options: PgConnectOptions,
    /// Whether NOTIFY can wake this worker: not behind a pooler in transaction mode, and not
    /// if the settings forbid it. Otherwise it polls.
    pub wakes: bool,
    /// A connection of ours listens now. While none does, we announce no sleep.
    pub listening: AtomicBool,
    boot: u64,
    claims: AtomicU64,
    signals: HashMap<Queue, Signals>,
    /// For queues that this worker has no kind for: no loop waits for these.
    unheard: Signals,
}

/// The wake-up state of one queue of this worker.
#[derive(Default)]
pub(crate) struct Signals {
    /// Notified when there may be something to claim.
    pub look: Notify,
    /// Our row in `queue_sleepers` exists, or is about to.
    pub announced: AtomicBool,
}

impl Engine {
    /// An engine for the database that `host` leads to, through the same pooler if there is one. It opens no connection yet.
    pub(crate) fn new(
        name: &str,
        timing: Timing,
        wake: bool,
        host: &Database,
        queues: impl Iterator<Item = Queue>,
    ) -> Self {
        let (boot, _) = Uuid::new_v4().as_u64_pair();
        let worker = format!("{name}-{boot:016x}");
        let pool = PgPoolOptions::new()
            .max_connections(4)
            .acquire_timeout(timing.lease);
        let database = host.for_worker(&format!("aisha {worker}"), pool);
        let options = database.options();
        let pooled = database.is_pooled();
        Self {
            timing,
            database,
            held: HeldClaims::default(),
            due_soon: Notify::new(),
            options: if pooled {
                options
            } else {
                options.options(
                    steady_plans(timing.lease)
                        .iter()
                        .map(|(name, value)| (*name, value)),
                )
            },
            wakes: wake && !pooled,
            listening: AtomicBool::new(false),
            boot,
            claims: AtomicU64::new(0),
            signals: queues.map(|queue| (queue, Signals::default())).collect(),
            unheard: Signals::default(),
            worker,
        }
    }

    /// A connection for one loop alone, opened on first use.
    pub(crate) fn connection(&self) -> EngineConnection {
        let begin = self.database.is_pooled().then(|| {
            let steady = steady_plans(self.timing.lease);
            let settings = steady
                .iter()
                .map(|(name, value)| format!("; set local {name} = '{value}'"));
            format!("{}{}", database::BEGIN_POOLED, settings.collect::<String>())
        });
        EngineConnection::new(self.options.clone(), self.timing.lease, begin)
    }

    pub(crate) fn next_claim(&self) -> ClaimId {
        ClaimId(Uuid::from_u64_pair(
            self.boot,
            self.claims.fetch_add(1, Ordering::Relaxed),
        ))
    }

    pub(crate) fn signals(&self, queue: Queue) -> &Signals {
        self.signals.get(&queue).unwrap_or(&self.unheard)
    }

    /// The queues of all kinds that this process knows, and those that it works on.
    pub(crate) fn queues(&self) -> impl Iterator<Item = Queue> {
        self.signals.keys().copied()
    }

    /// The queue of this name, if it is one of [`Engine::queues`].
    pub(crate) fn queue_named(&self, name: &str) -> Option<Queue> {
        self.queues().find(|queue| queue.as_str() == name)
    }
}

/// Forces one plan for ever, the right one: index lookups in index order. A plan cached on an empty
/// table, or made from stale statistics, would scan the table when a burst comes (Q22); planning each
/// time costs more than the statement itself.
///
/// `statement_timeout` is shorter than the engine's own limit: when a loop abandons a statement after a
/// lease, the server has cancelled it before.
fn steady_plans(lease: Duration) -> [(&'static str, String); 8] {
    let limit = format!("{}ms", (lease * 4 / 5).as_millis());
    [
        ("plan_cache_mode", "force_generic_plan"),
        ("enable_seqscan", "off"),
        ("enable_bitmapscan", "off"),
        ("enable_hashjoin", "off"),
        ("enable_mergejoin", "off"),
        ("enable_sort", "off"),
        // `enable_… = off` adds a huge cost to those nodes, which would trigger the JIT compiler.
        ("jit", "off"),
        ("statement_timeout", limit.as_str()),
    ]
    .map(|(name, value)| (name, value.to_owned()))
}

/// Claims whose leases the heartbeat renews: from the claim until the outcome is durable.
#[derive(Default)]
pub(crate) struct HeldClaims(Mutex<HashMap<(JobId, ClaimId), Claim>>);

impl HeldClaims {
    fn claims(&self) -> MutexGuard<'_, HashMap<(JobId, ClaimId), Claim>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add<'a>(&self, claims: impl IntoIterator<Item = &'a Claim>) {
        let claims = claims.into_iter();
        self.claims()
            .extend(claims.map(|claim| ((claim.job(), claim.id()), claim.clone())));
    }

    pub(crate) fn remove<'a>(&self, claims: impl IntoIterator<Item = &'a Claim>) {
        let mut held = self.claims();
        for claim in claims {
            held.remove(&(claim.job(), claim.id()));
        }
    }

    pub(crate) fn all(&self) -> Vec<Claim> {
        self.claims().values().cloned().collect()
    }

    /// Interrupts every run that still goes on. Returns how many.
    pub(crate) fn interrupt_all(&self, why: Interruption) -> usize {
        self.all().iter().filter(|claim| claim.interrupt(why)).count()
    }
}
