//! Which version of `notify_user` can say which phrase.
//!
//! In a rolling deploy the old version works beside the new one, and may meet a message with a phrase that only the
//! new one knows. So a message's job requires the version that brought the newest of its phrases; older workers leave
//! it alone. A message with old phrases only can be sent by all.
//!
//! # Must stay true
//! * a new phrase comes with a version of its own — `a_new_phrase_comes_with_a_new_version`
//! * a phrase that may wait in the outbox keeps its name and its fields: workers of its version read it

use serde_json::{Map, Value};

use super::Message;

/// The newest version in [`KNOWN`].
pub(crate) const VERSION: i16 = 5;

/// The phrases by the version that brought them, starting with 1; with a code if only the code is new. The list of a
/// released version is never changed; new phrases go into a new list.
pub(super) const KNOWN: [&[&str]; 5] = [
    &[
        "welcome",
        "welcome-back",
        "draft-waits",
        "help",
        "avatar-named",
        "avatar-unnamed",
        "ask-type",
        "ask-gender",
        "ask-name",
        "photos-title",
        "photos-ask",
        "photos-counted",
        "photos-loading",
        "photos-missing",
        "photos-enough",
        "photos-full",
        "photos-rejected",
        "rejected-photo",
        "more-rejected",
        "photo-problem",
        "kind-portrait",
        "kind-style",
        "gender-male",
        "gender-female",
        "name-empty",
        "name-too-long",
        "use-buttons",
        "text-instead-of-photos",
        "file-no-image",
        "file-heic",
        "file-too-large",
        "too-many-photos",
        "photo-without-draft",
        "photo-kept",
        "photo-known",
        "photo-refused",
        "not-a-photo",
        "unknown-command",
        "not-understood",
        "stale-button",
        "trouble",
        "not-enough-photos",
        "photos-still-loading",
        "already-training",
        "already-trained",
        "other-draft-first",
        "draft-discarded",
        "nothing-to-cancel",
        "ask-stop",
        "too-late-to-stop",
        "stop-asked",
        "status-draft",
        "status-training",
        "status-completed",
        "status-failed",
        "status-cancelled",
        "status-nothing",
        "progress-title",
        "stage-requested",
        "stage-archived",
        "stage-submitted",
        "stage-queued",
        "stage-running",
        "stage-trained",
        "stage-stopping",
        "stage-completed",
        "stage-failed",
        "stage-cancelled",
        "training-completed",
        "training-failed",
        "training-cancelled",
        "training-came-late",
        "training-came-too-late",
        "failure-reason",
        "button-create",
        "button-continue",
        "button-portrait",
        "button-style",
        "button-male",
        "button-female",
        "button-back",
        "button-discard",
        "button-start",
        "button-retry",
        "button-stop",
        "button-status",
        "command-start",
        "command-status",
        "command-cancel",
        "command-help",
    ],
    &[
        "welcome-nameless",
        "welcome-back-nameless",
        "closed-to-strangers",
        "closed-to-you",
        "too-many-live",
        "trainings-used-up",
        "drafts-used-up",
        "photos-used-up",
        "in-hours",
        "in-minutes",
        "stage-booked",
        "training-failed-archive_unreachable",
    ],
    &[
        "ask-language",
        "language-chosen",
        "button-russian",
        "button-english",
        "button-kazakh",
        "ask-discard",
        "ask-which-to-stop",
        "button-discard-now",
        "button-keep-training",
        "button-stop-named",
        "button-retry-named",
    ],
    &[
        // Pictures.
        "album-title",
        "album-asked",
        "album-queued",
        "album-running",
        "album-storing",
        "album-stopping",
        "album-done",
        "album-none",
        "album-stopped",
        "album-caption",
        "album-ready",
        "album-partly-flagged",
        "album-partly",
        "album-flagged",
        "album-failed",
        "album-cancelled",
        "stage-sampling",
        "button-stop-album",
        "button-keep-picture",
        "button-more-like-this",
        "button-again",
        // The gallery.
        "gallery-place",
        "gallery-main",
        "ask-new-name",
        "renamed",
        "name-kept",
        "avatar-gone",
        "main-chosen",
        "button-gallery",
        "button-main",
        "button-rename",
        "button-previous",
        "button-next",
        "ask-style",
        "style-name",
        "style-unnamed",
        "album-choice",
        "ask-words",
        "words-refused",
        "album-words",
        "album-ready-to-make",
        "style-gone",
        "already-making",
        "too-many-albums",
        "pictures-left",
        "pictures-used-up",
        "album-over",
        "album-left",
        "button-generate",
        "button-without-words",
        "button-aspect",
        "button-aspect-chosen",
        "button-count",
        "button-count-chosen",
        "button-style-again",
        "button-words",
        "button-make",
        "picture-place",
        "favourite-place",
        "picture-gone",
        "picture-starred",
        "picture-unstarred",
        "picture-deleted",
        "ask-delete-picture",
        "pictures-none",
        "favourites-none",
        "button-pictures",
        "button-favourites",
        "button-all-pictures",
        "button-star",
        "button-unstar",
        "button-more-like-picture",
        "button-delete-picture",
        // The wizard and the progress of a training.
        "photo-unfit",
        "photos-tips",
        "not-usable",
        "not-usable-for-photos",
        "ask-type-timed",
        "ask-gender-of-style",
        "presets",
        "preset-line",
        "preset-fast",
        "preset-balanced",
        "preset-quality",
        "button-chosen",
        "time-left",
        // Photo verdicts.
        "photo-hints",
        "hint-alike",
        "hint-blurred",
        "hint-no-face",
        "hint-several-faces",
        "numbers-one",
        "numbers-and",
        "photo-removed",
        "photo-removed-before",
        "photos-kept",
        "button-remove-photo",
        "button-keep-photos",
        // Privacy and administrators.
        "ask-delete",
        "ask-delete-model",
        "ask-delete-training",
        "ask-delete-paid",
        "avatar-deleted",
        "main-is-now",
        "stage-deleted",
        "button-delete",
        "button-keep",
        "privacy",
        "kept-days",
        "kept-until-deleted",
        "ask-delete-me",
        "ask-delete-me-again",
        "button-delete-me",
        "leaving",
        "erased",
        "photos-retired",
        "export-begun",
        "export-again",
        "export-part",
        "export-failed",
        "command-mydata",
        "broadcast-text",
        "admin-users",
        "admin-trainings",
        "admin-queue",
        "admin-parked",
        "admin-nobody",
        "admin-no-id",
        "admin-user",
        "admin-is-allowed",
        "admin-is-blocked",
        "admin-is-leaving",
        "admin-config-wins",
        "admin-broadcast-how",
        "admin-broadcast-ask",
        "admin-broadcast-state",
        "admin-broadcast-over",
        "button-broadcast",
        "button-broadcast-stop",
        "button-refresh",
        "command-privacy",
        "command-delete_me",
        // Settings and errors.
        "settings",
        "with-sound",
        "without-sound",
        "button-language",
        "button-use-preset",
        "button-sound-on",
        "button-sound-off",
        "support-code",
    ],
    &[
        // The wizard.
        "photo-examples",
    ],
];

