//! Carries a schedule out, and counts the faults that really struck.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jobs::chaos::Point;
use rustix::process::Signal;
use tokio::{task::JoinSet, time::Instant};

use super::{
    processes::Fleet,
    proxy::Mode,
    schedule::{FaultKind, FaultSchedule, Planned},
    site::{LEASE, SWEEP, Site},
    wire::{self, Forgery, Scripted, choose},
};

/// Longer than another worker needs to take over the jobs of a stopped one.
const FROZEN: Duration = LEASE.saturating_add(SWEEP.saturating_mul(2));
/// How long a failpoint stays armed for a process to reach it.
const AMBUSH: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(50);
const TEN_MINUTES: i64 = 600;

/// The faults that struck the system.
#[derive(Debug, Clone, Default)]
pub(super) struct Injected {
    /// How often each kind struck.
    pub count: BTreeMap<FaultKind, u32>,
    /// How often a process was struck at each failpoint.
    pub failpoints: BTreeMap<String, u32>,
    pub forgeries: Vec<Forgery>,
    /// Faults that could not be injected, and why.
    pub problems: Vec<String>,
}

/// The progress of one kind of fault.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    pub struck: u32,
    /// Faults that were injected and are not over: they may still strike.
    pub under_way: u32,
}

#[derive(Default)]
struct Book {
    injected: Injected,
    /// Scripted faults that no call has met yet.
    scripted: Vec<(FaultKind, Scripted)>,
    under_way: BTreeMap<FaultKind, u32>,
}

/// A handle on the counts; clones share them.
#[derive(Clone)]
pub(super) struct Injector {
    site: Arc<Site>,
    fleet: Fleet,
    book: Arc<Mutex<Book>>,
}

impl Injector {
    pub(super) fn new(site: Arc<Site>, fleet: Fleet) -> Self {
        Self {
            site,
            fleet,
            book: Arc::default(),
        }
    }

