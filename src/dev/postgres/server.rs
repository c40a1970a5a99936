//! The server process of a private cluster. It is started through our own binary and ends when we do.
//!
//! [`parent::following`] ties a child to the *thread* that forked. So each server has a thread of its own
//! that starts it, waits for it, and lives exactly as long.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use super::PostgresError;
use super::binaries::ServerBinaries;
use super::home::Home;
use crate::dev::parent::{self, Identity, LastSignal};

/// A long start is one that must recover a large kept cluster after a crash.
const START_PATIENCE: Duration = Duration::from_mins(1);
const LOG_LINES_SHOWN: usize = 20;

/// A running postmaster, and the sweeper that cleans up if we are killed.
#[derive(Debug)]
pub(super) struct Server {
    pid: Pid,
    end: Arc<End>,
    sweeper: Child,
}

/// How the server ended; `None` while it runs. The reaping thread holds the mutex from before the pid becomes
/// free until it has stored the end. So a thread that holds the mutex and reads `None` may signal the pid.
#[derive(Debug, Default)]
struct End {
    status: Mutex<Option<ExitStatus>>,
    changed: Condvar,
}

impl End {
    fn status(&self) -> MutexGuard<'_, Option<ExitStatus>> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, patience: Duration) -> Option<ExitStatus> {
        let waited = self
            .changed
            .wait_timeout_while(self.status(), patience, |status| status.is_none());
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Server {
    /// Starts `postgres` with `arguments` and returns once it accepts connections.
    pub(super) fn start(
        aisha: &Path,
        binaries: &ServerBinaries,
        identity: Option<Identity>,
        home: &Home,
        arguments: &[OsString],
    ) -> Result<Self, PostgresError> {
        let log = OpenOptions::new().create(true).append(true).open(home.log());
        let log = log.map_err(PostgresError::io("opening the server's log"))?;
        let log_too = log
            .try_clone()
            .map_err(PostgresError::io("opening the server's log"))?;
        let mut postgres = parent::following(
            aisha,
            LastSignal::Interrupt,
            identity,
            &binaries.program("postgres"),
        );
        home.prepare(&mut postgres);
        postgres
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(log_too)
            .process_group(0);

        let mut sweeper = Command::new(aisha);
        sweeper
            .args(["internal", "sweep-cluster"])
            .arg(home.path())
            .current_dir("/")
            .env_clear();
        sweeper
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0);
        let sweeper = sweeper
            .spawn()
            .map_err(PostgresError::io(format!("running {}", aisha.display())))?;

        let end = Arc::new(End::default());
        let (born, birth) = mpsc::sync_channel(1);
        let noted = Arc::clone(&end);
        std::thread::Builder::new()
            .name("postgres".to_owned())
            .spawn(move || run_postgres(postgres, &born, &noted))
            .map_err(PostgresError::io("starting the server's thread"))?;
        let pid = birth
            .recv()
            .unwrap_or_else(|_| Err(std::io::Error::other("the server's thread ended")));
        let pid = pid.map_err(PostgresError::io(format!("running {}", aisha.display())))?;

        let server = Self { pid, end, sweeper };
        match server.wait_until_ready(home) {
            Ok(()) => Ok(server),
            Err(reason) => {
                server.stop(&[Signal::QUIT, Signal::KILL], Duration::from_secs(5));
                Err(PostgresError::NotReady {
                    reason,
                    log: last_lines(&home.log()),
                })
            }
        }
    }

    /// The postmaster's process id.
    pub(super) fn pid(&self) -> Pid {
        self.pid
    }

    /// Sends one signal after the other, waiting `patience` after each, until the server has ended.
    pub(super) fn stop(mut self, signals: &[Signal], patience: Duration) {
        for signal in signals {
            let status = self.end.status();
            if status.is_some() {
                break;
            }
            // Cannot fail: the pid is that of our own child, which is not reaped while we hold the mutex.
            let _ = kill_process(self.pid, *signal);
            drop(status);
            if self.end.wait(patience).is_some() {
                break;
            }
        }
        // The sweeper is no longer needed: our caller does its work now.
        let _ = self.sweeper.kill();
        let _ = self.sweeper.wait();
    }

    /// Waits until the pid file says ready and the socket accepts connections. The file must be this server's
    /// own.
    fn wait_until_ready(&self, home: &Home) -> Result<(), String> {
        let deadline = Instant::now() + START_PATIENCE;
        let pid_file = home.data().join("postmaster.pid");
        while Instant::now() < deadline {
            if let Some(status) = self.end.wait(Duration::from_millis(10)) {
                return Err(format!("it ended with {status}"));
            }
            let text = std::fs::read_to_string(&pid_file).unwrap_or_default();
            let mut lines = text.lines().map(str::trim);
            let ours = lines.next() == Some(self.pid.as_raw_nonzero().to_string().as_str());
            if ours && lines.nth(6) == Some("ready") && UnixStream::connect(home.socket()).is_ok() {
                return Ok(());
            }
        }
        Err(format!("not ready after {} s", START_PATIENCE.as_secs()))
    }
}

/// Runs in the server's thread: starts the server, sends its pid to `born`, and waits for its end.
fn run_postgres(mut postgres: Command, born: &mpsc::SyncSender<std::io::Result<Pid>>, end: &End) {
    let mut child = match postgres.spawn() {
        Ok(child) => child,
        Err(error) => {
            let _ = born.send(Err(error));
            return;
        }
    };
    let pid = Pid::from_child(&child);
    let _ = born.send(Ok(pid));
    // Waits without reaping: until `child.wait()`, under the mutex, no other process can get the pid.
    while waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)
        .is_err_and(|error| error == rustix::io::Errno::INTR)
    {}
    let mut status = end.status();
    *status = child.wait().ok();
    drop(status);
    end.changed.notify_all();
}

fn last_lines(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
}
