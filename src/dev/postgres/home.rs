//! The directory of a private cluster, and how it is removed.
//!
//! ```text
//! aisha-XXXXXX/   0700, owned by the server's user
//!   lock          flock held by the process that uses the cluster: held = in use, free = orphaned
//!   temporary     present if the data are removed at the end
//!   data/         the data directory that initdb made
//!   socket/       where clients connect; in /tmp instead when this path is too long for a socket
//!   postgres.log
//! ```
//! The kernel frees the lock however its holder dies, so a free lock always means an orphan. Two parties look
//! for orphans: the sweeper, a child that blocks on the lock of one home ([`sweep_when_orphaned`]), and each
//! later start ([`sweep`]), in case the sweeper was killed too.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use super::binaries::ServerBinaries;
use super::{Durability, PostgresError, STOP_PATIENCE, USER};
use crate::dev::parent::Identity;

/// The parent of temporary clusters. Unlike `/tmp` it is on a disk on every system, and any user may enter
/// it.
const TEMPORARY_PARENT: &str = "/var/tmp";
/// The parent of those that never flush, where there is room: in memory. A test copies a database of 600 files and drops
/// it again, and ext4 looks for each new file's inode among those deleted in the last minute: a quarter of the suite's
/// CPU time.
const PARENT_IN_MEMORY: &str = "/dev/shm";
/// Free space and free memory that the parent in memory needs. The suite uses about 0.7 GB.
const ROOM: u64 = 4 << 30;
const PREFIX: &str = "aisha-";
const SOCKET_NAME: &str = ".s.PGSQL.5432";
/// The shortest `sun_path` of the systems we support (macOS), without its terminator.
const LONGEST_SOCKET_PATH: usize = 103;
/// A younger directory without a lock file is just being made by another process.
const BEING_MADE: Duration = Duration::from_mins(10);

/// glibc's own UTF-8 locale sorts by code point and needs no locale package; macOS has none with that name.
const LOCALE: &str = if cfg!(target_os = "macos") {
    "en_US.UTF-8"
} else {
    "C.UTF-8"
};

/// The directory of a cluster, locked by us.
#[derive(Debug)]
pub(super) struct Home {
    path: PathBuf,
    socket_dir: PathBuf,
    temporary: bool,
    _lock: File,
}

impl Home {
    /// Makes a new directory, which is removed when this value is dropped.
    pub(super) fn temporary(
        identity: Option<Identity>,
        durability: Durability,
    ) -> Result<Self, PostgresError> {
        let parent = match durability {
            Durability::Fast if memory_has_room() => PARENT_IN_MEMORY,
            Durability::Fast | Durability::Durable => TEMPORARY_PARENT,
        };
        let path = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempdir_in(parent)
            .map_err(PostgresError::io(format!("making a directory in {parent}")))?
            .keep();
        File::create(path.join("temporary"))
            .map_err(PostgresError::io(format!("writing to {}", path.display())))?;
        // Locked before the file gets its final name, so that a sweep at this moment cannot find it free.
        let unnamed = path.join("lock.new");
        let lock = File::create(&unnamed)
            .and_then(|file| file.try_lock().map_err(std::io::Error::from).map(|()| file))
            .and_then(|file| std::fs::rename(&unnamed, path.join("lock")).map(|()| file))
            .map_err(PostgresError::io(format!("locking {}", path.display())))?;
        Self::lay_out(path, true, lock, identity)
    }

    /// Opens a directory that stays. Refused while another process uses it; a server that an earlier owner
    /// left is stopped.
    pub(super) fn kept(path: &Path, identity: Option<Identity>) -> Result<Self, PostgresError> {
        make_directory(path)?;
        let path = path
            .canonicalize()
            .map_err(PostgresError::io(format!("finding {}", path.display())))?;
        let lock = lock_kept(&path)?;
        stop_stray_server(&path, &[Signal::INT, Signal::QUIT]);
        Self::lay_out(path, false, lock, identity)
    }

    fn lay_out(
        path: PathBuf,
        temporary: bool,
        lock: File,
        identity: Option<Identity>,
    ) -> Result<Self, PostgresError> {
        let socket_dir = socket_dir(&path);
        make_directory(&socket_dir)?;
        if let Some(identity) = identity {
            give(&path, identity)?;
            give(&socket_dir, identity)?;
        }
        Ok(Self {
            path,
            socket_dir,
            temporary,
            _lock: lock,
        })
    }

