//! Our queues, the only list of them: settings, `--help` texts and messages are made from it. Each is limited by one thing, and
//! its slots in `config/default.toml` are chosen by that.

use queue::job::Queue;

macro_rules! queues {
    ($($(#[doc = $limit:literal])+ $NAME:ident = $name:literal;)*) => {
        $($(#[doc = $limit])+ pub const $NAME: Queue = Queue::named($name);)*

        /// All of them, in pipeline order.
        pub const ALL: &[Queue] = &[$($NAME),*];

        /// Of each of [`ALL`], what limits it.
        const LIMITS: &[&str] = &[$(concat!($($limit),+)),*];
    };
}

queues! {
    /// Photo bytes: limited by memory and CPU.
    MEDIA = "media";
    /// Calls that start work at FAL: limited by the account's concurrency.
    FAL = "fal";
    /// Cheap status calls to FAL: limited by nothing much.
    POLL = "poll";
    /// Messages to Telegram: limited by its rates.
    NOTIFY = "notify";
    /// Everything that only touches our own database: limited by that.
    UPKEEP = "upkeep";
}

/// The queue of this name, as operators and settings write it.
pub fn named(name: &str) -> Result<Queue, UnknownQueue> {
    ALL.iter()
        .find(|queue| queue.as_str() == name)
        .copied()
        .ok_or_else(|| UnknownQueue(name.to_owned()))
}

/// Each queue with what limits it, for `--help`.
pub fn described() -> impl Iterator<Item = (Queue, &'static str)> {
    let limits = LIMITS.iter().map(|limit| limit.trim().trim_end_matches('.'));
    ALL.iter().copied().zip(limits)
}

/// All names in a sentence: `media, fal or poll`.
pub fn one_of() -> String {
    let mut names = ALL.iter().map(|queue| queue.as_str()).collect::<Vec<_>>();
    let last = names.pop().unwrap_or_default();
    [names.join(", "), last.to_owned()].join(" or ")
}

/// A name that is none of [`ALL`]; the text lists them.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("unknown queue {:?}: use {}", .0, one_of())]
pub struct UnknownQueue(pub String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_queue_is_found_by_its_name_and_no_other() {
        for queue in ALL {
            assert_eq!(named(queue.as_str()), Ok(*queue));
        }
        assert_eq!(named("gpu"), Err(UnknownQueue("gpu".into())));
    }

    #[test]
    fn an_unknown_queue_is_answered_with_the_names_of_all() {
        let said = UnknownQueue("gpu".into()).to_string();
        assert!(said.starts_with("unknown queue \"gpu\": use media, "), "{said}");
        assert!(said.contains(" or "), "{said}");
        for (queue, limit) in described() {
            assert!(said.contains(queue.as_str()), "{queue} is not in {said:?}");
            assert!(limit.len() > 10, "{queue}: nothing says what limits it");
        }
    }
}