impl Message {
    /// The lowest version of `notify_user` that can say it.
    pub(crate) fn version(&self) -> i16 {
        /// The first version that sends pictures; others would send their caption alone.
        const PICTURES: i16 = 4;
        /// The first version that sends illustrations.
        const ILLUSTRATIONS: i16 = 5;
        let said = serde_json::to_value(self).map_or(VERSION, |message| newest(&message));
        let pictured = if self.pictures.is_empty() { 1 } else { PICTURES };
        let illustrated = self.illustration.map_or(1, |_| ILLUSTRATIONS);
        said.max(pictured).max(illustrated)
    }
}

/// The newest version of all phrases in it: paragraphs, their arguments, labels of buttons.
fn newest(value: &Value) -> i16 {
    match value {
        Value::Array(values) => values.iter().map(newest).max().unwrap_or(1),
        Value::Object(fields) => fields.values().map(newest).fold(since(fields), i16::max),
        _ => 1,
    }
}

/// The version of the phrase itself, if it is one.
fn since(fields: &Map<String, Value>) -> i16 {
    let text = |field| fields.get(field).and_then(Value::as_str);
    let Some(name) = text("say") else {
        return 1;
    };
    let coded = text("code").map(|code| format!("{name}-{code}"));
    let brought = |known: &&[&str]| {
        known.contains(&name) || coded.as_deref().is_some_and(|coded| known.contains(&coded))
    };
    let versions = (1..).zip(&KNOWN).filter(|(_, known)| brought(known));
    versions.map(|(version, _)| version).max().unwrap_or(VERSION)
}