    /// Runs initdb unless there are data. It works in another directory and renames it, so that an incomplete
    /// one is never used.
    pub(super) fn initialise(
        &self,
        binaries: &ServerBinaries,
        identity: Option<Identity>,
        durability: Durability,
    ) -> Result<(), PostgresError> {
        if let Ok(version) = std::fs::read_to_string(self.data().join("PG_VERSION")) {
            let found = version.trim().to_owned();
            return if found == binaries.major.to_string() {
                Ok(())
            } else {
                Err(PostgresError::OtherVersion {
                    directory: self.data(),
                    found,
                    server: binaries.major,
                })
            };
        }
        let unfinished = self.path.join("data.new");
        remove(&unfinished);
        let mut initdb = Command::new(binaries.program("initdb"));
        initdb.arg("-D").arg(&unfinished).args([
            "-U",
            USER,
            "--auth=trust",
            "--encoding=UTF8",
            "--no-instructions",
        ]);
        initdb.arg(format!("--locale={LOCALE}"));
        if durability == Durability::Fast {
            initdb.arg("--no-sync");
        }
        if let Some(identity) = identity {
            initdb.uid(identity.uid).gid(identity.gid);
        }
        self.prepare(&mut initdb);
        let output = initdb
            .stdin(Stdio::null())
            .output()
            .map_err(PostgresError::io("running initdb"))?;
        if !output.status.success() {
            return Err(PostgresError::Initdb(
                String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            ));
        }
        std::fs::rename(&unfinished, self.data()).map_err(PostgresError::io("naming the new data directory"))
    }

    /// Gives a server program a clean environment (variables such as PGPORT change what it does) and a
    /// working directory that its user may enter. Without `LC_ALL` the server refuses to start on macOS.
    pub(super) fn prepare(&self, command: &mut Command) {
        command
            .env_clear()
            .env("LC_ALL", LOCALE)
            .env("PATH", "/usr/bin:/bin")
            .current_dir(&self.path);
    }

    /// The path of the directory.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The server's data directory.
    pub(super) fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    /// The directory of the socket: inside, or in /tmp.
    pub(super) fn socket_dir(&self) -> &Path {
        &self.socket_dir
    }

    /// The path of the socket.
    pub(super) fn socket(&self) -> PathBuf {
        self.socket_dir.join(SOCKET_NAME)
    }

    /// The file that the server logs to.
    pub(super) fn log(&self) -> PathBuf {
        self.path.join("postgres.log")
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if self.temporary {
            remove(&self.path);
        }
    }
}

/// Whether a cluster fits into memory: its files count as used memory, and the file system may be smaller than that.
fn memory_has_room() -> bool {
    let free_space = rustix::fs::statvfs(PARENT_IN_MEMORY).map_or(0, |file_system| {
        file_system.f_bavail.saturating_mul(file_system.f_frsize)
    });
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let available: u64 = memory
        .lines()
        .find_map(|line| {
            line.strip_prefix("MemAvailable:")?
                .trim()
                .strip_suffix(" kB")?
                .parse()
                .ok()
        })
        .unwrap_or(0);
    free_space >= ROOM && available.saturating_mul(1024) >= ROOM
}

/// Takes the lock of a kept home. The owner writes its pid into the lock file. While that process lives, the
/// home is in use. If it is dead, a sweeper holds the lock to stop the server that was left, and frees it
/// soon.
fn lock_kept(home: &Path) -> Result<File, PostgresError> {
    let failed = || PostgresError::io(format!("locking {}", home.display()));
    let path = home.join("lock");
    let mut lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&path)
        .map_err(failed())?;
    let deadline = Instant::now() + 3 * STOP_PATIENCE;
    loop {
        match lock.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if Instant::now() < deadline && !owner_lives(&path) => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(TryLockError::WouldBlock) => {
                let directory = home.to_owned();
                return Err(PostgresError::InUse { directory });
            }
            Err(TryLockError::Error(error)) => return Err(failed()(error)),
        }
    }
    lock.set_len(0).map_err(failed())?;
    lock.write_all(std::process::id().to_string().as_bytes())
        .map_err(failed())?;
    Ok(lock)
}

