//! One queue of one worker: claims as many jobs as its slots and its buffer can take, and acks those that are done.
//!
//! One statement does both (`exchange.rs`). A strict queue has one lane and no buffer: a slot is free once
//! its job's outcome is durable. A prefetching queue (K3) has a buffer and two lanes, whose statements
//! overlap: while both run, handlers go on with buffered jobs. The jobs that a statement acks make room for
//! those it claims, since both are one commit.
//!
//! # Must stay true
//! * Claims held never exceed slots and buffer together. Outcomes that are not durable yet count too: they are the
//!   most that a crash can run twice (Q3, Q10).
//! * Acks group by themselves: the outcomes of jobs that end while a statement runs go with the next.
//! * A row that another transaction has locked holds up its own ack and nothing else — `q27_a_locked_row_holds_up_nothing_but_itself`
//! * A prefetching queue runs a suspect alone, with nothing else claimed, so that its crash costs no other job.
//! * If the connection breaks before a claim's answer, those jobs are given back uncharged before the next claim.
//!
//! # If the process dies here
//! Outcomes that were not acked are lost with their leases, and those jobs run again;
//! jobs claimed ahead run again uncharged.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::{
    task::yield_now,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    Capacity, Claim, Claimed, Engine, KnownKinds, Slots,
    backoff::{Backoff, jittered},
    claim::{
        exchange::{Exchanged, Wanted},
        governed::{Governor, Rates},
        lane::{ExchangeEnd, ExchangeRequest, Lane},
        release::release_buffered,
    },
    database::words_of,
    job::Queue,
    wake::Sleeper,
};

/// The pause between two tries to ack rows that another transaction has locked.
const LOCKED_AGAIN: Duration = Duration::from_millis(250);

pub(crate) struct Pump {
    engine: Arc<Engine>,
    queue: Queue,
    capacity: Capacity,
    known: Arc<KnownKinds>,
    slots: Arc<Slots>,
    sleeper: Sleeper,
    governor: Governor,
    meters: QueueMeters,
    stop: SampledStop,
    idle: Vec<Lane>,
    under_way: FuturesUnordered<BoxFuture<'static, ExchangeEnd>>,
    /// Claims that are not given back yet, including those whose ack is not written.
    held: usize,
    /// Upper bound by which the statements under way can raise `held`: claims asked for, less acks.
    in_flight_growth: usize,
    /// Acks that no statement has taken yet.
    acks: Vec<Claim>,
    /// One of the acks may free a key that another job waits for.
    coalesced: bool,
    /// The next statement should claim: there may be ready jobs.
    may_have_work: bool,
    /// Counts wake-ups. An answer to a statement sent before the last one says nothing about what is ready now.
    wakeups_seen: u64,
    /// Suspects wait: nothing more is claimed ahead before one has run alone.
    suspects_waiting: bool,
    /// The wake-up count at which we looked for a suspect and found none that can run.
    no_suspect_at_wakeup: Option<u64>,
    /// Acks of the statements under way.
    in_flight_acks: usize,
    /// Acks of rows that another transaction has locked, and when they are tried again.
    locked: Vec<Claim>,
    locked_until: Instant,
    backoff: Backoff,
    /// No statement before this moment. `Some` while the database cannot be reached.
    not_before: Option<Instant>,
}

/// Cancellation, sampled once per loop iteration. If `wait()` sampled it again, it could take a stop that came after this
/// iteration for one that the iteration has acted on, and sleep.
struct SampledStop {
    token: CancellationToken,
    seen: bool,
}

impl SampledStop {
    fn look(&mut self) -> bool {
        self.seen = self.token.is_cancelled();
        self.seen
    }
}

/// The metrics of one queue, looked up once.
struct QueueMeters {
    running: metrics::Gauge,
    buffered: metrics::Gauge,
    unacked: metrics::Gauge,
    waited: metrics::Histogram,
}

impl Pump {
    /// A pump for `queue`, and the slots where its jobs wait for handlers. It stops claiming at `stop`.
    pub(crate) fn new(
        engine: Arc<Engine>,
        queue: Queue,
        capacity: Capacity,
        known: KnownKinds,
        rates: Rates,
        stop: CancellationToken,
    ) -> (Self, Arc<Slots>) {
        let slots = Slots::new(capacity.slots);
        let name = queue.as_str();
        let pump = Self {
            sleeper: Sleeper::new(Arc::clone(&engine), queue),
            governor: Governor::new(queue, rates),
            idle: (0..capacity.lanes()).map(|_| Lane::new(&engine)).collect(),
            engine,
            queue,
            capacity,
            known: Arc::new(known),
            slots: Arc::clone(&slots),
            meters: QueueMeters {
                running: metrics::gauge!("aisha_queue_busy_slots", "queue" => name),
                buffered: metrics::gauge!("aisha_queue_buffered_jobs", "queue" => name),
                unacked: metrics::gauge!("aisha_queue_unacked_jobs", "queue" => name),
                waited: metrics::histogram!("aisha_job_wait_seconds", "queue" => name),
            },
            stop: SampledStop {
                token: stop,
                seen: false,
            },
            under_way: FuturesUnordered::new(),
            held: 0,
            in_flight_growth: 0,
            acks: Vec::new(),
            coalesced: false,
            may_have_work: true,
            wakeups_seen: 0,
            suspects_waiting: false,
            no_suspect_at_wakeup: None,
            in_flight_acks: 0,
            locked: Vec::new(),
            locked_until: Instant::now(),
            backoff: Backoff::new(),
            not_before: None,
        };
        (pump, slots)
    }

