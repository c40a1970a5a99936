//! The threads that decode: as many as photos are decoded at a time, and always the same.
//!
//! The runtime's blocking threads would do but for memory. glibc gives each thread a heap of its own and
//! keeps in it up to 48 MB of what a decoder freed; with four or five threads taking turns, twenty
//! progressive photos of 12 megapixels peak at 260 MB instead of 90 (`benches/archive`). For the same
//! reason large work has one thread: only one piece of it fits the memory budget anyway.
//!
//! Each thread keeps one buffer for samples while there is work. A fresh one for each photo is nine
//! thousand page faults for 12 megapixels, a tenth of all the photo costs.

use std::{
    collections::VecDeque,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

use tokio::sync::oneshot;

type Work = Box<dyn FnOnce(&mut Vec<u8>) + Send>;

/// A fixed set of threads. They end when the last handle is dropped and the queue is empty.
#[derive(Debug)]
pub(super) struct Crew(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    small: VecDeque<Work>,
    large: VecDeque<Work>,
    closed: bool,
}

/// Whether work needs more than one thread's share of the memory budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
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

    /// Runs `work` when its turn comes, with a buffer of any size and content. `None`: it panicked.
    pub async fn run<T: Send + 'static>(
        &self,
        size: Size,
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
    fn add(&self, size: Size, work: Work) {
        let mut queue = self.lock();
        match size {
            Size::Small => queue.small.push_back(work),
            Size::Large => queue.large.push_back(work),
        }
        self.changed.notify_all();
    }

    fn work(&self, takes_large: bool) {
        let mut samples = Vec::new();
        loop {
            let mut queue = self.lock();
            let work = loop {
                let large = if takes_large {
                    queue.large.pop_front()
                } else {
                    None
                };
                if let Some(work) = large.or_else(|| queue.small.pop_front()) {
                    break work;
                }
                if queue.closed {
                    return;
                }
                samples = Vec::new();
                queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
            };
            drop(queue);
            // The panic was reported by the hook; whoever waits for the outcome sees that none came.
            drop(catch_unwind(AssertUnwindSafe(|| work(&mut samples))));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { small, large, closed } = self;
        write!(
            f,
            "Queue {{ small: {}, large: {}, closed: {closed} }}",
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
                crew.run(Size::Large, |_| this_thread()).await.as_deref(),
                Some("photos-0")
            );
        }
    }

    #[tokio::test]
    async fn small_work_uses_every_core() {
        let crew = Crew::start(2).unwrap();
        // Each waits for the other: one thread alone would never come through.
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
        let (first, second) = tokio::join!(crew.run(Size::Small, meet()), crew.run(Size::Small, meet()));
        assert_ne!(first.unwrap(), second.unwrap());
    }

    #[tokio::test]
    async fn a_panic_costs_its_own_photo_only() {
        let crew = Crew::start(1).unwrap();
        assert_eq!(
            crew.run(Size::Small, |_| panic!("a decoder's bug")).await,
            None::<()>
        );
        assert_eq!(crew.run(Size::Small, |_| 7).await, Some(7));
    }

    #[tokio::test]
    async fn work_given_before_the_end_is_done() {
        let crew = Crew::start(1).unwrap();
        let (done, outcome) = oneshot::channel();
        crew.0.add(Size::Small, Box::new(move |_| done.send(7).unwrap()));
        drop(crew);
        assert_eq!(outcome.await, Ok(7));
    }
}
