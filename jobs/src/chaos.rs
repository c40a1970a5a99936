//! Where a fault-injection build can be struck from outside: failpoints and a skewed clock.
//!
//! In a build without the feature `chaos`, which every shipped one is, all of this is empty functions that the
//! compiler removes: no name, no variable and no file is ever looked at. `aisha chaos run` (`src/chaos/` of the root
//! crate) builds on it.
//!
//! A *failpoint* stands between a call to the world and the commit that remembers it. The harness puts
//! an order for one into a directory of the process; the first run that comes by takes it (renames the file, so that it
//! is taken once) and kills or stops its own process there. The *skewed clock* is this process's alone: jobs and the verifier
//! of deliveries see it.

/// A moment at which a process can be made to die or to stand still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// A photo is in the bucket, its row does not say so yet.
    PhotoStored,
    /// FAL has the archive, the training does not know it yet.
    ArchiveUploaded,
    /// The attempt to submit is not committed yet.
    SubmitBeforeAttempt,
    /// The attempt is committed, the first byte of the POST is not on the wire.
    SubmitBeforeFirstByte,
    /// FAL answered the submit, the answer is not committed.
    SubmitAnswered,
    /// A poll read the result, which is not committed.
    PollAnswered,
    /// A delivery's effect is written and not committed.
    DeliveryBeforeCommit,
    /// The web role has not committed a delivery.
    WebhookBeforeCommit,
    /// The web role committed a delivery and has not answered.
    WebhookBeforeAnswer,
    /// The model is in our bucket, the avatar is not completed.
    ModelStored,
    /// A message is about to go out.
    NotifyBeforeSend,
    /// Telegram took a message, which is not recorded.
    NotifySent,
    /// Updates of Telegram's are committed and not confirmed to it.
    UpdatesStored,
    /// An update's effects are written and not committed.
    TurnBeforeCommit,
}

#[cfg(feature = "chaos")]
mod armed;
#[cfg(feature = "chaos")]
pub use armed::{Arms, arm};
#[cfg(feature = "chaos")]
pub(crate) use armed::{clock_offset, reach};

#[cfg(not(feature = "chaos"))]
#[inline]
pub(crate) const fn reach(_: Point) {}

#[cfg(not(feature = "chaos"))]
#[inline]
pub(crate) const fn clock_offset() -> chrono::TimeDelta {
    chrono::TimeDelta::zero()
}
