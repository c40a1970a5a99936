//! What a worker says to the driver, and how it counts.

use std::{
    future::pending,
    io::{BufRead, Write},
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// Prints one event.
pub fn say(event: &Value) {
    let mut out = std::io::stdout().lock();
    // A driver that is gone closes our input too.
    let _ = writeln!(out, "{event}");
}

/// Now, in microseconds since 1970.
pub fn now() -> u64 {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// CPU seconds of this process so far, all threads.
fn cpu() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
    (Duration::from_secs(time.tv_sec.unsigned_abs()) + Duration::from_nanos(nanos.into())).as_secs_f64()
}

/// Counts the handlers' runs.
pub struct Tally {
    ran: AtomicU64,
    limit: u64,
    starts: Option<Mutex<Vec<(u64, u64)>>>,
}

static TALLY: OnceLock<Tally> = OnceLock::new();

impl Tally {
    /// Once a process, before any handler runs.
    pub fn start(limit: u64, record: bool) {
        TALLY.get_or_init(|| Self {
            ran: AtomicU64::new(0),
            limit,
            starts: record.then(Mutex::default),
        });
    }

    fn get() -> &'static Self {
        TALLY.get_or_init(|| Self {
            ran: AtomicU64::new(0),
            limit: u64::MAX,
            starts: None,
        })
    }

    /// The handler of job `number` begins. `false`: it is one after the limit and must not end.
    pub fn begin(number: u64) -> bool {
        let tally = Self::get();
        let before = tally.ran.fetch_add(1, Ordering::Relaxed);
        if before >= tally.limit {
            tally.ran.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        if let Some(starts) = &tally.starts {
            let mut starts = starts.lock().unwrap_or_else(PoisonError::into_inner);
            starts.push((number, now()));
        }
        if before == 0 {
            say(&json!({ "event": "first", "at": now(), "cpu": cpu() }));
        }
        if before + 1 == tally.limit {
            say(&json!({ "event": "reached", "at": now() }));
        }
        true
    }

    /// The handler of job `number`, for workers whose handlers are asynchronous.
    pub async fn handle(number: u64) {
        if !Self::begin(number) {
            pending::<()>().await;
        }
    }

    fn report(event: &str) {
        let tally = Self::get();
        let starts = tally.starts.as_ref().map(|starts| {
            let starts = starts.lock().unwrap_or_else(PoisonError::into_inner);
            starts.clone()
        });
        let ran = tally.ran.load(Ordering::Relaxed);
        say(&json!({ "event": event, "at": now(), "cpu": cpu(), "ran": ran, "starts": starts }));
    }
}

/// Says that the worker is about to start, answers the driver's `report`s, and returns when it is to stop.
pub async fn until_stopped() {
    let (tell, mut told) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if tell.send(line).is_err() {
                break;
            }
        }
    });
    say(&json!({ "event": "started", "at": now() }));
    while let Some(line) = told.recv().await {
        match line.as_str() {
            "report" => Tally::report("report"),
            _ => break,
        }
    }
}

/// The last words of a worker.
pub fn ended() {
    Tally::report("ended");
}
