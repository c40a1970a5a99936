//! The open connections, what each is doing, and which one is closed when there is no room for another.
//!
//! Anybody can open a connection before we know anything about them. So there is a largest number, well below
//! the process's limit of open files. At that number a new connection takes the place of the one that has
//! waited longest without sending a complete request. A probe or a delivery takes milliseconds from its first
//! byte to its answer, so a caller who holds connections for longer loses them (proven by
//! `silent_connections_up_to_the_limit_of_files_do_not_keep_a_probe_waiting`).

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use metrics::{counter, gauge};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::summary::Summary;

/// The limits of one listener.
#[derive(Debug, Clone, Copy)]
pub struct ListenerLimits {
    /// How many connections may be open at a time.
    pub connections: usize,
    /// Time from the start of a connection to the end of its first request's head.
    pub head_timeout: Duration,
    /// Time from an answer to the end of the next request's head.
    pub idle_timeout: Duration,
}

/// The state of a connection. The first in this order is closed first when room is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Doing {
    /// Has not sent a complete head yet.
    Arriving,
    /// Has been answered and has sent no further head.
    Idle,
    /// Sends the body of a request.
    Sending,
    /// Waits for our answer; never closed to make room.
    Answered,
}

/// One connection. Its task owns it, and each of its requests has it as an extension.
#[derive(Debug)]
pub struct Connection {
    doing: Mutex<(Doing, Instant)>,
    /// Bytes that have arrived of the body that is being read.
    held: AtomicUsize,
    evicted: CancellationToken,
}

impl Connection {
    fn new() -> Self {
        Self {
            doing: Mutex::new((Doing::Arriving, Instant::now())),
            held: AtomicUsize::new(0),
            evicted: CancellationToken::new(),
        }
    }

    /// Call when a request's head has arrived.
    pub fn request_began(&self) {
        self.set(Doing::Answered);
    }

    /// Call when the answer is handed to HTTP.
    pub fn request_ended(&self) {
        self.set(Doing::Idle);
    }

    /// Call before the request's body is read.
    pub fn body_began(&self) {
        self.held.store(0, Ordering::Relaxed);
        self.set(Doing::Sending);
    }

    /// Sets the number of bytes of the body that have arrived.
    pub fn holds(&self, bytes: usize) {
        self.held.store(bytes, Ordering::Relaxed);
    }

    /// Call when the body is read.
    pub fn body_ended(&self) {
        self.set(Doing::Answered);
    }

    /// Whether it has not sent a complete head yet.
    pub fn is_arriving(&self) -> bool {
        self.look().0 == Doing::Arriving
    }

    /// Whether it is sending its request's body.
    pub fn is_sending(&self) -> bool {
        self.look().0 == Doing::Sending
    }

    /// Whether it waits for our answer.
    pub fn is_answered(&self) -> bool {
        self.look().0 == Doing::Answered
    }

    /// When it is closed unless its state changes before. `None`: the limits of the request apply.
    pub fn deadline(&self, limits: &ListenerLimits) -> Option<Instant> {
        match self.look() {
            (Doing::Arriving, since) => Some(since + limits.head_timeout),
            (Doing::Idle, since) => Some(since + limits.idle_timeout),
            (Doing::Sending | Doing::Answered, _) => None,
        }
    }

    /// Waits until the connection must close to make room.
    pub async fn evicted(&self) {
        self.evicted.cancelled().await;
    }

    fn look(&self) -> (Doing, Instant) {
        *self.doing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, doing: Doing) {
        *self.doing.lock().unwrap_or_else(PoisonError::into_inner) = (doing, Instant::now());
    }
}

/// All connections of one listener. Clones share one state.
#[derive(Debug, Clone)]
pub struct Connections {
    limits: ListenerLimits,
    open: Arc<Mutex<HashMap<u64, Arc<Connection>>>>,
    next: Arc<AtomicU64>,
    full: Arc<Summary>,
    failed: Arc<Summary>,
}

impl Connections {
    /// An empty set of connections with these limits.
    pub fn new(limits: ListenerLimits) -> Self {
        Self {
            limits,
            open: Arc::default(),
            next: Arc::default(),
            full: Arc::default(),
            failed: Arc::default(),
        }
    }

    /// The limits of this listener.
    pub const fn limits(&self) -> &ListenerLimits {
        &self.limits
    }

    /// Admits a connection, if necessary in place of another. `None`: every open connection waits for our
    /// answer.
    pub fn admit(&self) -> Option<Admitted> {
        let most = self.limits.connections;
        if self.open().len() >= most {
            let had_to_go = self.make_room();
            self.full.add(
                || {
                    let who = if had_to_go { "an idle one" } else { "the newcomer, since all wait for answers" };
                    who.to_owned()
                },
                move |who, times| {
                    warn!(times, "All {most} connections are taken; {times} had to go within a second, the first was {who}");
                },
            );
            if !had_to_go {
                counter!("aisha_connections_closed_total", "reason" => "refused").increment(1);
                return None;
            }
        }
        let (number, connection) = (
            self.next.fetch_add(1, Ordering::Relaxed),
            Arc::new(Connection::new()),
        );
        let mut open = self.open();
        open.insert(number, Arc::clone(&connection));
        gauge_of(open.len());
        drop(open);
        Some(Admitted {
            connection,
            number,
            all: self.clone(),
        })
    }

