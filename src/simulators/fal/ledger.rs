//! Every event at the simulator, in order and never edited. Tests and the demo use it as evidence.
//!
//! An entry is written when the event happens, so a submission is in the ledger before its answer is on the
//! wire. API keys appear as fingerprints, so the ledger may be shown to anybody.

use std::sync::Mutex;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;
use uuid::Uuid;

use super::archive::Facts;
use super::faults::Operation;
use super::memory::Memory;
use super::simulation::{locked, now};

/// One line of the ledger.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Position in the ledger, from 1, without gaps.
    pub seq: u64,
    /// When it was written, by the simulator's wall clock.
    pub at: DateTime<Utc>,
    /// The event itself.
    #[serde(flatten)]
    pub event: Event,
}

/// The events that can happen at the simulator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A submission was accepted. From here on it runs, and FAL would bill it, whatever answer the caller
    /// gets.
    Submitted {
        /// Id of the new request.
        request_id: Uuid,
        /// The full endpoint id.
        endpoint: String,
        /// The input as it was sent.
        input: Value,
        /// The `fal_webhook` parameter, URL-decoded once.
        webhook: Option<String>,
        /// Fingerprint of the API key.
        key: String,
        /// Whether it came through the synchronous API and not the queue.
        sync: bool,
    },
    /// A submission was refused; nothing runs.
    SubmitRefused {
        /// The endpoint id as it was sent.
        endpoint: String,
        /// HTTP status of the answer.
        http_status: u16,
        /// The `detail` field of the answer.
        detail: String,
    },
    /// A runner started to work on the request.
    RunStarted {
        /// Id of the request.
        request_id: Uuid,
    },
    /// The run ended: from now on the result is answered with this status.
    RunEnded {
        /// Id of the request.
        request_id: Uuid,
        /// HTTP status of the result; 200 means that there is an output.
        http_status: u16,
    },
    /// A training downloaded and checked its archive.
    ArchiveChecked {
        /// Id of the training's request.
        request_id: Uuid,
        /// The URL it was downloaded from.
        url: String,
        /// Contents of the archive; absent when it was refused.
        facts: Option<Facts>,
        /// Why it was refused: the `type` and `msg` of the model error.
        refused: Option<String>,
    },
    /// A request for pictures has drawn them.
    Drawn {
        /// Id of the request.
        request_id: Uuid,
        /// The trigger word in the LoRA that was used; absent if it says none, and for finetunes.
        trigger: Option<String>,
        /// SHA-256 of each picture's file, in lower-case hex.
        pictures: Vec<String>,
    },
    /// A client read the status, the stream or the result.
    Polled {
        /// `Status`, `Stream` or `Result`.
        operation: Operation,
        /// The id in the URL; there may be no such request.
        request_id: String,
        /// HTTP status of the answer.
        http_status: u16,
        /// `IN_QUEUE`, `IN_PROGRESS` or `COMPLETED`; absent for a result or an unknown request.
        word: Option<String>,
    },
    /// A client asked to cancel a request.
    Cancelled {
        /// The id in the URL; there may be no such request.
        request_id: String,
        /// HTTP status of the answer.
        http_status: u16,
    },
    /// A client had the payloads of a request deleted.
    Erased {
        /// Id of the request.
        request_id: Uuid,
        /// How many generated files went with them.
        files: usize,
    },
    /// A client prepared an upload (`initiate`, `initiate-multipart`, or a multipart upload by token).
    UploadInitiated {
        /// The URL at which the file will be served.
        file_url: String,
        /// The content type that the client announced.
        content_type: String,
        /// Whether the file comes in several parts.
        multipart: bool,
        /// `expiration_duration_seconds` in the lifecycle header; absent if it was not sent.
        expires_in_seconds: Option<u64>,
    },
    /// The last byte of a file arrived.
    Uploaded {
        /// The URL at which the file is served.
        file_url: String,
        /// Size of the file in bytes.
        bytes: u64,
        /// SHA-256 of the file, in lower-case hex.
        sha256: String,
        /// Number of parts; 1 for a single PUT or POST.
        parts: usize,
        /// Whether the client sent its API key to a signed URL, which needs none: a leaked key. FAL's own
        /// Python client does that when it falls back to `storage_type=gcs`, so it is not an error.
        leaked_authorization: bool,
    },
    /// A client read a file.
    Downloaded {
        /// Path of the file without the service's prefix.
        path: String,
        /// The HTTP method: GET or HEAD.
        method: String,
        /// HTTP status of the answer.
        http_status: u16,
        /// Whether the caller sent an API key, which no file needs: a leaked key.
        leaked_authorization: bool,
    },
    /// One attempt to deliver a webhook, written when its outcome is known.
    WebhookAttempted {
        /// Id of the request whose result it is.
        request_id: Uuid,
        /// The webhook's URL.
        url: String,
        /// Number of the attempt, from 1.
        attempt: u32,
        /// `OK` or `ERROR`, as in the webhook's body.
        status: String,
        /// HTTP status of the receiver's answer; absent when there was none.
        http_status: Option<u16>,
        /// Why there was no answer; absent when there was one.
        failure: Option<String>,
        /// Whether the receiver acknowledged it (2xx).
        delivered: bool,
    },
    /// A webhook was given up: there will be no further attempt.
    WebhookGivenUp {
        /// Id of the request whose result it is.
        request_id: Uuid,
        /// The reason, in words.
        reason: String,
    },
    /// A client read or searched the request list.
    RequestsListed {
        /// The query string as it was sent.
        query: String,
        /// Number of rows in the answer.
        rows: usize,
    },
    /// A client fetched the key set.
    KeysFetched,
    /// From here on, webhooks are signed with a new key.
    KeysRotated {
        /// Whether the previous key is still in the published set.
        old_kept: bool,
    },
    /// A scripted fault took effect on an HTTP call.
    FaultStruck {
        /// Id of the scripted fault.
        fault: u64,
        /// The operation that the client called.
        operation: Operation,
        /// The effect's name in JSON.
        effect: String,
    },
}

