//! Photos in, one training archive out. No queue, no database and no bucket: the caller fetches, and keeps what is built.
//!
//! [`Workbench::build`] fetches the photos in order, verifies each to its last block, passes through what
//! is already an upright 8-bit colour JPEG (without its metadata), turns everything else into one, and
//! stores the results in a ZIP. A photo that cannot be used is left out and named with its
//! [`PhotoProblem`]. A photo is known by its number, from 0, in the order in which the caller has them.
//!
//! # Must stay true
//! * The same photos make the same bytes, so that the hash can name the upload —
//!   `tests::the_same_photos_make_the_same_archive`
//! * What is passed through decodes to the same pixels — `tests::a_passed_through_photo_keeps_its_pixels`
//! * No metadata of the user's camera leaves — `tests::no_metadata_reaches_the_archive`
//! * Decoding is bounded by bytes, for all archives of the process together —
//!   `tests::decoding_waits_for_memory`
//! * Nobody gets memory by what a header claims —
//!   `inspect::tests::every_problem_that_a_header_tells_has_its_code`
//! * No bytes make it panic — `jpeg::tests::no_mutation_of_a_jpeg_panics_the_walker`; should another crate's
//!   decoder do so, it costs that photo only — `crew::tests::a_panic_costs_its_own_photo_only`
//!
//! # If we die
//! Nothing is left: the archive is a file without a name until it is uploaded.
//!
//! Read next: `prepare.rs` (one photo), `jpeg.rs` (what stays of a file), `jpeg/verify.rs`, `reencode.rs`.
//! Public because the benchmark beside Pillow (`benches/archive`) runs exactly this.

use std::{future::Future, io, ops::RangeInclusive, sync::Arc};

use bytes::Bytes;
use futures::{StreamExt, stream};
use tokio::{sync::Semaphore, task::spawn_blocking};
use tokio_util::sync::CancellationToken;

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

pub use inspect::{PhotoFormat, PhotoInfo, inspect};
pub use problem::{PhotoProblem, PixelLimit, megabytes};

use crew::{Crew, WorkSize};
use prepare::{Plan, PlanOutcome, Prepared};
use zip::{Finished, ZipFile};

/// Which photos are accepted (K20).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhotoLimits {
    /// Usable photos an archive needs, and photos it may be given.
    pub photos: RangeInclusive<usize>,
    /// Size of one photo's file.
    pub bytes: usize,
    /// Width and height of one photo, in pixels.
    pub side: u32,
    /// Width times height of one photo.
    pub pixels: u64,
}

impl Default for PhotoLimits {
    /// As `config/default.toml` has them.
    fn default() -> Self {
        Self {
            photos: 10..=20,
            bytes: 20_000_000,
            side: 12_000,
            // What phones call 50 megapixels is up to 8192×6144, which is 50.33 million.
            pixels: 51_000_000,
        }
    }
}

/// What a fetch brings.
#[derive(Debug)]
pub enum Fetched {
    /// The photo's file.
    Photo(Bytes),
    /// The store knows without reading it that the photo cannot be used.
    Refused(PhotoProblem),
}

/// A finished archive.
#[derive(Debug)]
pub struct Archive {
    /// Rewound, without a name: gone when it is closed.
    pub file: std::fs::File,
    /// Bytes.
    pub length: u64,
    /// Of the whole file.
    pub sha256: [u8; 32],
    /// In the archive's order.
    pub accepted: Vec<AcceptedPhoto>,
    /// In the order given.
    pub rejected: Vec<(usize, PhotoProblem)>,
}

impl Archive {
    /// `photos-<first 16 hex digits of the hash>.zip`: a rerun names the same upload.
    pub fn file_name(&self) -> String {
        format!("photos-{}.zip", hex::encode(&self.sha256[..8]))
    }
}

/// A photo that is in the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedPhoto {
    /// Its number.
    pub photo: usize,
    /// Its name in the ZIP.
    pub name: String,
    /// Pixels, upright.
    pub width: u32,
    /// Pixels, upright.
    pub height: u32,
    /// Whether its pixels are the user's own bytes; else they were encoded anew.
    pub passed_through: bool,
}

