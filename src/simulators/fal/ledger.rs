//! What happened at the simulator, in order, never edited: the evidence that tests and the demo argue from.
//!
//! An entry is written at the moment the thing happens, so a submission is in the ledger before its answer is on
//! the wire. Keys appear as fingerprints; the ledger may be shown to anybody.

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
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What can happen at the simulator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A submission was accepted: from here on it runs, and would be billed, whatever the caller gets to see.
    Submitted {
        /// The queue's id of the new request.
        request_id: Uuid,
        /// Full endpoint id.
        endpoint: String,
        /// The input as it came.
        input: Value,
        /// `fal_webhook` as it came, decoded once.
        webhook: Option<String>,
        /// Fingerprint of the key used.
        key: String,
        /// Through the synchronous API, not the queue.
        sync: bool,
    },
    /// A submission was turned away; nothing runs.
    SubmitRefused {
        /// Endpoint id as it came.
        endpoint: String,
        /// Status of the answer.
        http_status: u16,
        /// `detail` of the answer.
        detail: String,
    },
    /// A runner took the request.
    RunStarted {
        /// Which request.
        request_id: Uuid,
    },
    /// The runner is done: the result answers with this status from now on.
    RunEnded {
        /// Which request.
        request_id: Uuid,
        /// The model's status: 200 means that there is an output.
        http_status: u16,
    },
    /// A training fetched and judged its archive.
    ArchiveChecked {
        /// Whose archive.
        request_id: Uuid,
        /// Where it was fetched.
        url: String,
        /// What is in it; absent when it was refused.
        facts: Option<Facts>,
        /// Why it was refused: the `type` and `msg` of the model error.
        refused: Option<String>,
    },
    /// Status, stream or result was asked for.
    Polled {
        /// Status, Stream or Result.
        operation: Operation,
        /// As asked; perhaps of no request.
        request_id: String,
        /// Status of the answer.
        http_status: u16,
        /// `IN_QUEUE`, `IN_PROGRESS` or `COMPLETED`; absent for a result or an unknown request.
        word: Option<String>,
    },
    /// A cancellation was asked for.
    Cancelled {
        /// As asked; perhaps of no request.
        request_id: String,
        /// Status of the answer.
        http_status: u16,
    },
    /// An upload was prepared (`initiate`, `initiate-multipart` or the token way's multipart).
    UploadInitiated {
        /// Where the file will be served.
        file_url: String,
        /// Content type announced.
        content_type: String,
        /// In parts.
        multipart: bool,
        /// `expiration_duration_seconds` of the lifecycle header.
        expires_in_seconds: Option<u64>,
    },
    /// All bytes of a file arrived.
    Uploaded {
        /// Where it is served.
        file_url: String,
        /// Size in bytes.
        bytes: u64,
        /// Lower-case hex.
        sha256: String,
        /// Number of parts, 1 for a single PUT or POST.
        parts: usize,
        /// A signed URL was given an Authorization header as well: a leaked key. FAL's own Python client does that
        /// when it falls back to `storage_type=gcs`, so it is no error.
        leaked_authorization: bool,
    },
    /// A file was asked for.
    Downloaded {
        /// Path of the file, without the service's prefix.
        path: String,
        /// GET or HEAD.
        method: String,
        /// Status of the answer.
        http_status: u16,
        /// The caller sent an Authorization header, which no file needs: a leaked key.
        leaked_authorization: bool,
    },
    /// One attempt to deliver a webhook, after its outcome is known.
    WebhookAttempted {
        /// Whose result.
        request_id: Uuid,
        /// Where to.
        url: String,
        /// From 1.
        attempt: u32,
        /// `OK` or `ERROR`, as in the body.
        status: String,
        /// Status of the receiver's answer; absent when there was none.
        http_status: Option<u16>,
        /// Why there was none.
        failure: Option<String>,
        /// The receiver acknowledged (2xx).
        delivered: bool,
    },
    /// A webhook that will never be sent (again).
    WebhookGivenUp {
        /// Whose result.
        request_id: Uuid,
        /// Why.
        reason: String,
    },
    /// The request list, or a search in it, was read.
    RequestsListed {
        /// The query string as it came.
        query: String,
        /// Number of rows in the answer.
        rows: usize,
    },
    /// The key set was fetched.
    KeysFetched,
    /// Webhooks are signed with a new key from here on.
    KeysRotated {
        /// The previous key is still in the set.
        old_kept: bool,
    },
    /// A scripted fault took effect on an HTTP call.
    FaultStruck {
        /// Id of the fault.
        fault: u64,
        /// What was asked for.
        operation: Operation,
        /// The effect's name.
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
    /// Goes on after the entries of an earlier life.
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

    /// Looks again after each new entry until `look` finds something; `None` after `limit`.
    pub(super) async fn wait_for<T>(
        &self,
        limit: Duration,
        look: impl Fn(&[Entry]) -> Option<T>,
    ) -> Option<T> {
        let mut length = self.length.subscribe();
        let found = async {
            loop {
                // Marked as seen before looking: an entry that arrives in between wakes us once more.
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
