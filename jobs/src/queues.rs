//! Our queues. Each is bound by one thing, and sized by it.

use queue::job::Queue;

/// Photo bytes: bound by memory and CPU.
pub const MEDIA: Queue = Queue::named("media");
/// Calls that start work at FAL: bound by the account's concurrency.
pub const FAL: Queue = Queue::named("fal");
/// Cheap status calls to FAL.
pub const POLL: Queue = Queue::named("poll");
/// Messages to Telegram: bound by its rate limits.
pub const NOTIFY: Queue = Queue::named("notify");
/// Everything that only touches our own database.
pub const UPKEEP: Queue = Queue::named("upkeep");

/// All of them, in pipeline order.
pub const ALL: [Queue; 5] = [MEDIA, FAL, POLL, NOTIFY, UPKEEP];

/// The queue of this name, as an operator or a setting gives it.
pub fn named(name: &str) -> Result<Queue, UnknownQueue> {
    ALL.into_iter()
        .find(|queue| queue.as_str() == name)
        .ok_or_else(|| UnknownQueue(name.to_owned()))
}

/// A name that is none of [`ALL`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("unknown queue {0:?}: use media, fal, poll, notify or upkeep")]
pub struct UnknownQueue(pub String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_queue_is_found_by_its_name_and_no_other() {
        for queue in ALL {
            assert_eq!(named(queue.as_str()), Ok(queue));
        }
        assert_eq!(named("gpu"), Err(UnknownQueue("gpu".into())));
    }
}
