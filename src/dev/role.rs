//! One role as a process: our binary, re-executed with a controlled environment.
//!
//! Its output goes to a file and is watched line by line, so that a caller waits for a line instead of
//! sleeping. Dropping a role kills it, and so does our own death, even by SIGKILL (Linux only; [`parent`]
//! says which thread must live on: a runtime's worker threads do).

use std::{
    fs::File,
    io::Write as _,
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, BufReader},
    process::{Child, Command},
    sync::{mpsc, watch},
    task::JoinHandle,
    time::timeout,
};

use super::parent::{self, LastSignal};

/// The only variables that a role inherits from us. All others, tokens above all, stay out (K26).
const INHERITED: [&str; 4] = ["PATH", "HOME", "TMPDIR", "RUST_BACKTRACE"];
/// How long a role may take until it is ready.
const START_PATIENCE: Duration = Duration::from_secs(30);
/// How long a role may take to drain. If it needs more than `queue.grace`, that is a fault of its own.
const STOP_PATIENCE: Duration = Duration::from_secs(30);

/// Why a role does not run as it should.
#[derive(Debug, thiserror::Error)]
pub enum RoleError {
    /// The process could not be started.
    #[error("cannot start `aisha {role}`")]
    Start {
        /// The role's name, such as `worker`.
        role: String,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// The role ended, or was silent, before it printed an expected line.
    #[error("`aisha {role}` did not start (it never said {waited_for:?}); its last lines:\n{tail}")]
    Silent {
        /// The role's name, such as `worker`.
        role: String,
        /// The awaited part of a line.
        waited_for: String,
        /// The last lines that the role printed.
        tail: String,
    },
    /// The role ended with an error instead of succeeding.
    #[error("`aisha {role}` ended with {status}; its last lines:\n{tail}")]
    Failed {
        /// The role's name, such as `worker`.
        role: String,
        /// The exit status.
        status: ExitStatus,
        /// The last lines that the role printed.
        tail: String,
    },
}

/// A role that runs, with its output so far.
#[derive(Debug)]
pub struct RoleProcess {
    name: String,
    child: Child,
    lines: watch::Receiver<Vec<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl RoleProcess {
    /// Starts `aisha <arguments>`. Output is appended to the file `log`.
    pub fn start(
        aisha: &Path,
        arguments: &[&str],
        environment: &[(String, String)],
        log: &Path,
    ) -> Result<Self, RoleError> {
        let name = arguments.first().copied().unwrap_or_default().to_owned();
        let cannot = |source| RoleError::Start {
            role: name.clone(),
            source,
        };
        let file = File::options()
            .create(true)
            .append(true)
            .open(log)
            .map_err(cannot)?;
        let mut command = Command::from(parent::following(aisha, LastSignal::Kill, None, aisha));
        command
            .args(arguments)
            .env_clear()
            .envs(environment.iter().map(|(key, value)| (key, value)));
        for inherited in INHERITED {
            if let Some(value) = std::env::var_os(inherited) {
                command.env(inherited, value);
            }
        }
        // The role gets a process group of its own: Ctrl-C reaches only us, and we stop the roles in our
        // order.
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(cannot)?;
        let (heard, lines) = watch::channel(Vec::new());
        let (speak, hear) = mpsc::unbounded_channel();
        let mut readers = vec![tokio::spawn(keep(hear, heard, file))];
        if let Some(stdout) = child.stdout.take() {
            readers.push(tokio::spawn(read(stdout, speak.clone())));
        }
        if let Some(stderr) = child.stderr.take() {
            readers.push(tokio::spawn(read(stderr, speak)));
        }
        Ok(Self {
            name,
            child,
            lines,
            readers,
        })
    }

    /// Waits for the first line that contains `part`, and returns it.
    pub async fn says(&mut self, part: &str) -> Result<String, RoleError> {
        let said = self
            .lines
            .wait_for(|lines| lines.iter().any(|line| line.contains(part)));
        if let Ok(Ok(lines)) = timeout(START_PATIENCE, said).await
            && let Some(line) = lines.iter().find(|line| line.contains(part))
        {
            return Ok(line.clone());
        }
        Err(RoleError::Silent {
            role: self.name.clone(),
            waited_for: part.to_owned(),
            tail: self.tail(),
        })
    }

    /// Waits for the role to end with success.
    pub async fn succeeds(mut self) -> Result<(), RoleError> {
        let ended = self.child.wait().await;
        let status = ended.map_err(|source| RoleError::Start {
            role: self.name.clone(),
            source,
        })?;
        for reader in self.readers.drain(..) {
            // A reader that panicked has no more lines.
            drop(reader.await);
        }
        if status.success() {
            Ok(())
        } else {
            Err(RoleError::Failed {
                role: self.name.clone(),
                status,
                tail: self.tail(),
            })
        }
    }

    /// The process id while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Sends SIGKILL: the role gets no chance to clean up.
    pub async fn kill(&mut self) -> std::io::Result<()> {
        self.child.kill().await
    }

    /// SIGTERM, and SIGKILL if it does not drain in time.
    pub async fn stop(&mut self) {
        if let Some(pid) = self
            .child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(rustix::process::Pid::from_raw)
        {
            // The process may have ended by itself at this moment.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        if timeout(STOP_PATIENCE, self.child.wait()).await.is_err() {
            drop(self.child.kill().await);
        }
    }

    /// The exit status, if the role ended without being told to.
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// The last 20 lines that it printed.
    pub fn tail(&self) -> String {
        let lines = self.lines.borrow();
        let from = lines.len().saturating_sub(20);
        lines[from..].join("\n")
    }
}

async fn read(stream: impl AsyncRead + Unpin, speak: mpsc::UnboundedSender<String>) {
    let mut lines = BufReader::new(stream).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if speak.send(line).is_err() {
            return;
        }
    }
}

async fn keep(mut hear: mpsc::UnboundedReceiver<String>, heard: watch::Sender<Vec<String>>, mut file: File) {
    while let Some(line) = hear.recv().await {
        // A full disk must not stop the role, which blocks once its pipe is full.
        drop(writeln!(file, "{line}"));
        heard.send_modify(|lines| lines.push(line));
    }
}
