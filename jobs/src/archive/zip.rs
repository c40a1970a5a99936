//! The archive file: stored (JPEGs do not deflate), flat, the same bytes for the same photos.
//!
//! It lives in a temporary file without a name, so that a crash at any point leaves nothing to clean up.

use std::{
    fs::File,
    io::{self, Seek, Write},
};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use zip::{CompressionMethod, DateTime, ZipWriter, write::SimpleFileOptions};

/// A ZIP that is being written.
pub(super) struct ZipFile {
    writer: ZipWriter<File>,
    entries: usize,
}

/// A finished ZIP, its file at the start.
pub(super) struct Finished {
    pub file: File,
    pub length: u64,
    pub sha256: [u8; 32],
}

impl ZipFile {
    /// Opens the unnamed file in the system's temporary directory.
    pub fn create() -> io::Result<Self> {
        Ok(Self {
            writer: ZipWriter::new(tempfile::tempfile()?),
            entries: 0,
        })
    }

    /// Appends the next photo and answers its name. Names are flat and count from `photo_001.jpg`: trainers
    /// are not known to look into folders (fal.md 4.7).
    pub fn append(&mut self, parts: &[Bytes]) -> io::Result<String> {
        // 1980-01-01, the first date that ZIP knows; the moment of writing would change the hash.
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .last_modified_time(DateTime::default())
            .unix_permissions(0o644);
        self.entries += 1;
        let name = format!("photo_{:03}.jpg", self.entries);
        self.writer.start_file(&name, options)?;
        for part in parts {
            self.writer.write_all(part)?;
        }
        Ok(name)
    }

    /// Writes the directory and hashes the whole. Hashing comes last because ZIP goes back to each entry's
    /// header when its size and checksum are known.
    pub fn finish(self) -> io::Result<Finished> {
        let mut file = self.writer.finish()?;
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