    fn note(&self, write: impl FnOnce(&mut Book)) {
        write(&mut self.book.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn struck(&self, kind: FaultKind) {
        self.note(|book| *book.injected.count.entry(kind).or_default() += 1);
    }

    /// Injects every fault at its time and returns after the last. Failpoints that no process has reached yet
    /// stay in `open`.
    pub(super) async fn carry_out(&self, schedule: &FaultSchedule, open: &mut JoinSet<()>) {
        let began = Instant::now();
        for fault in &schedule.faults {
            tokio::time::sleep_until(began + fault.at).await;
            self.bring_about(*fault, open);
        }
    }

    /// Injects one fault now.
    pub(super) fn bring_about(&self, fault: Planned, open: &mut JoinSet<()>) {
        let injector = self.clone();
        self.note(|book| *book.under_way.entry(fault.kind).or_default() += 1);
        open.spawn(async move {
            let done = injector.inject(fault).await;
            injector.note(|book| {
                book.under_way
                    .entry(fault.kind)
                    .and_modify(|count| *count = count.saturating_sub(1));
                if let Err(error) = done {
                    let problem = format!("{}: {error:#}", fault.kind.name());
                    book.injected.problems.push(problem);
                }
            });
        });
    }

    /// The progress of each kind of fault.
    pub(super) fn tally(&self) -> BTreeMap<FaultKind, Tally> {
        self.count_strikes();
        let mut tally: BTreeMap<FaultKind, Tally> = BTreeMap::new();
        self.note(|book| {
            for (kind, count) in &book.injected.count {
                tally.entry(*kind).or_default().struck += count;
            }
            for (kind, count) in &book.under_way {
                tally.entry(*kind).or_default().under_way += count;
            }
            for (kind, _) in &book.scripted {
                tally.entry(*kind).or_default().under_way += 1;
            }
        });
        tally
    }

    /// Call it after the last fault: ends faults that would otherwise go on. A fault that is scripted for the
    /// next call of a kind, and has met none yet, still strikes that call once.
    pub(super) async fn calm(&self, mut open: JoinSet<()>) {
        while open.join_next().await.is_some() {}
        self.site.postgres.set(Mode::Pass);
        self.site.s3.set(Mode::Pass);
        self.fleet.calm().await;
    }

    /// Releases all held calls; repeated while the system comes to rest.
    pub(super) fn release(&self) {
        self.site.fal.release();
        self.site.telegram.control().release(None);
    }

    /// All counts, read once at the end.
    pub(super) fn injected(&self) -> Injected {
        self.count_strikes();
        self.book
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .injected
            .clone()
    }

    /// A scripted fault counts once it has struck, which only its simulator knows.
    fn count_strikes(&self) {
        let fal = self.site.fal.struck();
        let telegram = self.site.telegram.control().faults();
        self.note(|book| {
            let Book {
                injected, scripted, ..
            } = book;
            scripted.retain(|(kind, scripted)| {
                let struck = match scripted {
                    Scripted::Fal(id) => fal.get(id).is_some_and(|times| *times > 0),
                    Scripted::Telegram(id) => {
                        telegram.iter().any(|fault| fault.id == *id && fault.struck > 0)
                    }
                };
                if struck {
                    *injected.count.entry(*kind).or_default() += 1;
                }
                !struck
            });
        });
    }

    async fn inject(&self, fault: Planned) -> anyhow::Result<()> {
        let Planned { kind, pick, .. } = fault;
        if let Some(scripted) = wire::script(&self.site, kind, pick)? {
            self.note(|book| book.scripted.push((kind, scripted)));
            return Ok(());
        }
        if let Some((mode, millis)) = at_the_proxy(kind, pick) {
            self.for_a_while(kind, mode, millis).await;
            return Ok(());
        }
        match kind {
            FaultKind::Kill => self.signal(kind, "", Signal::KILL, pick).await,
            FaultKind::Terminate => self.signal(kind, "", Signal::TERM, pick).await,
            FaultKind::Freeze => self.freeze(pick).await,
            FaultKind::RollingRestart => self.roll().await,
            FaultKind::ClockSkew => self.skew(pick).await,
            FaultKind::FailpointKill => self.ambush(kind, &Point::ALL, pick, "kill").await,
            FaultKind::FailpointStop => {
                let of_workers: Vec<Point> = Point::ALL
                    .into_iter()
                    .filter(|point| point.role() == "worker")
                    .collect();
                self.ambush(kind, &of_workers, pick, "stop").await;
            }
            FaultKind::StopBeforeFirstByte => {
                let point = [Point::SubmitBeforeFirstByte];
                self.ambush(kind, &point, pick, "stop").await;
            }
            FaultKind::KillInDelivery => {
                let point = [Point::WebhookBeforeCommit];
                self.ambush(kind, &point, pick, "kill").await;
            }
            FaultKind::PostgresCrash => {
                self.site.crash_postgres().await?;
                self.struck(kind);
            }
            FaultKind::BackendsTerminated => self.terminate_backends().await?,
            FaultKind::PostgresReadOnly => {
                self.site
                    .while_read_only(Duration::from_millis(700 + pick % 1000))
                    .await?;
                self.struck(kind);
            }
            FaultKind::PostgresFreezesListeners => self.freeze_listeners().await,
            FaultKind::PostgresLongSnapshot => {
                if self.site.hold_snapshot(Duration::from_secs(4 + pick % 6)).await? {
                    self.struck(kind);
                }
            }
            FaultKind::SilentConnections => {
                if wire::keep_silent(self.site.web, Duration::from_millis(2000 + pick % 2000)).await {
                    self.struck(kind);
                }
            }
            FaultKind::UpdateUnreadable => {
                wire::send_unreadable_update(&self.site, 99_000 + i64::try_from(pick % 1000)?, pick);
                self.struck(kind);
            }
            FaultKind::WebhookForged => self.forge(pick).await?,
            FaultKind::UpdateRedelivered => {
                if self.site.telegram.control().resend_update(None, false).is_some() {
                    self.struck(kind);
                }
            }
            _ => anyhow::bail!("nobody knows how to inject it"),
        }
        Ok(())
    }

    async fn signal(&self, kind: FaultKind, prefix: &str, signal: Signal, pick: u64) {
        let at = choose(&self.fleet.slots(prefix).await, pick);
        if self.fleet.signal(at, signal).await.is_some() {
            self.struck(kind);
        }
    }

    /// Stops a worker for longer than its leases, like a machine that hangs, and then continues it.
    async fn freeze(&self, pick: u64) {
        let at = choose(&self.fleet.slots("worker").await, pick);
        if self.fleet.signal(at, Signal::STOP).await.is_some() {
            self.struck(FaultKind::Freeze);
            tokio::time::sleep(FROZEN).await;
            self.fleet.signal(at, Signal::CONT).await;
        }
    }

    async fn roll(&self) {
        for at in self.fleet.slots("").await {
            let before = self.fleet.pid(at).await;
            self.fleet.signal(at, Signal::TERM).await;
            let replaced = async {
                loop {
                    tokio::time::sleep(LOOK).await;
                    let pid = self.fleet.pid(at).await;
                    if pid.is_some() && pid != before {
                        return;
                    }
                }
            };
            drop(tokio::time::timeout(AMBUSH, replaced).await);
        }
        self.struck(FaultKind::RollingRestart);
    }

    /// Restarts a worker with a clock that is ten minutes ahead or behind.
    async fn skew(&self, pick: u64) {
        let at = choose(&self.fleet.slots("worker").await, pick);
        let offset = choose(&[TEN_MINUTES, -TEN_MINUTES], pick / 8);
        self.fleet.skew(at, offset).await;
        if self.fleet.signal(at, Signal::TERM).await.is_some() {
            self.struck(FaultKind::ClockSkew);
        }
    }

    /// Arms one failpoint for the first process of its role that reaches it; if none does in time, arms all
    /// of them.
    async fn ambush(&self, kind: FaultKind, points: &[Point], pick: u64, action: &str) {
        let point = choose(points, pick);
        let (began, mut orders) = (Instant::now(), Vec::new());
        let (anywhere, until) = (began + AMBUSH / 3, began + AMBUSH);
        // A slot takes only one order; if there is one already, this waits for its end.
        while orders.is_empty() && Instant::now() < until {
            self.order(point, action, &mut orders).await;
            tokio::time::sleep(LOOK).await;
        }
        while Instant::now() < anywhere && !orders.iter().any(|(_, order)| was_struck(order)) {
            tokio::time::sleep(LOOK).await;
        }
        if !orders.iter().any(|(_, order)| was_struck(order)) {
            for other in points {
                self.order(*other, action, &mut orders).await;
            }
        }
        while Instant::now() < until && !orders.iter().any(|(_, order)| was_struck(order)) {
            tokio::time::sleep(LOOK).await;
        }
        for (_, order) in &orders {
            drop(std::fs::remove_file(order));
        }
        // More than one process may have reached it before the orders were withdrawn.
        orders.retain(|(_, order)| was_struck(order));
        for (_, order) in &orders {
            self.struck(kind);
            let name = order
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            self.note(|book| *book.injected.failpoints.entry(name.to_owned()).or_default() += 1);
            drop(std::fs::remove_file(order.with_extension("struck")));
        }
        if action == "stop" && !orders.is_empty() {
            tokio::time::sleep(FROZEN).await;
            for (at, _) in orders {
                self.fleet.signal(at, Signal::CONT).await;
            }
        }
    }

    /// Writes an order for a failpoint for every process of its role that has none.
    async fn order(&self, point: Point, action: &str, orders: &mut Vec<(usize, PathBuf)>) {
        for at in self.fleet.slots(point.role()).await {
            let Some(control) = self.fleet.control(at).await else {
                continue;
            };
            let order = control.join(point.name());
            if !order.exists() && std::fs::write(&order, action).is_ok() {
                orders.push((at, order));
            }
        }
    }

    /// Terminates sessions of our roles; waits for the server if it is down.
    async fn terminate_backends(&self) -> anyhow::Result<()> {
        let query = "select count(pg_terminate_backend(pid)) from (select pid from pg_stat_activity \
                     where application_name like 'aisha%' order by random() limit 6) as chosen";
        let until = Instant::now() + AMBUSH;
        loop {
            let ended: Result<i64, sqlx::Error> = async {
                let mut db = self.site.database().await?;
                sqlx::query_scalar(query).fetch_one(&mut db).await
            }
            .await;
            match ended {
                Ok(ended) if ended > 0 => {
                    self.struck(FaultKind::BackendsTerminated);
                    return Ok(());
                }
                Err(error) if Instant::now() >= until => return Err(error.into()),
                _ if Instant::now() >= until => return Ok(()),
                _ => tokio::time::sleep(LOOK).await,
            }
        }
    }

    /// Freezes the connections that LISTEN, once there are any.
    async fn freeze_listeners(&self) {
        let until = Instant::now() + AMBUSH;
        while Instant::now() < until {
            if self.site.postgres.freeze_listeners() > 0 {
                self.struck(FaultKind::PostgresFreezesListeners);
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn for_a_while(&self, kind: FaultKind, mode: Mode, millis: u64) {
        let proxy = if matches!(
            kind,
            FaultKind::S3Down | FaultKind::S3Slow | FaultKind::S3Truncates | FaultKind::S3Shortens
        ) {
            &self.site.s3
        } else {
            &self.site.postgres
        };
        proxy.set(mode);
        self.struck(kind);
        tokio::time::sleep(Duration::from_millis(millis)).await;
        // If two overlap, the first to end ends both.
        proxy.set(Mode::Pass);
    }

    /// Repeats until the web role answers: a forgery that nobody received proves nothing.
    async fn forge(&self, pick: u64) -> anyhow::Result<()> {
        let until = Instant::now() + AMBUSH;
        while Instant::now() < until {
            if let Some(forgery) = wire::forge(&self.site, pick).await? {
                self.struck(FaultKind::WebhookForged);
                self.note(|book| book.injected.forgeries.push(forgery));
                break;
            }
            tokio::time::sleep(4 * LOOK).await;
        }
        Ok(())
    }
}

/// The proxy's behaviour under this kind, and for how many milliseconds; `None`: the kind does not concern
/// the proxy.
fn at_the_proxy(kind: FaultKind, pick: u64) -> Option<(Mode, u64)> {
    let late = |millis| Mode::Late(Duration::from_millis(millis));
    match kind {
        FaultKind::PostgresCut => Some((Mode::Cut, 300 + pick % 700)),
        FaultKind::PostgresBlackHole => Some((Mode::BlackHole, 800 + pick % 1500)),
        FaultKind::PostgresLatency => Some((late(500), 1000 + pick % 1000)),
        FaultKind::S3Down => Some((Mode::Cut, 700 + pick % 1300)),
        FaultKind::S3Slow => Some((late(400), 1500 + pick % 1500)),
        FaultKind::S3Truncates => Some((Mode::Truncate, 500 + pick % 1000)),
        FaultKind::S3Shortens => Some((Mode::Shorten, 500 + pick % 1000)),
        _ => None,
    }
}

fn was_struck(order: &Path) -> bool {
    order.with_extension("struck").exists()
}
