//! A private Postgres cluster, started from the server binaries that are installed on the machine.
//!
//! It listens on a Unix socket only, so it clashes with no other server and needs no password. Promises:
//! * the server ends when this process ends, however it ends ([`super::parent`]) - proven by `a_killed_parent_takes_its_postgres_with_it`;
//! * a temporary cluster leaves no file behind: a second child of ours, the sweeper, waits for our death and removes
//!   the directory ([`home`]); should both be killed, the next start sweeps - proven by `a_start_sweeps_what_a_killed_run_left`;
//! * Ctrl-C reaches only us: the server has a process group of its own, and we stop it in our own order.
//!
//! Everything here blocks: call it outside async code, or through `tokio::task::spawn_blocking`.
//!
//! Read next: [`binaries`] (where a server is looked for), [`home`] (directories), [`server`] (the process).

mod binaries;
mod home;
mod identity;
mod server;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;

pub use binaries::{INSTALL_HINT, ServerBinaries};
pub use home::sweep_when_orphaned;

use crate::dev::parent::Identity;
use home::Home;
use server::Server;

/// The superuser of every private cluster; there is no password.
pub const USER: &str = "aisha";

/// How long a stop waits before it sends the next, harsher signal.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// Whether the data outlive the process, and where.
#[derive(Clone, Debug)]
pub enum KeptData {
    /// In a new directory, removed at the end: under `/var/tmp`, or in memory if nothing is flushed and there is room.
    Nothing,
    /// In this directory, created on first use and reused later. If we are root, an ordinary user must be
    /// able to reach it: [`kept_directory`] chooses such a directory.
    Directory(PathBuf),
}

/// How much a crash of the machine may lose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Every commit reaches the disk, as in production.
    Durable,
    /// Nothing is flushed: for tests that never cut the power. Surviving a killed *server process* still holds.
    Fast,
}

/// How to start a [`PrivateCluster`].
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    /// The `aisha` binary, re-executed to launch and to sweep; normally [`std::env::current_exe`].
    pub aisha: PathBuf,
    /// Where `postgres` and `initdb` are (`PG_BIN_DIR`); `None` looks in the usual places.
    pub bin_dir: Option<PathBuf>,
    /// Whether and where the data are kept.
    pub keep: KeptData,
    /// How much a crash of the machine may lose.
    pub durability: Durability,
}

impl ClusterOptions {
    /// A temporary cluster that flushes as in production: for the demo and for crash tests.
    pub fn durable(aisha: impl Into<PathBuf>) -> Self {
        Self {
            aisha: aisha.into(),
            bin_dir: None,
            keep: KeptData::Nothing,
            durability: Durability::Durable,
        }
    }

    /// A temporary cluster that never flushes: for tests.
    pub fn fast(aisha: impl Into<PathBuf>) -> Self {
        Self {
            durability: Durability::Fast,
            ..Self::durable(aisha)
        }
    }
}

/// The directory of the cluster that belongs to `home`: inside it, or for root under `/var/tmp`, because the
/// user that the server drops to cannot enter root's directories.
pub fn kept_directory(home: &Path) -> PathBuf {
    home::kept_directory(home)
}

/// Removes a kept cluster with all its rows; returns whether there was one. Refused while another process
/// uses it.
pub fn forget(directory: &Path) -> Result<bool, PostgresError> {
    home::forget(directory)
}

/// Why a private cluster cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// There are no server binaries, or only old ones.
    #[error("PostgreSQL 15 or newer is needed and was not found ({looked}). {INSTALL_HINT}")]
    NotFound {
        /// The places that were searched, and what was found there.
        looked: String,
    },
    /// Another major version wrote the kept data.
    #[error(
        "{} holds data of PostgreSQL {found}, and the server found is version {server}: \
         remove that directory, or set PG_BIN_DIR to the binaries of version {found}",
        directory.display()
    )]
    OtherVersion {
        /// The data directory.
        directory: PathBuf,
        /// Major version of the data.
        found: String,
        /// Major version of the server.
        server: u32,
    },
    /// Another process runs a cluster in the kept directory.
    #[error("{} is in use by another process: stop that one, or use another directory", directory.display())]
    InUse {
        /// The cluster's directory.
        directory: PathBuf,
    },
    /// We are root, which PostgreSQL refuses, and there is no user to drop to.
    #[error(
        "PostgreSQL refuses to run as root, and /etc/passwd names neither `postgres` nor `nobody`: run as an ordinary user"
    )]
    NoUser,
    /// `initdb` failed, with this output.
    #[error("initdb failed: {0}")]
    Initdb(String),
    /// The server ended during its start, or never became ready.
    #[error("PostgreSQL did not start ({reason}); its log ends with:\n{log}")]
    NotReady {
        /// How the start failed.
        reason: String,
        /// The last lines of the server's log.
        log: String,
    },
    /// A file or a process could not be handled.
    #[error("{doing}: {source}")]
    Io {
        /// The action that failed.
        doing: String,
        /// The operating system's error.
        source: std::io::Error,
    },
}

