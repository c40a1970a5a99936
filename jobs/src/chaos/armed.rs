//! The behaviour of a fault-injection build at its failpoints, and its clock; [`super`] is what others see.

use std::{fs, path::PathBuf, sync::OnceLock};

use chrono::TimeDelta;
use rustix::process::{Signal, getpid, kill_process};

use super::Point;

/// The faults that a process is given at its start.
#[derive(Debug, Clone, Default)]
pub struct Arms {
    /// The directory into which the harness puts orders while the process runs: a file named like a failpoint that
    /// holds `kill` or `stop`. An order is taken by renaming it to `<failpoint>.struck`.
    pub control: Option<PathBuf>,
    /// Added to the wall clock that jobs and the verifier read.
    pub clock_offset: TimeDelta,
}

static ARMS: OnceLock<Arms> = OnceLock::new();

/// Sets this process's faults. Call it once, before anything else; a second call changes nothing.
pub fn arm(arms: Arms) {
    let _ = ARMS.set(arms);
}

pub(crate) fn clock_offset() -> TimeDelta {
    ARMS.get().map_or_else(TimeDelta::zero, |arms| arms.clock_offset)
}

/// Dies or stops here if the control directory holds an order for this point.
pub(crate) fn reach(point: Point) {
    let Some(control) = ARMS.get().and_then(|arms| arms.control.as_ref()) else {
        return;
    };
    let order = control.join(point.name());
    let signal = match fs::read_to_string(&order).as_deref() {
        Ok("kill") => Signal::KILL,
        Ok("stop") => Signal::STOP,
        _ => return,
    };
    // If several threads get here at once, only one of them can rename the file.
    if fs::rename(&order, order.with_extension("struck")).is_ok() {
        // Cannot fail: it is our own process.
        let _ = kill_process(getpid(), signal);
    }
}

impl Point {
    /// All points, in the order in which an avatar meets them, from its first photo to its deletion.
    pub const ALL: [Self; 19] = [
        Self::UpdatesStored,
        Self::TurnBeforeCommit,
        Self::PhotoStored,
        Self::ArchiveUploaded,
        Self::SubmitBeforeAttempt,
        Self::SubmitBeforeFirstByte,
        Self::SubmitAnswered,
        Self::WebhookBeforeCommit,
        Self::WebhookBeforeAnswer,
        Self::DeliveryBeforeCommit,
        Self::PollAnswered,
        Self::ModelStored,
        Self::PicturesStored,
        Self::NotifyBeforeSend,
        Self::NotifySent,
        Self::AvatarEmptied,
        Self::AvatarErasedAtFal,
        Self::UserErased,
        Self::ReceiptSent,
    ];

    /// The name of the control file for this point.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PhotoStored => "store_photo:after_upload",
            Self::ArchiveUploaded => "build_archive:after_upload",
            Self::SubmitBeforeAttempt => "submit:before_attempt",
            Self::SubmitBeforeFirstByte => "submit:before_first_byte",
            Self::SubmitAnswered => "submit:after_http",
            Self::PollAnswered => "poll:after_http",
            Self::DeliveryBeforeCommit => "delivery:before_commit",
            Self::WebhookBeforeCommit => "webhook:before_commit",
            Self::WebhookBeforeAnswer => "webhook:before_answer",
            Self::ModelStored => "store_model:after_store",
            Self::PicturesStored => "store_pictures:after_upload",
            Self::AvatarEmptied => "delete_avatar:after_bucket",
            Self::AvatarErasedAtFal => "delete_avatar:after_http",
            Self::UserErased => "erase_user:after_commit",
            Self::ReceiptSent => "erase_user:after_http",
            Self::NotifyBeforeSend => "notify:before_http",
            Self::NotifySent => "notify:after_http",
            Self::UpdatesStored => "updates:before_confirm",
            Self::TurnBeforeCommit => "turn:before_commit",
        }
    }

    /// The role whose process reaches this point.
    pub const fn role(self) -> &'static str {
        match self {
            Self::WebhookBeforeCommit | Self::WebhookBeforeAnswer => "web",
            Self::UpdatesStored | Self::TurnBeforeCommit => "bot",
            _ => "worker",
        }
    }
}
