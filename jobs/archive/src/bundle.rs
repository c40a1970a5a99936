//! A ZIP of files of any kind, for a user who asks for their data. It is a temporary file without a name.

use std::{fs::File, io};

use bytes::Bytes;

use crate::zip::{Finished, ZipFile};

/// A ZIP that is being written.
pub struct Bundle(ZipFile);

impl Bundle {
    /// Opens the file in the system's temporary directory.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub fn create() -> io::Result<Self> {
        ZipFile::create().map(Self)
    }

    /// Appends a file.
    ///
    /// # Errors
    /// The disk is full, or the name was used before.
    pub fn append(&mut self, name: &str, content: Bytes) -> io::Result<()> {
        self.0.write(name, &[content])
    }

    /// The file, and its length in bytes.
    ///
    /// # Errors
    /// The disk is full.
    pub fn finish(self) -> io::Result<(File, u64)> {
        let Finished { file, length, .. } = self.0.finish()?;
        Ok((file, length))
    }
}