impl PostgresError {
    /// For `map_err`: adds the action that failed.
    fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}

/// A private server that runs. Dropping it stops it.
#[derive(Debug)]
pub struct PrivateCluster {
    binaries: ServerBinaries,
    identity: Option<Identity>,
    options: ClusterOptions,
    // Declared before `home`: fields are dropped in order, so the server ends before its directory is
    // removed.
    server: Option<Server>,
    home: Home,
}

impl PrivateCluster {
    /// Finds a server, creates the data directory if missing, starts, and returns once connections are
    /// accepted. Takes about a second the first time, under a tenth of a second with kept data.
    pub fn start(options: ClusterOptions) -> Result<Self, PostgresError> {
        let binaries = binaries::find(options.bin_dir.as_deref())?;
        let identity = identity::to_drop_to()?;
        home::sweep();
        let home = match &options.keep {
            KeptData::Nothing => Home::temporary(identity, options.durability)?,
            KeptData::Directory(directory) => Home::kept(directory, identity)?,
        };
        home.initialise(&binaries, identity, options.durability)?;
        let mut cluster = Self {
            binaries,
            identity,
            options,
            server: None,
            home,
        };
        cluster.start_again()?;
        Ok(cluster)
    }

    /// Starts the server on the same data and socket after [`Self::stop_immediate`]; returns once recovery is
    /// over. Does nothing if it runs.
    pub fn start_again(&mut self) -> Result<(), PostgresError> {
        if self.server.is_none() {
            self.server = Some(Server::start(
                &self.options.aisha,
                &self.binaries,
                self.identity,
                &self.home,
                &server_arguments(&self.home, self.options.durability),
            )?);
        }
        Ok(())
    }

    /// Stops as a crash would: no checkpoint, sessions cut (SIGQUIT). The data stay for
    /// [`Self::start_again`].
    pub fn stop_immediate(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop(&[Signal::QUIT, Signal::KILL], STOP_PATIENCE);
        }
    }

    /// Stops in order (SIGINT, then SIGQUIT after 10 s) and removes the directory of a temporary cluster.
    pub fn stop(self) {
        drop(self);
    }

    /// The URL of `database` in the form that libpq and sqlx read.
    pub fn url(&self, database: &str) -> String {
        let host: String =
            url::form_urlencoded::byte_serialize(self.socket_dir().as_os_str().as_encoded_bytes()).collect();
        format!("postgres://{USER}@localhost/{database}?host={host}&port=5432")
    }

    /// The directory of the Unix socket, which libpq calls `host`.
    pub fn socket_dir(&self) -> &Path {
        self.home.socket_dir()
    }

    /// The file that the server writes its log to.
    pub fn log(&self) -> PathBuf {
        self.home.log()
    }

    /// The server's process id while it runs; tests signal it.
    pub fn pid(&self) -> Option<u32> {
        self.server
            .as_ref()
            .map(|server| server.pid().as_raw_nonzero().get().unsigned_abs())
    }
}

impl Drop for PrivateCluster {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop(&[Signal::INT, Signal::QUIT, Signal::KILL], STOP_PATIENCE);
        }
    }
}

/// The server's command line. It holds the whole configuration; `postgresql.conf` stays as initdb wrote it.
fn server_arguments(home: &Home, durability: Durability) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec![
        "-D".into(),
        home.data().into(),
        "-k".into(),
        home.socket_dir().into(),
    ];
    let common = [
        "listen_addresses=",
        "port=5432",
        "unix_socket_permissions=0700",
        "max_connections=300",
        "timezone=UTC",
    ];
    let fast = [
        "fsync=off",
        "synchronous_commit=off",
        "full_page_writes=off",
        "wal_level=minimal",
        "max_wal_senders=0",
        // It may be memory that the log takes.
        "max_wal_size=256MB",
    ];
    let fast = if durability == Durability::Fast {
        &fast[..]
    } else {
        &[]
    };
    for setting in common.iter().chain(fast) {
        arguments.extend(["-c".into(), setting.into()]);
    }
    arguments
}
