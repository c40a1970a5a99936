//! One queue of one worker: claims as many jobs as its slots and its buffer can take, and acks those that are done.
//!
//! One statement does both (`exchange.rs`). A strict queue has one lane and no buffer: a slot is free once
//! its job's outcome is durable. A prefetching queue (`prefetch.rs`) has a buffer and two lanes, whose statements
//! overlap: while both run, handlers go on with buffered jobs. The jobs that a statement acks make room for
//! those it claims, since both are one commit.
//!
//! # Must stay true
//! * Claims held never exceed slots and buffer together. Outcomes that are not durable yet count too: they are the
//!   most that a crash can run twice (Q3, Q10).
//! * Acks group by themselves: the outcomes of jobs that end while a statement runs go with the next.
//! * A row that another transaction has locked holds up its own ack and nothing else — `q27_a_locked_row_holds_up_nothing_but_itself`
//! * If the connection breaks before a claim's answer, those jobs are given back uncharged before the next claim.
//!
//! # If the process dies here
//! Outcomes that were not acked are lost with their leases, and those jobs run again;
//! jobs claimed ahead run again uncharged.

use std::{sync::Arc, time::Duration};

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
        exchange::Wanted,
        governed::{ClaimAnswer, Governor, Rates},
        lane::{ExchangeEnd, ExchangeRequest, Lanes},
        prefetch::Prefetch,
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
    lanes: Lanes,
    /// `None`: the queue is strict.
    prefetch: Option<Prefetch>,
    /// Claims that are not given back yet, including those whose ack is not written.
    held: usize,
    /// Acks that no statement has taken yet.
    acks: Vec<Claim>,
    /// One of the acks may free a key that another job waits for.
    coalesced: bool,
    /// The next statement should claim: there may be ready jobs.
    may_have_work: bool,
    /// Counts wake-ups. An answer to a statement sent before the last one says nothing about what is ready now.
    wakeups_seen: u64,
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
            lanes: Lanes::new(&engine, capacity.lanes()),
            prefetch: Prefetch::of(capacity),
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
            held: 0,
            acks: Vec::new(),
            coalesced: false,
            may_have_work: true,
            wakeups_seen: 0,
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
                let owes = self.governor.owes_a_look() || self.lanes.owe();
                if self.held == 0 && self.lanes.under_way() == 0 && !owes {
                    break;
                }
            }
            while self.send() {}
            self.wait().await;
        }
        self.sleeper.withdraw().await;
    }

    /// How many more jobs a statement may claim that also writes the waiting acks, if `most` may be held.
    fn room(&self, most: usize) -> usize {
        if self.stop.seen {
            return 0;
        }
        (most + self.acks.len()).saturating_sub(self.held + self.lanes.growth())
    }

    /// [`Pump::room`], if slots and buffer may be full.
    fn free(&self) -> usize {
        self.room(self.capacity.total())
    }

    /// Collects returned jobs. Handlers that are about to end get a turn first: a
    /// statement costs more than a moment's wait.
    async fn gather(&mut self) {
        while self.lanes.has_idle() {
            let before = self.acks.len();
            self.take_back();
            let enough = self.held.min(self.capacity.batch());
            if self.acks.len() == before || self.acks.len() >= enough || self.lanes.under_way() > 0 {
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
        let free = self.free().min(self.capacity.share());
        // A statement that is sent for the acks anyway claims at no further cost.
        let look = self.may_have_work || self.has_suspects() || !self.acks.is_empty();
        match &self.prefetch {
            _ if free == 0 || !look => Wanted::Strict(0),
            None => Wanted::Strict(free),
            Some(prefetch) => prefetch.wanted(free, self.held == 0 && self.lanes.under_way() == 0),
        }
    }

    fn has_suspects(&self) -> bool {
        self.prefetch.as_ref().is_some_and(Prefetch::has_suspects)
    }

    /// Sends the next statement, if there is enough for it to do. Returns whether it did.
    fn send(&mut self) -> bool {
        if self.not_before.is_some_and(|moment| moment > Instant::now()) {
            return false;
        }
        self.not_before = None;
        let wanted = self.wanted();
        let again = !self.locked.is_empty() && Instant::now() >= self.locked_until;
        let worth = match self.lanes.under_way() {
            0 => self.acks.len() + wanted.count() > 0 || again || self.governor.owes_a_look(),
            _ => self.acks.len() >= self.capacity.batch(),
        };
        if !self.lanes.has_idle() || !(worth || self.lanes.owe()) {
            return false;
        }
        let places = self.room(self.capacity.slots);
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
            acks,
            locked,
            coalesced: std::mem::take(&mut self.coalesced),
            wanted,
            rules: self.governor.rules(places),
            heard: self.wakeups_seen,
        };
        self.lanes.send(request)
    }

    /// Waits until there may be something to claim, something to ack, or a stop.
    async fn wait(&mut self) {
        let free = self.free();
        if free > 0 && !self.may_have_work && !self.has_suspects() {
            self.sleeper.announce();
        }
        // No connection is free: returned jobs need not wake the pump, the end of a running statement will.
        self.slots
            .tell_at(match (self.lanes.has_idle(), self.lanes.under_way()) {
                (false, _) => usize::MAX,
                (true, 0) => 1,
                (true, _) => self.capacity.batch(),
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
            Some(end) = self.lanes.next() => self.accept(end).await,
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
        let ExchangeEnd { mut request, result } = end;
        if !request.locked.is_empty() {
            self.locked.append(&mut request.locked);
            self.locked_until = Instant::now() + LOCKED_AGAIN;
        }
        match result {
            Ok(answer) => {
                if let Some(lasted) = self.backoff.reset() {
                    info!(
                        queue = self.queue.as_str(),
                        "Queue {} reaches the database again, after {lasted}", self.queue
                    );
                }
                self.take_in(&request, answer);
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

    fn take_in(&mut self, request: &ExchangeRequest, answer: ClaimAnswer) {
        let ClaimAnswer { exchanged, governed } = answer;
        let late = request.acks.len().saturating_sub(exchanged.acked);
        if late > 0 {
            // Rescued meanwhile, or acked by a statement whose answer was lost.
            metrics::counter!("aisha_acks_late_total", "queue" => self.queue.as_str()).increment(late as u64);
            warn!(
                queue = self.queue.as_str(),
                "{late} outcomes of {} changed nothing", self.queue
            );
        }
        self.governor.learn(governed);
        self.engine.held.remove(&request.acks);
        self.held -= request.acks.len();
        let (wanted, claimed) = (request.wanted, exchanged.claimed.len());
        if let Some(prefetch) = &mut self.prefetch {
            prefetch.learn(wanted, claimed, exchanged.suspects, self.wakeups_seen);
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
        let unacked = self.acks.len() + self.locked.len() + self.lanes.acks() + returned;
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