    /// Runs until it is told to stop and every claim is given back.
    pub(crate) async fn run(mut self) {
        loop {
            self.gather().await;
            if self.stop.look() {
                self.hand_back().await;
                let owes = self.governor.owes_a_look() || self.idle.iter().any(Lane::owes);
                if self.held == 0 && self.under_way.is_empty() && !owes {
                    break;
                }
            }
            while self.send() {}
            self.wait().await;
        }
        self.sleeper.withdraw().await;
    }

    /// How many more jobs a statement may claim that also writes the waiting acks.
    fn free(&self) -> usize {
        if self.stop.seen {
            return 0;
        }
        (self.capacity.total() + self.acks.len()).saturating_sub(self.held + self.in_flight_growth)
    }

    /// Collects returned jobs. Handlers that are about to end get a turn first: a
    /// statement costs more than a moment's wait.
    async fn gather(&mut self) {
        while !self.idle.is_empty() {
            let before = self.acks.len();
            self.take_back();
            let enough = self.held.min(self.capacity.batch());
            if self.acks.len() == before || self.acks.len() >= enough || !self.under_way.is_empty() {
                return;
            }
            yield_now().await;
        }
    }

    fn take_back(&mut self) {
        for returned in self.slots.take_returned() {
            if returned.ack {
                self.coalesced |= returned.coalesces;
                self.acks.push(returned.claim);
                self.governor.ended_with_ack();
            } else {
                self.engine.held.remove([&returned.claim]);
                self.held -= 1;
                self.may_have_work |= returned.coalesces | self.governor.ended();
            }
        }
    }

    /// What the next statement should claim.
    fn wanted(&self) -> Wanted {
        let alone = self.held == 0 && self.under_way.is_empty();
        match self.free().min(self.capacity.share()) {
            0 => Wanted::Strict(0),
            _ if self.suspects_waiting && alone => Wanted::Suspect,
            _ if self.suspects_waiting => Wanted::Strict(0),
            // The statement is sent for the acks anyway, so that claiming costs nothing more.
            _ if !self.may_have_work && self.acks.is_empty() => Wanted::Strict(0),
            free if self.capacity.prefetch == 0 => Wanted::Strict(free),
            free => Wanted::Ahead(free),
        }
    }

    /// Sends the next statement, if there is enough for it to do. Returns whether it did.
    fn send(&mut self) -> bool {
        if self.not_before.is_some_and(|moment| moment > Instant::now()) {
            return false;
        }
        self.not_before = None;
        let wanted = self.wanted();
        let owing = self.idle.iter().position(Lane::owes);
        let again = !self.locked.is_empty() && Instant::now() >= self.locked_until;
        let worth = match self.under_way.len() {
            0 => self.acks.len() + wanted.count() > 0 || again || self.governor.owes_a_look(),
            _ => self.acks.len() >= self.capacity.batch(),
        };
        if !worth && owing.is_none() {
            return false;
        }
        let Some(lane) = owing
            .map(|at| self.idle.swap_remove(at))
            .or_else(|| self.idle.pop())
        else {
            return false;
        };
        let places = if self.stop.seen {
            0
        } else {
            (self.capacity.slots + self.acks.len()).saturating_sub(self.held + self.in_flight_growth)
        };
        let acks = std::mem::take(&mut self.acks);
        let locked = if again {
            std::mem::take(&mut self.locked)
        } else {
            Vec::new()
        };
        let request = ExchangeRequest {
            engine: Arc::clone(&self.engine),
            queue: self.queue,
            known: Arc::clone(&self.known),
            growth: wanted.count().saturating_sub(acks.len()),
            telling: acks.len() + locked.len(),
            acks,
            locked,
            coalesced: std::mem::take(&mut self.coalesced),
            wanted,
            rules: self.governor.rules(places),
            heard: self.wakeups_seen,
        };
        self.in_flight_growth += request.growth;
        self.in_flight_acks += request.telling;
        self.under_way.push(Box::pin(lane.carry_out(request)));
        true
    }

