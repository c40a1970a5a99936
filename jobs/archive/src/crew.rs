//! The threads that decode photos: a fixed set, one for each photo that is decoded at a time.
//!
//! The runtime's blocking threads would do, except for memory. glibc gives each thread its own heap and keeps in it
//! up to 48 MB of what a decoder freed; with four or five threads taking turns, twenty progressive photos of 12
//! megapixels peak at 260 MB instead of 90 (`benches/archive`). For the same reason only one thread takes large work:
//! the memory budget has room for only one piece of it anyway.
//!
//! Each thread keeps one buffer for samples while there is work, and for a moment longer, since the next photo is
//! usually on its way. A new buffer for each photo costs nine thousand page faults for 12 megapixels, a tenth of the
//! time that the photo takes. While large work runs no buffer is kept: the memory budget has no room for it.

use std::{
    collections::VecDeque,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use tokio::sync::oneshot;

/// How long a buffer outlives the last work: longer than a photo takes to fetch.
const KEPT: Duration = Duration::from_secs(1);

type Work = Box<dyn FnOnce(&mut Vec<u8>) + Send>;

/// A fixed set of threads. They end when the last handle is dropped and the queue is empty.
#[derive(Debug)]
pub(super) struct Crew(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    queue: Mutex<WorkQueue>,
    changed: Condvar,
}

#[derive(Default)]
struct WorkQueue {
    small: VecDeque<Work>,
    large: VecDeque<Work>,
    large_runs: bool,
    closed: bool,
}

/// Whether work needs more than one thread's share of the memory budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WorkSize {
    Small,
    Large,
}

impl Crew {
    pub fn start(threads: usize) -> io::Result<Self> {
        let crew = Self(Arc::new(Shared {
            queue: Mutex::default(),
            changed: Condvar::new(),
        }));
        for number in 0..threads.max(1) {
            let shared = crew.0.clone();
            let work = move || shared.work(number == 0);
            thread::Builder::new()
                .name(format!("photos-{number}"))
                .spawn(work)?;
        }
        Ok(crew)
    }

    /// Runs `work` when its turn comes, with a buffer of any size and content. `None`: `work` panicked.
    pub async fn run<T: Send + 'static>(
        &self,
        size: WorkSize,
        work: impl FnOnce(&mut Vec<u8>) -> T + Send + 'static,
    ) -> Option<T> {
        let (done, outcome) = oneshot::channel();
        self.0
            .add(size, Box::new(move |samples| drop(done.send(work(samples)))));
        outcome.await.ok()
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.changed.notify_all();
    }
}

impl Shared {
    fn add(&self, size: WorkSize, work: Work) {
        let mut queue = self.lock();
        match size {
            WorkSize::Small => queue.small.push_back(work),
            WorkSize::Large => queue.large.push_back(work),
        }
        self.changed.notify_all();
    }

    fn work(&self, takes_large: bool) {
        let mut samples = Vec::new();
        while let Some((work, size)) = self.next(takes_large, &mut samples) {
            // The hook has reported the panic; the caller sees that no outcome came.
            drop(catch_unwind(AssertUnwindSafe(|| work(&mut samples))));
            if size == WorkSize::Large {
                self.lock().large_runs = false;
            }
        }
    }

    /// Waits for work. `None`: no more will come.
    fn next(&self, takes_large: bool, samples: &mut Vec<u8>) -> Option<(Work, WorkSize)> {
        let mut queue = self.lock();
        loop {
            if takes_large && let Some(work) = queue.large.pop_front() {
                queue.large_runs = true;
                return Some((work, WorkSize::Large));
            }
            if queue.large_runs || !queue.large.is_empty() {
                *samples = Vec::new();
            }
            if let Some(work) = queue.small.pop_front() {
                return Some((work, WorkSize::Small));
            }
            if queue.closed {
                return None;
            }
            if samples.capacity() == 0 {
                queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
            } else {
                let waited = self.changed.wait_timeout(queue, KEPT);
                let (woken, wait) = waited.unwrap_or_else(PoisonError::into_inner);
                queue = woken;
                if wait.timed_out() {
                    *samples = Vec::new();
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, WorkQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for WorkQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            small,
            large,
            large_runs,
            closed,
        } = self;
        write!(
            f,
            "Queue {{ small: {}, large: {}, large_runs: {large_runs}, closed: {closed} }}",
            small.len(),
            large.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn this_thread() -> String {
        thread::current().name().unwrap_or_default().to_owned()
    }

    #[tokio::test]
    async fn large_work_has_one_thread() {
        let crew = Crew::start(4).unwrap();
        for _ in 0..50 {
            assert_eq!(
                crew.run(WorkSize::Large, |_| this_thread()).await.as_deref(),
                Some("photos-0")
            );
        }
    }

    #[tokio::test]
    async fn small_work_uses_every_core() {
        let crew = Crew::start(2).unwrap();
        // Each waits for the other, so one thread alone would never finish.
        let (one, other) = (
            Arc::new(std::sync::Barrier::new(2)),
            Arc::new(std::sync::Barrier::new(2)),
        );
        let meet = || {
            let (one, other) = (one.clone(), other.clone());
            move |_: &mut Vec<u8>| {
                one.wait();
                let name = this_thread();
                other.wait();
                name
            }
        };
        let (first, second) = tokio::join!(
            crew.run(WorkSize::Small, meet()),
            crew.run(WorkSize::Small, meet())
        );
        assert_ne!(first.unwrap(), second.unwrap());
    }

    #[tokio::test]
    async fn the_next_photo_finds_the_buffer_of_the_last() {
        let crew = Crew::start(1).unwrap();
        let mut kept = false;
        // A machine that stops for a second between two photos loses the buffer, but not a hundred times.
        for _ in 0..100 {
            let found = crew.run(WorkSize::Small, |samples| {
                let found = samples.capacity();
                samples.reserve(4096);
                found
            });
            kept |= found.await.unwrap() >= 4096;
        }
        assert!(kept);
    }

    #[tokio::test]
    async fn beside_large_work_no_buffer_is_kept() {
        let crew = Crew::start(2).unwrap();
        let meet = Arc::new(std::sync::Barrier::new(2));
        let fill = || {
            let meet = meet.clone();
            move |samples: &mut Vec<u8>| {
                samples.reserve(4096);
                meet.wait();
            }
        };
        tokio::join!(
            crew.run(WorkSize::Small, fill()),
            crew.run(WorkSize::Small, fill())
        );
        let (entered, left) = (meet.clone(), meet.clone());
        let large = crew.run(WorkSize::Large, move |_| {
            entered.wait();
            left.wait();
        });
        let beside = async {
            let inside = meet.clone();
            let found = crew.run(WorkSize::Small, move |samples| {
                inside.wait();
                samples.capacity()
            });
            let found = found.await;
            meet.wait();
            found
        };
        let (_, found) = tokio::join!(large, beside);
        assert_eq!(found, Some(0));
    }

    #[tokio::test]
    async fn a_panic_costs_its_own_photo_only() {
        let crew = Crew::start(1).unwrap();
        assert_eq!(
            crew.run(WorkSize::Small, |_| panic!("a decoder's bug")).await,
            None::<()>
        );
        assert_eq!(crew.run(WorkSize::Small, |_| 7).await, Some(7));
    }

    #[tokio::test]
    async fn work_given_before_the_end_is_done() {
        let crew = Crew::start(1).unwrap();
        let (done, outcome) = oneshot::channel();
        crew.0
            .add(WorkSize::Small, Box::new(move |_| done.send(7).unwrap()));
        drop(crew);
        assert_eq!(outcome.await, Ok(7));
    }
}
