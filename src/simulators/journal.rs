//! The state that a simulator keeps from one run to the next: records, one JSON line each, and the bytes of
//! files beside them.
//!
//! ```text
//! DIR/lock           flock held by the simulator that uses the directory
//! DIR/journal.jsonl  each change as it happened; the last record about a thing counts
//! DIR/files/SHA256   the bytes that records name
//! ```
//! A record is written before the call that caused it is answered, so a kill loses nothing that a client was
//! told. A kill can cut only the last line, which was never acknowledged and is skipped. Each start writes
//! the journal anew, with one record per thing, under another name, and then renames it: a killed start loses
//! nothing. If the disk is full, the simulator warns once and continues without keeping its state.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::body::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};

const RECORDS: &str = "journal.jsonl";
const FILES: &str = "files";

/// Why a simulator cannot keep its state.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another simulator uses the directory; two cannot share one.
    #[error("{} is in use by another simulator: stop that one, or use another directory", directory.display())]
    InUse {
        /// The directory that is in use.
        directory: PathBuf,
    },
    /// A complete line cannot be read by this version.
    #[error("{}, line {line}, cannot be read ({source}): remove that directory to begin anew", path.display())]
    Unreadable {
        /// The journal's file.
        path: PathBuf,
        /// Number of the line, from 1.
        line: usize,
        /// The error of the JSON parser.
        source: serde_json::Error,
    },
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory concerned.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
}

impl JournalError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

/// An open journal, locked against other simulators.
#[derive(Debug)]
pub(super) struct Journal {
    directory: PathBuf,
    records: Mutex<File>,
    complained: AtomicBool,
    _lock: File,
}

impl Journal {
    /// Opens or creates the directory and reads its records, oldest first.
    pub(super) fn open<R: DeserializeOwned>(directory: &Path) -> Result<(Self, Vec<R>), JournalError> {
        let files = directory.join(FILES);
        fs::create_dir_all(&files).map_err(JournalError::io(&files))?;
        let lock_path = directory.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .map_err(JournalError::io(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let directory = directory.to_owned();
                return Err(JournalError::InUse { directory });
            }
            Err(TryLockError::Error(error)) => return Err(JournalError::io(&lock_path)(error)),
        }
        let path = directory.join(RECORDS);
        let known = read(&path)?;
        let records = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(JournalError::io(&path))?;
        let journal = Self {
            directory: directory.to_owned(),
            records: Mutex::new(records),
            complained: AtomicBool::new(false),
            _lock: lock,
        };
        Ok((journal, known))
    }

    /// Replaces all records by these.
    pub(super) fn rewrite<R: Serialize>(&self, records: impl Iterator<Item = R>) -> Result<(), JournalError> {
        let path = self.directory.join(RECORDS);
        let new = self.directory.join("journal.new");
        let write = || {
            let mut file = io::BufWriter::new(File::create(&new)?);
            for record in records {
                serde_json::to_writer(&mut file, &record)?;
                file.write_all(b"\n")?;
            }
            file.into_inner()?.sync_all()?;
            fs::rename(&new, &path)?;
            OpenOptions::new().append(true).open(&path)
        };
        let file = write().map_err(JournalError::io(&path))?;
        *self.records.lock().unwrap_or_else(PoisonError::into_inner) = file;
        Ok(())
    }

    /// Appends a record. An error is logged once, and never fails the caller.
    pub(super) fn append(&self, record: &impl Serialize) {
        let written = serde_json::to_vec(record)
            .map_err(io::Error::from)
            .and_then(|mut line| {
                line.push(b'\n');
                let mut file = self.records.lock().unwrap_or_else(PoisonError::into_inner);
                let before = file.metadata()?.len();
                // Half a line would make the next line unreadable, and with it every later start.
                file.write_all(&line).inspect_err(|_| drop(file.set_len(before)))
            });
        self.complain(written);
    }

    /// Stores the bytes; returns their name for [`Self::bytes`].
    pub(super) fn store(&self, bytes: &[u8]) -> String {
        let name = hex::encode(Sha256::digest(bytes));
        let path = self.directory.join(FILES).join(&name);
        if !path.exists() {
            let new = path.with_extension("new");
            self.complain(fs::write(&new, bytes).and_then(|()| fs::rename(&new, &path)));
        }
        name
    }

    /// The bytes that [`Self::store`] named so.
    pub(super) fn bytes(&self, name: &str) -> Result<Bytes, JournalError> {
        let path = self.directory.join(FILES).join(name);
        fs::read(&path).map(Bytes::from).map_err(JournalError::io(&path))
    }

    fn complain(&self, written: io::Result<()>) {
        if let Err(error) = written
            && !self.complained.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(%error, "What happens from here on is not kept in {}", self.directory.display());
        }
    }
}

/// Reads all complete lines. A last line without its end was cut by a kill and is skipped.
fn read<R: DeserializeOwned>(path: &Path) -> Result<Vec<R>, JournalError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(JournalError::io(path)(error)),
    };
    let whole = text
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |end| end + 1);
    let lines = text[..whole]
        .split(|byte| *byte == b'\n')
        .enumerate()
        .filter(|(_, line)| !line.is_empty());
    lines
        .map(|(number, line)| {
            serde_json::from_slice(line).map_err(|source| JournalError::Unreadable {
                path: path.to_owned(),
                line: number + 1,
                source,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(directory: &Path) -> Result<(Journal, Vec<u32>), JournalError> {
        Journal::open(directory)
    }

    #[test]
    fn what_was_appended_is_read_again_and_a_line_that_a_kill_cut_is_left_out() -> Result<(), JournalError> {
        let directory = tempfile::tempdir().map_err(JournalError::io(Path::new("/tmp")))?;
        let path = directory.path();
        let (journal, nothing) = numbers(path)?;
        assert!(nothing.is_empty());
        journal.append(&1);
        journal.append(&2);
        journal
            .records
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write_all(b"3")
            .map_err(JournalError::io(path))?;
        drop(journal);
        let (journal, known) = numbers(path)?;
        assert_eq!(known, [1, 2]);
        journal.rewrite(known.into_iter())?;
        journal.append(&4);
        drop(journal);
        assert_eq!(numbers(path)?.1, [1, 2, 4]);
        Ok(())
    }

    #[test]
    fn a_directory_belongs_to_one_simulator_and_a_damaged_line_is_named() -> Result<(), JournalError> {
        let directory = tempfile::tempdir().map_err(JournalError::io(Path::new("/tmp")))?;
        let path = directory.path();
        let held = numbers(path)?;
        assert!(matches!(numbers(path), Err(JournalError::InUse { .. })));
        drop(held);
        let file = path.join(RECORDS);
        fs::write(&file, "1\nnonsense\n2\n").map_err(JournalError::io(&file))?;
        assert!(matches!(
            numbers(path),
            Err(JournalError::Unreadable { line: 2, .. })
        ));
        Ok(())
    }
}
