//! Turns photos into one training archive, and says what a photo shows. No queue, no database and no bucket: the caller
//! fetches the photos and stores the archive.
//!
//! [`Workbench::build`] fetches the photos in order and verifies each to its last block. An upright 8-bit
//! colour JPEG passes through without its metadata; everything else is turned into one. The results are stored
//! in a ZIP. A photo that cannot be used is left out, and reported with its [`PhotoProblem`]. Photos are
//! numbered from 0, in the caller's order. [`Workbench::look`] measures what a photo shows, for hints to its owner:
//! faces, sharpness, and a fingerprint that tells near-duplicates.
//!
//! # Must stay true
//! * The same photos make the same bytes, so that the hash can name the upload —
//!   `tests::the_same_photos_make_the_same_archive`
//! * A photo that passes through decodes to the same pixels — `tests::a_passed_through_photo_keeps_its_pixels`
//! * No metadata of the user's camera gets into the archive — `tests::no_metadata_reaches_the_archive`
//! * Memory for decoding is bounded in bytes, for all archives of the process together
//!   — `tests::decoding_waits_for_memory`
//! * No memory is allocated because a header claims a size —
//!   `inspect::tests::every_problem_that_a_header_tells_has_its_code`
//! * No bytes make it panic — `jpeg::tests::no_mutation_of_a_jpeg_panics_the_walker`; if another crate's decoder
//!   panics, that costs this one photo — `crew::tests::a_panic_costs_its_own_photo_only`
//!
//! # If we die
//! Nothing is left behind: the archive is a file without a name until it is uploaded.
//!
//! Read next: `prepare.rs` (one photo), `jpeg.rs` (the parts of a file that stay), `jpeg/verify.rs`, `reencode.rs`.
//! The items are public because the benchmark beside Pillow (`benches/archive`) runs exactly this code.

use std::{future::Future, io, ops::RangeInclusive, sync::Arc};

use bytes::Bytes;
use futures::{StreamExt, stream};
use tokio::{sync::Semaphore, task::spawn_blocking};
use tokio_util::sync::CancellationToken;

mod appearance;
mod bundle;
mod crew;
mod exif;
mod grey_profile;
mod inspect;
mod jpeg;
mod png;
mod prepare;
mod problem;
mod reencode;
mod upright;
mod webp;
mod zip;

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod tests;

pub use appearance::{Appearance, Fingerprint, alike};
pub use bundle::Bundle;
pub use inspect::{PhotoFormat, PhotoInfo, inspect};
pub use problem::{PhotoProblem, PixelLimit, megabytes};

use crew::{Crew, WorkSize};
use prepare::{Plan, PlanOutcome, Viewing};
use reencode::Prepared;
use zip::{Finished, ZipFile};

/// Which photos are accepted, and how many (K20).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhotoLimits {
    /// Fewest usable photos that an archive needs, and most photos that it may be given.
    pub photos: RangeInclusive<usize>,
    /// Largest file of one photo, in bytes.
    pub bytes: usize,
    /// Largest width and height of one photo, in pixels.
    pub side: u32,
    /// Most pixels of one photo: width times height.
    pub pixels: u64,
}

impl Default for PhotoLimits {
    /// The values of `config/default.toml`.
    fn default() -> Self {
        Self {
            photos: 10..=20,
            bytes: 20_000_000,
            side: 12_000,
            // Phones with "50 megapixels" make up to 8192×6144, which is 50.33 million.
            pixels: 51_000_000,
        }
    }
}

/// The result of a fetch.
#[derive(Debug)]
pub enum Fetched {
    /// The photo's file.
    Photo(Bytes),
    /// The store knows without reading the file that the photo cannot be used.
    Refused(PhotoProblem),
}

/// A finished archive, not uploaded yet.
#[derive(Debug)]
pub struct Archive {
    /// The ZIP, rewound. It has no name, so it vanishes when it is closed.
    pub file: std::fs::File,
    /// Length of the file in bytes.
    pub length: u64,
    /// SHA-256 of the whole file.
    pub sha256: [u8; 32],
    /// The photos in the archive, in its order.
    pub accepted: Vec<AcceptedPhoto>,
    /// The photos left out, by number and problem, in the order given.
    pub rejected: Vec<(usize, PhotoProblem)>,
}

impl Archive {
    /// `photos-<first 16 hex digits of the hash>.zip`: the same photos get the same name.
    pub fn file_name(&self) -> String {
        format!("photos-{}.zip", hex::encode(&self.sha256[..8]))
    }
}

/// A picture that decodes, as an upright JPEG.
#[derive(Debug, Clone)]
pub struct CheckedJpeg {
    /// The file.
    pub file: Bytes,
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
}

/// A photo that is in the archive, and in what form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedPhoto {
    /// Its number in the caller's order.
    pub photo: usize,
    /// Its file name in the ZIP.
    pub name: String,
    /// In pixels, upright.
    pub width: u32,
    /// In pixels, upright.
    pub height: u32,
    /// Whether its pixels are the user's own bytes; otherwise they were encoded anew.
    pub passed_through: bool,
}

