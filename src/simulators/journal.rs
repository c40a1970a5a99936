//! What a simulator keeps between two lives: records, one JSON line each, and the bytes of files beside them.
//!
//! ```text
//! DIR/lock           flock held by the simulator that uses the directory
//! DIR/journal.jsonl  each change as it happened; the last record about a thing counts
//! DIR/files/SHA256   the bytes that records name
//! ```
//! A record is written before the call that caused it is answered, so a kill loses nothing that a client was told. What a
//! kill cuts in the middle is the last line, which was never acknowledged and is left out. At each start the journal is
//! written anew, with one record a thing, under another name and then renamed: a start that is killed loses nothing.
//! A full disk makes a simulator forgetful, not dead: it says so once and serves on.

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

/// Why a simulator cannot remember.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Two simulators cannot share a memory.
    #[error("{} is in use by another simulator: stop that one, or use another directory", directory.display())]
    InUse {
        /// The directory asked for.
        directory: PathBuf,
    },
    /// A line that was written whole says nothing that this version knows.
    #[error("{}, line {line}, cannot be read ({source}): remove that directory to begin anew", path.display())]
    Unreadable {
        /// The journal.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// What was read or written.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl JournalError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

/// An open memory; nobody else can open it meanwhile.
#[derive(Debug)]
pub(super) struct Journal {
    directory: PathBuf,
    records: Mutex<File>,
    complained: AtomicBool,
    _lock: File,
}

impl Journal {
    /// Opens or makes the directory and reads what is in it, oldest first.
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

    /// Replaces everything by these records.
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

    /// Adds a record.
    pub(super) fn append(&self, record: &impl Serialize) {
        let written = serde_json::to_vec(record)
            .map_err(io::Error::from)
            .and_then(|mut line| {
                line.push(b'\n');
                let mut file = self.records.lock().unwrap_or_else(PoisonError::into_inner);
                let before = file.metadata()?.len();
                // Half a line would make the next one unreadable, and with it every start to come.
                file.write_all(&line).inspect_err(|_| drop(file.set_len(before)))
            });
        self.complain(written);
    }

    /// Stores bytes; the name to find them by.
    pub(super) fn store(&self, bytes: &[u8]) -> String {
        let name = hex::encode(Sha256::digest(bytes));
        let path = self.directory.join(FILES).join(&name);
        if !path.exists() {
            let new = path.with_extension("new");
            self.complain(fs::write(&new, bytes).and_then(|()| fs::rename(&new, &path)));
        }
        name
    }

    /// The bytes that [`Self::store`] gave this name.
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

/// A last line without its end was cut by a kill.
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
