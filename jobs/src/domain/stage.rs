//! How far a training has come, as its progress message shows it.

use std::time::Duration;

/// One line of the progress message. `texts/phrase.rs` has its words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The photos are being packed.
    Requested,
    /// The photos are packed; the submit is next.
    Archived,
    /// The photos are packed, but the account's trainings of the day are used up.
    Booked {
        /// Until the training goes on by itself.
        wait: Duration,
    },
    /// FAL has the request.
    Submitted,
    /// The request waits in FAL's queue.
    Queued {
        /// Requests before ours, as FAL counts them.
        position: i32,
    },
    /// FAL is training it.
    Running {
        /// 0 to 100, from FAL's log lines.
        percent: u8,
    },
    /// The model is being copied and verified.
    Trained,
    /// The avatar has its model; its first pictures are being made.
    Sampling,
    /// FAL is being asked to stop.
    Stopping,
}

impl Stage {
    /// Whether the message has a "Stop" button: the user can still call the training off.
    pub const fn can_be_stopped(self) -> bool {
        match self {
            Self::Booked { .. } => true,
            _ => self.is_training(),
        }
    }

    /// Whether time brings the model nearer: nothing holds the training up, and FAL has not made the model yet.
    pub const fn is_training(self) -> bool {
        match self {
            Self::Requested
            | Self::Archived
            | Self::Submitted
            | Self::Queued { .. }
            | Self::Running { .. } => true,
            Self::Booked { .. } | Self::Trained | Self::Sampling | Self::Stopping => false,
        }
    }
}