/// Without a pid in the file, the owner has only just taken the lock.
fn owner_lives(lock: &Path) -> bool {
    let text = std::fs::read_to_string(lock).unwrap_or_default();
    let pid = text.trim().parse().ok().and_then(Pid::from_raw);
    pid.is_none_or(|pid| test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

/// Implements [`super::kept_directory`].
pub(super) fn kept_directory(home: &Path) -> PathBuf {
    if rustix::process::geteuid().is_root() {
        Path::new(TEMPORARY_PARENT).join(format!("{PREFIX}dev-{}", digest(home)))
    } else {
        home.join("postgres")
    }
}

/// Implements [`super::forget`].
pub(super) fn forget(directory: &Path) -> Result<bool, PostgresError> {
    if !directory.exists() {
        return Ok(false);
    }
    let home = Home::kept(directory, None)?;
    remove(&home.socket_dir);
    std::fs::remove_dir_all(&home.path)
        .map_err(PostgresError::io(format!("removing {}", home.path.display())))?;
    Ok(true)
}

/// Removes temporary clusters that killed processes left. We can lock only those of our own user, so only
/// they are removed.
pub(super) fn sweep() {
    let parents = [TEMPORARY_PARENT, PARENT_IN_MEMORY].map(|parent| Path::new(parent).read_dir());
    for entry in parents.into_iter().flatten().flatten().flatten() {
        if !entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(PREFIX.as_bytes())
        {
            continue;
        }
        let home = entry.path();
        if let Ok(lock) = File::open(home.join("lock")) {
            if lock.try_lock().is_ok() {
                clean_up(&home);
            }
        } else if home.join("temporary").exists() && older_than(&home, BEING_MADE) {
            remove(&home);
        }
    }
}

/// The hidden command `internal sweep-cluster`: sleeps in the kernel until the owner of `home` is dead, then
/// stops a server that outlived it (macOS has no parent-death signal) and removes a temporary directory.
pub fn sweep_when_orphaned(home: &Path) -> ExitCode {
    if let Ok(lock) = File::open(home.join("lock"))
        && lock.lock().is_ok()
    {
        clean_up(home);
    }
    ExitCode::SUCCESS
}

/// Stops the server that was left in `home` and removes a temporary directory. The caller must hold the lock
/// of `home`.
fn clean_up(home: &Path) {
    if home.join("temporary").exists() {
        stop_stray_server(home, &[Signal::QUIT]);
        remove(home);
    } else {
        stop_stray_server(home, &[Signal::INT, Signal::QUIT]);
    }
}

/// Sends one signal after the other to the server that runs in `home`, waiting after each.
fn stop_stray_server(home: &Path, signals: &[Signal]) {
    for signal in signals {
        let Some(pid) = stray_server(home) else { return };
        // The server may have ended by itself; then there is no process to signal.
        let _ = kill_process(pid, *signal);
        let deadline = Instant::now() + STOP_PATIENCE;
        while stray_server(home).is_some() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The postmaster of `home`, if it lives. Its pid file may be that of a dead server whose pid another process
/// has by now. So a live postmaster is recognised by its working directory or, without /proc, by its socket.
fn stray_server(home: &Path) -> Option<Pid> {
    let data = home.join("data");
    let text = std::fs::read_to_string(data.join("postmaster.pid")).ok()?;
    let pid = Pid::from_raw(text.lines().next()?.trim().parse().ok()?)?;
    let ours = if cfg!(target_os = "linux") {
        std::fs::read_link(format!("/proc/{}/cwd", pid.as_raw_nonzero())).is_ok_and(|cwd| cwd == data)
    } else {
        test_kill_process(pid).is_ok() && UnixStream::connect(socket_dir(home).join(SOCKET_NAME)).is_ok()
    };
    ours.then_some(pid)
}

/// The socket's directory: inside the home, or a short path derived from it if the socket's address would be
/// too long.
fn socket_dir(home: &Path) -> PathBuf {
    let inside = home.join("socket");
    if inside.join(SOCKET_NAME).as_os_str().len() <= LONGEST_SOCKET_PATH {
        inside
    } else {
        Path::new("/tmp").join(format!("{PREFIX}socket-{}", digest(home)))
    }
}

/// A short name for a path, always the same for the same path.
fn digest(path: &Path) -> String {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

fn older_than(path: &Path, age: Duration) -> bool {
    let modified = path.metadata().and_then(|metadata| metadata.modified());
    modified.is_ok_and(|at| at.elapsed().is_ok_and(|elapsed| elapsed > age))
}

fn make_directory(path: &Path) -> Result<(), PostgresError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(PostgresError::io(format!(
        "making the directory {}",
        path.display()
    )))
}

fn give(path: &Path, to: Identity) -> Result<(), PostgresError> {
    std::os::unix::fs::chown(path, Some(to.uid), Some(to.gid)).map_err(PostgresError::io(format!(
        "giving {} to the server's user",
        path.display()
    )))
}

/// Removes the directory. If that fails now, a later start removes it.
fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_dir_all(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "A private cluster's directory could not be removed");
    }
}
