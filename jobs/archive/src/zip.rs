//! Writes the archive file: stored (JPEGs do not deflate), flat, and with the same bytes for the same photos.
//!
//! The ZIP is a temporary file without a name, so that a crash at any point leaves nothing to clean up. Errors of
//! that file are kept apart from the ZIP's writer ([`Spool`]).

use std::{
    fs::File,
    io::{self, Seek, SeekFrom, Write},
    os::unix::fs::FileExt,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use zip::{CompressionMethod, DateTime, ZipWriter, write::SimpleFileOptions};

/// Room that the temporary directory must have, in bytes, before an archive is begun.
const PROBE: usize = 64 * 1024;

/// Writes a small file without a name to the temporary directory.
pub(super) fn probe() -> io::Result<()> {
    tempfile::tempfile()?.write_all(&vec![0; PROBE])
}

pub(super) struct ZipFile {
    writer: ZipWriter<Spool>,
    fault: Fault,
    entries: usize,
}

/// The first error of the file.
#[derive(Debug, Clone, Default)]
struct Fault(Arc<Mutex<Option<io::Error>>>);

impl Fault {
    fn check(&self) -> io::Result<()> {
        let mut fault = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Later errors only repeat it: after the first one nothing is written any more.
        fault.take().map_or(Ok(()), |error| {
            *fault = Some(error.kind().into());
            Err(error)
        })
    }
}

/// The file, as the ZIP's writer sees it: without errors. The writer finishes itself when it is dropped, and
/// prints an error of that to standard error, in the midst of the log. So after the first error we write
/// nothing more and let every call succeed.
struct Spool {
    file: File,
    at: u64,
    end: u64,
    fault: Fault,
}

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut fault = self.fault.0.lock().unwrap_or_else(PoisonError::into_inner);
        if fault.is_none() {
            *fault = self.file.write_all_at(bytes, self.at).err();
        }
        self.at += bytes.len() as u64;
        self.end = self.end.max(self.at);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Spool {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.end.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

/// The ZIP, rewound to its start.
pub(super) struct Finished {
    pub file: File,
    pub length: u64,
    pub sha256: [u8; 32],
}

impl ZipFile {
    /// Opens the unnamed file in the system's temporary directory.
    pub fn create() -> io::Result<Self> {
        Ok(Self::on(tempfile::tempfile()?))
    }

    fn on(file: File) -> Self {
        let fault = Fault::default();
        let spool = Spool {
            file,
            at: 0,
            end: 0,
            fault: fault.clone(),
        };
        Self {
            writer: ZipWriter::new(spool),
            fault,
            entries: 0,
        }
    }

    /// Appends the next photo and returns its name. Names are flat and count from `photo_001.jpg`: trainers are not
    /// known to look into folders (fal.md 4.3).
    pub fn append(&mut self, parts: &[Bytes]) -> io::Result<String> {
        self.entries += 1;
        let name = format!("photo_{:03}.jpg", self.entries);
        self.write(&name, parts)?;
        Ok(name)
    }

    /// Appends an entry of this name.
    pub fn write(&mut self, name: &str, parts: &[Bytes]) -> io::Result<()> {
        // 1980-01-01, the first date that ZIP can store; the time of writing would change the hash.
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .last_modified_time(DateTime::default())
            .unix_permissions(0o644);
        self.writer.start_file(name, options)?;
        for part in parts {
            self.writer.write_all(part)?;
        }
        self.fault.check()
    }

    /// Writes the directory and hashes the whole file. Hashing comes last because the writer goes back to each
    /// entry's header once its size and checksum are known.
    pub fn finish(self) -> io::Result<Finished> {
        let Spool { mut file, .. } = self.writer.finish()?;
        self.fault.check()?;
        file.rewind()?;
        let mut hash = Sha256::new();
        let length = io::copy(&mut file, &mut hash)?;
        file.rewind()?;
        Ok(Finished {
            file,
            length,
            sha256: hash.finalize().into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes to a file on which no space is ever left.
    fn full() -> ZipFile {
        ZipFile::on(File::options().write(true).open("/dev/full").unwrap())
    }

    #[test]
    fn a_full_disk_is_named_and_nothing_is_printed() {
        let photo = [Bytes::from(vec![7; 70_000])];
        let mut zip = full();
        let error = zip.append(&photo).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(error.to_string().contains("No space left on device"), "{error}");
        assert_eq!(zip.append(&photo).unwrap_err().kind(), io::ErrorKind::StorageFull);
        // The writer does this when it is dropped, and would print an error.
        assert!(zip.writer.finish().is_ok());
        // The disk is full at the very end.
        let mut zip = full();
        assert!(zip.append(&[]).is_err());
        assert_eq!(
            full().finish().err().map(|error| error.kind()),
            Some(io::ErrorKind::StorageFull)
        );
    }
}