/// The append-only list.
pub(super) struct Ledger {
    entries: Mutex<Vec<Entry>>,
    length: watch::Sender<usize>,
    memory: Memory,
}

impl Default for Ledger {
    fn default() -> Self {
        Self::new(Vec::new(), Memory::default())
    }
}

impl Ledger {
    /// Continues after the entries of an earlier run.
    pub(super) fn new(entries: Vec<Entry>, memory: Memory) -> Self {
        Self {
            length: watch::Sender::new(entries.len()),
            entries: Mutex::new(entries),
            memory,
        }
    }

    pub(super) fn record(&self, event: Event) {
        let mut entries = locked(&self.entries);
        tracing::debug!(?event, "The FAL simulator noted an event");
        let seq = entries.len() as u64 + 1;
        let entry = Entry {
            seq,
            at: now(),
            event,
        };
        self.memory.entry(&entry);
        entries.push(entry);
        self.length.send_replace(entries.len());
    }

    /// All entries after position `since`.
    pub(super) fn since(&self, since: u64) -> Vec<Entry> {
        let skip = usize::try_from(since).unwrap_or(usize::MAX);
        locked(&self.entries).iter().skip(skip).cloned().collect()
    }

    /// Calls `look` after each new entry until it returns something; `None` after `limit`.
    pub(super) async fn wait_for<T>(
        &self,
        limit: Duration,
        look: impl Fn(&[Entry]) -> Option<T>,
    ) -> Option<T> {
        let mut length = self.length.subscribe();
        let found = async {
            loop {
                // Marked as seen before looking: an entry that arrives in between wakes us again.
                length.borrow_and_update();
                if let Some(found) = look(&locked(&self.entries)) {
                    return Some(found);
                }
                length.changed().await.ok()?;
            }
        };
        tokio::time::timeout(limit, found).await.ok().flatten()
    }
}