/// Why no archive was built. `E` is the error type of `fetch`.
#[derive(Debug, thiserror::Error)]
pub enum BuildError<E> {
    /// More photos than [`PhotoLimits::photos`]. Permanent.
    #[error("{given} photos were given, {limit} are allowed")]
    TooMany {
        /// How many photos the caller has.
        given: usize,
        /// Most photos that [`PhotoLimits::photos`] allows.
        limit: usize,
    },
    /// Too few photos are usable. Permanent; the user is told each one's problem.
    #[error("{accepted} photos are usable, at least {needed} are needed")]
    TooFew {
        /// How many photos are usable.
        accepted: usize,
        /// Fewest photos that [`PhotoLimits::photos`] asks for.
        needed: usize,
        /// The other photos, by number and problem, in the order given.
        rejected: Vec<(usize, PhotoProblem)>,
    },
    /// A photo could not be fetched. As transient as `source` is.
    #[error("photo {photo} could not be fetched")]
    Fetch {
        /// Its number in the caller's order.
        photo: usize,
        /// The error that `fetch` returned.
        source: E,
    },
    /// The temporary file could not be written. Transient: free space in the temporary directory.
    #[error(
        "the archive's temporary file could not be written: {0}; TMPDIR says where it is, and needs room"
    )]
    Io(#[from] io::Error),
    /// The caller's token was cancelled, or the runtime is shutting down.
    #[error("building the archive was cancelled")]
    Cancelled,
}

/// The memory and threads that one process spends on photos. Clones share it: a worker has one for all archives.
#[derive(Debug, Clone)]
pub struct Workbench {
    /// One permit per [`MEMORY_UNIT`].
    memory: Arc<Semaphore>,
    budget: u32,
    crew: Arc<Crew>,
    parallel: usize,
}

const MEMORY_UNIT: usize = 1024 * 1024;

impl Workbench {
    /// In bytes: room for two turned 12-megapixel photos at a time, or one progressive one. Keeps a
    /// worker under 150 MB (`benches/archive`).
    pub const DEFAULT_MEMORY: usize = 104 * MEMORY_UNIT;

    /// `memory`: how many bytes decoding may use at a time. A photo that needs more than all of
    /// them is decoded alone. `parallel`: how many photos are decoded at a time, one thread each.
    /// Fails if the threads cannot be started.
    pub fn new(memory: usize, parallel: usize) -> io::Result<Self> {
        let budget = u32::try_from(memory / MEMORY_UNIT)
            .unwrap_or(u32::MAX >> 3)
            .max(1);
        let parallel = parallel.max(1);
        let memory = Arc::new(Semaphore::new(budget as usize));
        Ok(Self {
            memory,
            budget,
            crew: Arc::new(Crew::start(parallel)?),
            parallel,
        })
    }

    /// Builds the archive of `photos` photos. `fetch` is called with the number of each when its turn is near.
    ///
    /// Decoding runs on its own threads, file work on the runtime's blocking threads. Both check `cancel` between two
    /// photos, also when the returned future is dropped: then at most `parallel` photos are finished in vain.
    pub async fn build<F, Fut, E>(
        &self,
        photos: usize,
        fetch: F,
        limits: &PhotoLimits,
        cancel: &CancellationToken,
    ) -> Result<Archive, BuildError<E>>
    where
        F: Fn(usize) -> Fut,
        Fut: Future<Output = Result<Fetched, E>>,
    {
        let (needed, limit) = (*limits.photos.start(), *limits.photos.end());
        if photos > limit {
            return Err(BuildError::TooMany { given: photos, limit });
        }
        let ours = cancel.child_token();
        let _raised_on_drop = ours.clone().drop_guard();
        let building = self.build_until_cancelled(photos, fetch, limits, &ours);
        let archive = cancel
            .run_until_cancelled(building)
            .await
            .unwrap_or(Err(BuildError::Cancelled))?;
        if archive.accepted.len() < needed {
            let (accepted, rejected) = (archive.accepted.len(), archive.rejected);
            return Err(BuildError::TooFew {
                accepted,
                needed,
                rejected,
            });
        }
        Ok(archive)
    }

    /// Verifies one picture to its last block, and returns it as an upright JPEG without metadata, in the memory and on the
    /// threads of the archives.
    ///
    /// # Errors
    /// [`BuildError::Cancelled`]; the inner error says why it is no usable picture.
    pub async fn jpeg<E>(
        &self,
        file: Bytes,
        limits: &PhotoLimits,
        cancel: &CancellationToken,
    ) -> Result<Result<CheckedJpeg, PhotoProblem>, BuildError<E>> {
        let prepared = self.prepare::<E>(Fetched::Photo(file), limits, cancel).await?;
        Ok(prepared.map(|prepared| CheckedJpeg {
            file: prepared.parts.concat().into(),
            width: prepared.width,
            height: prepared.height,
        }))
    }

