//! What operators see of the queue and can change: pauses, limits, dead letters, lists, depths, pruning.

pub(crate) mod controls;
pub(crate) mod dead_letters;
pub(crate) mod depth;
pub(crate) mod inspect;
pub(crate) mod keys;
pub(crate) mod prune;
pub(crate) mod vacuum;
