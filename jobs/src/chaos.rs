//! Places where a fault-injection build can be struck from outside: failpoints and a skewed clock.
//!
//! Without the feature `chaos`, as in every shipped build, all of this is empty functions that the compiler removes:
//! no name, variable or file is ever read. `aisha chaos run` (`src/chaos/` of the root crate) builds on it.
//!
//! A *failpoint* stands between a call to the outside world and the commit that records the call. The harness puts an
//! order for a failpoint into a directory of the process. The first run that reaches the failpoint takes the order
//! (it renames the file, so that the order is taken once) and kills or stops its own process. The *skewed clock*
//! belongs to this process alone: jobs and the verifier of deliveries read it.

/// A place at which a process can be made to die or to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// A photo is in the bucket, but its row does not say so yet.
    PhotoStored,
    /// FAL has the archive, but the training's row does not say so yet.
    ArchiveUploaded,
    /// The submit attempt is not committed yet.
    SubmitBeforeAttempt,
    /// The attempt is committed, but no byte of the POST is on the wire.
    SubmitBeforeFirstByte,
    /// FAL has answered the submit, but the answer is not committed.
    SubmitAnswered,
    /// A poll has read the result, but has not committed it.
    PollAnswered,
    /// A delivery's effect is written, but not committed.
    DeliveryBeforeCommit,
    /// The web role has not committed a delivery yet.
    WebhookBeforeCommit,
    /// The web role has committed a delivery, but not answered it.
    WebhookBeforeAnswer,
    /// The model is in our bucket, but the avatar is not completed.
    ModelStored,
    /// Pictures are in our bucket, but their generation is not completed.
    PicturesStored,
    /// The bucket has nothing of a deleted avatar any more, but its rows are there.
    AvatarEmptied,
    /// FAL has deleted what it kept of a deleted avatar, but its rows are there.
    AvatarErasedAtFal,
    /// A user is erased, and not told yet.
    UserErased,
    /// Telegram has accepted the receipt of an erasure, but that is not recorded.
    ReceiptSent,
    /// A message is about to be sent to Telegram.
    NotifyBeforeSend,
    /// Telegram has accepted a message, but that is not recorded.
    NotifySent,
    /// Telegram's updates are committed, but not acknowledged to Telegram.
    UpdatesStored,
    /// An update's effects are written, but not committed.
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