    /// Waits until there may be something to claim, something to ack, or a stop.
    async fn wait(&mut self) {
        let free = self.free();
        if free > 0 && !self.may_have_work && !self.suspects_waiting {
            self.sleeper.announce();
        }
        // No connection is free: returned jobs need not wake the pump, the end of a running statement will.
        self.slots.tell_at(match (self.idle.len(), self.under_way.len()) {
            (0, _) => usize::MAX,
            (_, 0) => 1,
            _ => self.capacity.batch(),
        });
        let resume = self.not_before.unwrap_or_else(Instant::now);
        let signals = self.engine.signals(self.queue);
        let poll = jittered(self.engine.timing.poll);
        let mut patience = if free > 0 {
            self.governor.patience(poll)
        } else {
            poll
        };
        if !self.locked.is_empty() {
            patience = patience.min(LOCKED_AGAIN);
        }
        tokio::select! {
            biased;
            Some(end) = self.under_way.next() => self.accept(end).await,
            () = sleep_until(resume), if self.not_before.is_some() => {}
            () = self.stop.token.cancelled(), if !self.stop.seen => {}
            () = self.slots.returned.notified() => {}
            () = signals.look.notified() => self.hear(true),
            () = sleep(patience) => {
                self.hear(false);
                if free == 0 {
                    self.sleeper.is_busy().await;
                }
            }
        }
    }

    /// There may be new jobs. `told`: a wake-up says so, not a poll.
    fn hear(&mut self, told: bool) {
        self.wakeups_seen += 1;
        self.may_have_work |= self.governor.hear(told);
    }

    async fn accept(&mut self, end: ExchangeEnd) {
        let ExchangeEnd {
            lane,
            mut request,
            result,
        } = end;
        self.idle.push(lane);
        self.in_flight_growth -= request.growth;
        self.in_flight_acks -= request.telling;
        if !request.locked.is_empty() {
            self.locked.append(&mut request.locked);
            self.locked_until = Instant::now() + LOCKED_AGAIN;
        }
        match result {
            Ok(exchanged) => {
                if let Some(lasted) = self.backoff.reset() {
                    info!(
                        queue = self.queue.as_str(),
                        "Queue {} reaches the database again, after {lasted}", self.queue
                    );
                }
                self.take_in(&request, exchanged);
                if self.may_have_work {
                    self.sleeper.is_busy().await;
                }
            }
            Err(error) => {
                if let Some(so_far) = self.backoff.failed() {
                    let (queue, error) = (self.queue, words_of(&error));
                    warn!(
                        queue = queue.as_str(),
                        "Queue {queue} cannot claim or ack, trying again: {error}{so_far}"
                    );
                }
                self.governor.unheard(&request.rules);
                self.acks.extend(request.acks);
                self.coalesced |= request.coalesced;
                self.hear(true);
                self.not_before = Some(Instant::now() + self.backoff.next());
            }
        }
    }

    fn take_in(&mut self, request: &ExchangeRequest, exchanged: Exchanged) {
        let late = request.acks.len().saturating_sub(exchanged.acked);
        if late > 0 {
            // Rescued meanwhile, or acked by a statement whose answer was lost.
            metrics::counter!("aisha_acks_late_total", "queue" => self.queue.as_str()).increment(late as u64);
            warn!(
                queue = self.queue.as_str(),
                "{late} outcomes of {} changed nothing", self.queue
            );
        }
        self.governor.learn(exchanged.governed);
        self.engine.held.remove(&request.acks);
        self.held -= request.acks.len();
        let (wanted, claimed) = (request.wanted, exchanged.claimed.len());
        match wanted {
            Wanted::Suspect if claimed == 0 => {
                self.suspects_waiting = false;
                self.no_suspect_at_wakeup = Some(self.wakeups_seen);
            }
            Wanted::Ahead(_) => {
                self.suspects_waiting =
                    exchanged.suspects && self.no_suspect_at_wakeup != Some(self.wakeups_seen);
            }
            Wanted::Suspect | Wanted::Strict(_) => {}
        }
        if claimed == wanted.count()
            || wanted == Wanted::Suspect
            || request.coalesced
            || self.governor.is_walking()
        {
            self.may_have_work = true;
        } else if self.wakeups_seen == request.heard || self.governor.rests() {
            self.may_have_work = false;
        }
        self.held += claimed;
        for waited in exchanged.waits {
            self.meters.waited.record(waited);
        }
        self.engine
            .held
            .add(exchanged.claimed.iter().map(|claimed| &claimed.claim));
        self.slots.assign(exchanged.claimed);
        self.measure();
    }

    fn measure(&self) {
        let count = |n: usize| f64::from(u32::try_from(n).unwrap_or(u32::MAX));
        let (waiting, returned) = self.slots.idle();
        let unacked = self.acks.len() + self.locked.len() + self.in_flight_acks + returned;
        self.meters.buffered.set(count(waiting));
        self.meters.unacked.set(count(unacked));
        self.meters
            .running
            .set(count(self.held.saturating_sub(waiting + unacked)));
    }

    /// Gives jobs that were claimed and not started back, uncharged. After an
    /// error they wait for their leases to end.
    async fn hand_back(&mut self) {
        let unstarted: Vec<Claimed> = self.slots.close();
        if !unstarted.is_empty() {
            let released = release_buffered(&self.engine.database, self.queue, &unstarted);
            if timeout(Duration::from_secs(2), released).await.is_err() {
                warn!(
                    queue = self.queue.as_str(),
                    "Queue {} could not hand its buffer back in time", self.queue
                );
            }
            self.engine
                .held
                .remove(unstarted.iter().map(|claimed| &claimed.claim));
            self.held -= unstarted.len();
        }
        self.gather().await;
    }
}

#[cfg(test)]
mod tests;
