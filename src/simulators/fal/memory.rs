//! The state that outlives the process if the simulator has a directory: requests and their results, files,
//! signing keys, and the ledger. Scripted faults, settings and unfinished uploads are lost with the process.
//!
//! An unfinished request is run again from the status that a client last saw, so its status never goes back.
//! An unacknowledged webhook is delivered anew.

use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::cdn::{Acl, Files};
use super::ledger::{Entry, Ledger};
use super::requests::{KeptOrder, Progress, Request, Requests};
use super::signing::SigningKeys;
use super::trainers::Endpoints;
use crate::simulators::journal::{Journal, JournalError};

/// One line of the journal.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Record {
    Order(KeptOrder),
    Progress { id: Uuid, progress: Progress },
    File(KeptFile),
    Expired { path: String },
    Keys(Vec<String>),
    Entry(Entry),
}

/// The record of a file. Its bytes lie in a file beside the journal.
#[derive(Serialize, Deserialize)]
pub(super) struct KeptFile {
    pub path: String,
    pub content_type: String,
    pub sha256: String,
    /// When the file expires; `None`: never.
    pub dies_at: Option<DateTime<Utc>>,
    #[serde(default)]
    pub acl: Acl,
}

/// Writes changes to the journal, if there is one. Clones write to the same journal.
#[derive(Clone, Default)]
pub(super) struct Memory(Option<Arc<Journal>>);

impl Memory {
    pub(super) fn order(&self, request: &Request) {
        self.append(|| Record::Order(request.order.kept()));
    }

    pub(super) fn progress(&self, id: Uuid, progress: &Progress) {
        self.append(|| Record::Progress {
            id,
            progress: progress.clone(),
        });
    }

    pub(super) fn file(&self, file: KeptFile, bytes: &[u8]) {
        if let Some(journal) = &self.0 {
            journal.store(bytes);
            journal.append(&Record::File(file));
        }
    }

    pub(super) fn expired(&self, path: &str) {
        self.append(|| Record::Expired {
            path: path.to_owned(),
        });
    }

    pub(super) fn keys(&self, keys: Vec<String>) {
        self.append(|| Record::Keys(keys));
    }

    pub(super) fn entry(&self, entry: &Entry) {
        self.append(|| Record::Entry(entry.clone()));
    }

    fn append(&self, record: impl FnOnce() -> Record) {
        if let Some(journal) = &self.0 {
            journal.append(&record());
        }
    }
}

/// The state with which a simulator starts.
#[derive(Default)]
pub(super) struct Recalled {
    pub requests: Requests,
    pub files: Files,
    pub keys: SigningKeys,
    pub ledger: Ledger,
    pub memory: Memory,
}

/// Reads the state that an earlier run left in the directory; without a directory it is empty.
pub(super) fn recall(directory: Option<&Path>, endpoints: &Endpoints) -> Result<Recalled, JournalError> {
    let Some(directory) = directory else {
        return Ok(Recalled::default());
    };
    let (journal, known) = Journal::open(directory)?;
    let journal = Arc::new(journal);
    let memory = Memory(Some(Arc::clone(&journal)));
    let mut entries = Vec::new();
    let mut keys = None;
    let requests = Requests::default();
    let files = Files::new(memory.clone());
    for record in known {
        match record {
            Record::Order(order) => {
                if let Some(order) = order.again(endpoints) {
                    requests.add(Arc::new(Request::new(order, memory.clone())));
                }
            }
            Record::Progress { id, progress } => {
                if let Some(request) = requests.of(id) {
                    request.progress.send_replace(progress);
                }
            }
            Record::File(file) => {
                // `Err`: the disk was full when the file was stored.
                if let Ok(bytes) = journal.bytes(&file.sha256) {
                    files.put_back(file, bytes);
                }
            }
            Record::Expired { path } => files.forget(&path),
            Record::Keys(kept) => keys = SigningKeys::again(&kept, memory.clone()),
            Record::Entry(entry) => entries.push(entry),
        }
    }
    let keys = keys.unwrap_or_else(|| SigningKeys::new(memory.clone()));
    let mut all = vec![Record::Keys(keys.kept())];
    all.extend(files.kept().into_iter().map(Record::File));
    for request in requests.all() {
        all.push(Record::Order(request.order.kept()));
        let progress = request.progress.borrow().clone();
        all.push(Record::Progress {
            id: request.order.id,
            progress,
        });
    }
    all.extend(entries.iter().cloned().map(Record::Entry));
    journal.rewrite(all.into_iter())?;
    Ok(Recalled {
        requests,
        files,
        keys,
        ledger: Ledger::new(entries, memory.clone()),
        memory,
    })
}