/// Why there is no archive. `E` is the fetch's error.
#[derive(Debug, thiserror::Error)]
pub enum BuildError<E> {
    /// More photos than [`PhotoLimits::photos`]. Permanent.
    #[error("{given} photos were given, {limit} are allowed")]
    TooMany {
        /// Photos given.
        given: usize,
        /// Photos allowed.
        limit: usize,
    },
    /// Too few photos are usable. Permanent; the user is told each one's problem.
    #[error("{accepted} photos are usable, at least {needed} are needed")]
    TooFew {
        /// Usable photos.
        accepted: usize,
        /// Photos needed.
        needed: usize,
        /// The others, in the order given.
        rejected: Vec<(usize, PhotoProblem)>,
    },
    /// A photo could not be fetched. As transient as `source` is.
    #[error("photo {photo} could not be fetched")]
    Fetch {
        /// Its number.
        photo: usize,
        /// Why.
        source: E,
    },
    /// The temporary file could not be written. Transient: free space in the temporary directory.
    #[error(
        "the archive's temporary file could not be written: {0}; TMPDIR says where it is, and needs room"
    )]
    Io(#[from] io::Error),
    /// The caller's flag was raised, or the runtime is shutting down.
    #[error("building the archive was cancelled")]
    Cancelled,
}

/// What one process spends on photos at a time. Clones share it: one for all archives of a worker.
#[derive(Debug, Clone)]
pub struct Workbench {
    /// One permit a [`MEMORY_UNIT`].
    memory: Arc<Semaphore>,
    budget: u32,
    crew: Arc<Crew>,
    parallel: usize,
}

const MEMORY_UNIT: usize = 1024 * 1024;

impl Workbench {
    /// Two turned 12-megapixel photos at a time, or one progressive one: keeps a worker under 150 MB
    /// (`benches/archive`). In bytes.
    pub const DEFAULT_MEMORY: usize = 104 * MEMORY_UNIT;

    /// `memory`: bytes that decoding may use at a time. A photo that needs more than all of it is decoded
    /// alone. `parallel`: photos decoded at a time, one thread each; fails when the threads cannot be
    /// started.
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

    /// Builds the archive of so many photos: `fetch` is asked for each by its number, when its turn is near.
    ///
    /// Decoding runs on threads of its own, file work on the runtime's blocking threads. Both look at
    /// `cancel` between two photos, also when the returned future is dropped: at most `parallel` photos are
    /// then finished in vain.
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
        // One photo more than cores is in hand, so that its fetch does not keep a core waiting.
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

    /// Decides by the header, waits for memory and a thread, and has the work done there. The memory is the
    /// thread's: it stays taken when this future is dropped.
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
        let weight = u32::try_from(plan.memory().div_ceil(MEMORY_UNIT))
            .unwrap_or(u32::MAX)
            .min(self.budget);
        let size = if weight as usize * self.parallel > self.budget as usize {
            WorkSize::Large
        } else {
            WorkSize::Small
        };
        let memory = self
            .memory
            .clone()
            .acquire_many_owned(weight)
            .await
            .map_err(|_| BuildError::Cancelled)?;
        let cancel = cancel.clone();
        let work = move |samples: &mut Vec<u8>| {
            let _memory = memory;
            if cancel.is_cancelled() {
                None
            } else {
                Some(plan.run(samples))
            }
        };
        match self.crew.run(size, work).await {
            Some(Some(outcome)) => Ok(outcome),
            Some(None) => Err(BuildError::Cancelled),
            // The photo's fault, and no reason to try the whole archive again until the job is dead.
            None => Ok(Err(PhotoProblem::damaged("its decoder gave up"))),
        }
    }
}

/// Whether archives could be written now: the temporary directory takes a small file.
pub async fn probe_disk() -> io::Result<()> {
    spawn_blocking(zip::probe).await.map_err(io::Error::other)?
}

/// Runs file work off the async threads; a failure to do so at all means that the runtime is going down.
async fn blocking<T: Send + 'static, E>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, BuildError<E>> {
    spawn_blocking(work).await.map_err(|_| BuildError::Cancelled)
}