    /// Closes the connections that have been sending a body for longest, until they held `bytes` together or
    /// none is sending.
    pub fn evict_senders(&self, bytes: usize) {
        let mut freed = 0;
        while freed < bytes {
            let Some(number) = self.oldest(Connection::is_sending) else {
                return;
            };
            let held = self
                .open()
                .get(&number)
                .map(|sender| sender.held.load(Ordering::Relaxed));
            freed += held.unwrap_or(0);
            self.close(Some(number));
        }
    }

    /// Handles a failed `accept`, which mostly means that no file descriptor is free: closes a connection and
    /// logs it.
    pub fn accept_failed(&self, error: &io::Error) {
        counter!("aisha_accept_errors_total").increment(1);
        self.make_room();
        let open = self.open().len();
        self.failed.add(
            || error.to_string(),
            move |error, times| {
                warn!(
                    times,
                    "A connection could not be accepted: {error}. {open} are open; is the limit of open files too low?"
                );
            },
        );
    }

    /// Closes the connection that is first in the order of [`Doing`], the oldest in that state. `false`:
    /// there was none.
    fn make_room(&self) -> bool {
        let found = self.oldest(|connection| connection.look().0 < Doing::Answered);
        self.close(found)
    }

    fn oldest(&self, may_go: impl Fn(&Connection) -> bool) -> Option<u64> {
        let open = self.open();
        let candidates = open.iter().filter(|(_, connection)| may_go(connection));
        candidates
            .min_by_key(|(_, connection)| connection.look())
            .map(|(number, _)| *number)
    }

    fn close(&self, number: Option<u64>) -> bool {
        let closed = number.and_then(|number| self.open().remove(&number));
        let Some(connection) = closed else { return false };
        connection.evicted.cancel();
        counter!("aisha_connections_closed_total", "reason" => "evicted").increment(1);
        true
    }

    fn open(&self) -> MutexGuard<'_, HashMap<u64, Arc<Connection>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among the connections. Dropping it frees the place.
#[derive(Debug)]
pub struct Admitted {
    /// The connection that has this place.
    pub connection: Arc<Connection>,
    number: u64,
    all: Connections,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut open = self.all.open();
        open.remove(&self.number);
        gauge_of(open.len());
    }
}

fn gauge_of(open: usize) {
    gauge!("aisha_connections_open").set(f64::from(u32::try_from(open).unwrap_or(u32::MAX)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(most: usize) -> Connections {
        Connections::new(ListenerLimits {
            connections: most,
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
        })
    }

    fn is_evicted(admitted: &Admitted) -> bool {
        admitted.connection.evicted.is_cancelled()
    }

    #[tokio::test]
    async fn who_has_sent_nothing_goes_first_and_who_waits_for_us_never() {
        let all = connections(4);
        let admit = || all.admit().expect("room");
        let (answered, sending, idle, silent) = (admit(), admit(), admit(), admit());
        answered.connection.request_began();
        sending.connection.body_began();
        idle.connection.request_ended();
        let order = [&silent, &idle, &sending];
        for (number, next) in order.into_iter().enumerate() {
            assert!(!is_evicted(next), "{number}");
            let newcomer = admit();
            newcomer.connection.request_began();
            assert!(is_evicted(next), "{number}");
            // It is kept alive, waiting for our answer.
            std::mem::forget(newcomer);
        }
        assert!(!is_evicted(&answered));
        assert!(all.admit().is_none(), "everybody waits for an answer");
        drop(answered);
        assert!(all.admit().is_some(), "a place was given back");
    }

    #[tokio::test]
    async fn the_oldest_of_a_kind_goes_first() {
        let all = connections(2);
        let (first, second) = (all.admit().expect("room"), all.admit().expect("room"));
        let third = all.admit().expect("room");
        assert!(is_evicted(&first) && !is_evicted(&second) && !is_evicted(&third));
        second.connection.body_began();
        third.connection.body_began();
        second.connection.holds(7);
        all.evict_senders(7);
        assert!(is_evicted(&second) && !is_evicted(&third));
    }

    #[tokio::test]
    async fn senders_of_next_to_nothing_go_together_with_as_many_as_it_takes() {
        let all = connections(4);
        let senders: Vec<Admitted> = (0..4).map(|_| all.admit().expect("room")).collect();
        for (sender, bytes) in senders.iter().zip([1, 1, 1000, 1000]) {
            sender.connection.body_began();
            sender.connection.holds(bytes);
        }
        all.evict_senders(500);
        let gone: Vec<bool> = senders.iter().map(is_evicted).collect();
        assert_eq!(gone, [true, true, true, false]);
        all.evict_senders(5000);
        assert!(is_evicted(&senders[3]), "and it ends when nobody is left");
    }
}