    async fn build_until_cancelled<F, Fut, E>(
        &self,
        photos: usize,
        fetch: F,
        limits: &PhotoLimits,
        cancel: &CancellationToken,
    ) -> Result<Archive, BuildError<E>>
    where
        F: Fn(usize) -> Fut,
        Fut: Future<Output = Result<Fetched, E>>,
    {
        let fetch = &fetch;
        // One photo more than there are threads is under way, so that no thread waits for a fetch.
        let mut outcomes = stream::iter(0..photos)
            .map(|photo| async move {
                let fetched = fetch(photo)
                    .await
                    .map_err(|source| BuildError::Fetch { photo, source })?;
                Ok::<_, BuildError<E>>((photo, self.prepare::<E>(fetched, limits, cancel).await?))
            })
            .buffered(self.parallel + 1);
        let mut zip = blocking::<_, E>(ZipFile::create).await??;
        let (mut accepted, mut rejected) = (Vec::new(), Vec::new());
        while let Some(outcome) = outcomes.next().await {
            match outcome? {
                (
                    photo,
                    Ok(Prepared {
                        parts,
                        width,
                        height,
                        passed_through,
                    }),
                ) => {
                    let appended =
                        blocking::<_, E>(move || zip.append(&parts).map(|name| (name, zip))).await?;
                    let (name, returned) = appended?;
                    zip = returned;
                    accepted.push(AcceptedPhoto {
                        photo,
                        name,
                        width,
                        height,
                        passed_through,
                    });
                }
                (photo, Err(problem)) => rejected.push((photo, problem)),
            }
        }
        let Finished { file, length, sha256 } = blocking::<_, E>(|| zip.finish()).await??;
        Ok(Archive {
            file,
            length,
            sha256,
            accepted,
            rejected,
        })
    }

    /// Plans the work from the header, waits for memory and a thread, and runs it there. The memory belongs to the
    /// thread: it stays taken if this future is dropped.
    async fn prepare<E>(
        &self,
        fetched: Fetched,
        limits: &PhotoLimits,
        cancel: &CancellationToken,
    ) -> Result<Result<Prepared, PhotoProblem>, BuildError<E>> {
        let plan = match fetched {
            Fetched::Photo(file) => Plan::of(file, limits),
            Fetched::Refused(problem) => Err(problem),
        };
        let mut plan = match plan {
            Ok(plan) => plan,
            Err(problem) => return Ok(Err(problem)),
        };
        loop {
            match self.run(plan, cancel).await? {
                Ok(PlanOutcome::Done(prepared)) => return Ok(Ok(prepared)),
                Ok(PlanOutcome::Again(larger)) => plan = larger,
                Err(problem) => return Ok(Err(problem)),
            }
        }
    }

    async fn run<E>(
        &self,
        plan: Plan,
        cancel: &CancellationToken,
    ) -> Result<Result<PlanOutcome, PhotoProblem>, BuildError<E>> {
        let memory = plan.memory();
        self.on_a_thread(memory, move |samples| plan.run(samples), cancel)
            .await
            .ok_or(BuildError::Cancelled)
    }

    /// Decodes a photo and measures what it shows. `None`: `cancel` was called, or the runtime is shutting down.
    pub async fn look(
        &self,
        file: Bytes,
        limits: &PhotoLimits,
        cancel: &CancellationToken,
    ) -> Option<Result<Appearance, PhotoProblem>> {
        let viewing = match Viewing::of(file, limits) {
            Ok(viewing) => viewing,
            Err(problem) => return Some(Err(problem)),
        };
        let memory = viewing.memory();
        let looking = self.on_a_thread(memory, move |samples| viewing.run(samples), cancel);
        cancel.run_until_cancelled(looking).await.flatten()
    }

    /// Waits for `bytes` of memory and a thread, and does the work there. `None`: `cancel` was called before, or the
    /// runtime is shutting down.
    async fn on_a_thread<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce(&mut Vec<u8>) -> Result<T, PhotoProblem> + Send + 'static,
        cancel: &CancellationToken,
    ) -> Option<Result<T, PhotoProblem>> {
        let weight = u32::try_from(bytes.div_ceil(MEMORY_UNIT))
            .unwrap_or(u32::MAX)
            .min(self.budget);
        let size = if weight as usize * self.parallel > self.budget as usize {
            WorkSize::Large
        } else {
            WorkSize::Small
        };
        let memory = self.memory.clone().acquire_many_owned(weight).await.ok()?;
        let cancel = cancel.clone();
        let work = move |samples: &mut Vec<u8>| {
            let _memory = memory;
            (!cancel.is_cancelled()).then(|| work(samples))
        };
        // A photo whose decoder panics is to blame; retrying the job until it is dead would not help.
        let gave_up = || Some(Err(PhotoProblem::damaged("its decoder gave up")));
        self.crew.run(size, work).await.unwrap_or_else(gave_up)
    }
}

/// Whether an archive could be written now: writes a small file to the temporary directory.
pub async fn probe_disk() -> io::Result<()> {
    spawn_blocking(zip::probe).await.map_err(io::Error::other)?
}

/// Runs file work off the async threads. It fails only if the runtime is shutting down.
async fn blocking<T: Send + 'static, E>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, BuildError<E>> {
    spawn_blocking(work).await.map_err(|_| BuildError::Cancelled)
}
