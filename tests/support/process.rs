//! The real `aisha` binary as a process: started with its own environment, read line by line, sent signals.
//!
//! A process gets only the variables that the test sets, so a developer's tokens never reach a test.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aisha::dev::parent::{self, LastSignal};
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::watch;

use super::{PATIENCE, eventually};

/// A launch of `aisha` with these arguments, not started yet.
pub fn aisha<Argument: AsRef<OsStr>>(arguments: impl IntoIterator<Item = Argument>) -> Launch {
    let mut launch = launch(binary());
    let arguments: Vec<_> = arguments.into_iter().collect();
    launch.0.args(&arguments);
    match arguments.first() {
        // A test that looks at first pictures says how many there are.
        Some(role) if role.as_ref() == "worker" => launch.env("AISHA__TRAINING__SAMPLES", "0"),
        _ => launch,
    }
}

/// A line of the Procfile as a process manager runs it: by a shell that becomes the command, with `aisha` on the
/// PATH.
pub fn procfile_line(command: &str) -> Launch {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = binary()
        .parent()
        .map(Path::to_owned)
        .into_iter()
        .chain(std::env::split_paths(&path));
    let path = std::env::join_paths(folders).expect("folders without a colon");
    let mut launch = launch(Path::new("/bin/sh")).env("PATH", path);
    launch.0.args(["-c", &format!("exec {command}")]);
    launch
}

fn launch(program: &Path) -> Launch {
    // It dies with the thread that starts it, the test's: even a killed test run leaves no process behind.
    let mut command = parent::following(binary(), LastSignal::Kill, None, program);
    command
        .env_clear()
        .env("RUST_BACKTRACE", "1")
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    for inherited in ["PATH", "HOME", "TMPDIR"] {
        if let Some(value) = std::env::var_os(inherited) {
            command.env(inherited, value);
        }
    }
    Launch(command)
}

fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_aisha"))
}

/// A process that is not started yet.
pub struct Launch(Command);

impl Launch {
    /// Sets a variable.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.0.env(name, value);
        self
    }

    /// Sets several variables.
    pub fn envs<Name: AsRef<OsStr>, Value: AsRef<OsStr>>(
        mut self,
        variables: impl IntoIterator<Item = (Name, Value)>,
    ) -> Self {
        self.0.envs(variables);
        self
    }

    /// Runs in this directory instead of the project's.
    pub fn dir(mut self, directory: &Path) -> Self {
        self.0.current_dir(directory);
        self
    }

    /// Starts the process.
    pub fn start(mut self) -> Aisha {
        // `parent::following` puts its own arguments before the program.
        let programs = [binary(), Path::new("/bin/sh")];
        let arguments = self
            .0
            .get_args()
            .skip_while(|argument| !programs.iter().any(|program| argument == program));
        let name = format!("{:?}", arguments.collect::<Vec<_>>());
        let piped = self
            .0
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = piped.spawn().expect("start aisha");
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (count, changes) = watch::channel(0);
        let count = Arc::new(count);
        let streams: [Box<dyn Read + Send>; 2] = [
            Box::new(child.stdout.take().expect("piped")),
            Box::new(child.stderr.take().expect("piped")),
        ];
        for stream in streams {
            let (lines, count) = (Arc::clone(&lines), Arc::clone(&count));
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    lines.lock().expect("lines").push(line);
                    count.send_modify(|count| *count += 1);
                }
            });
        }
        Aisha {
            child,
            name,
            lines,
            changes,
        }
    }
}

/// A started process. Dropping it kills it.
pub struct Aisha {
    child: Child,
    name: String,
    lines: Arc<Mutex<Vec<String>>>,
    /// Closed when both streams have ended.
    changes: watch::Receiver<usize>,
}

impl Aisha {
    /// Waits for a line that contains `part` and returns it: the first one since the start, from either stream.
    /// Panics with all output when the process ends without it.
    pub async fn line(&self, part: &str) -> String {
        self.nth_line(part, 1).await
    }

    /// As [`Self::line`], for the `n`th line with `part` (from 1).
    pub async fn nth_line(&self, part: &str, n: usize) -> String {
        let mut changes = self.changes.clone();
        let found = async {
            loop {
                changes.mark_unchanged();
                if let Some(line) = self
                    .lines
                    .lock()
                    .expect("lines")
                    .iter()
                    .filter(|line| line.contains(part))
                    .nth(n - 1)
                {
                    return Some(line.clone());
                }
                // The error means that both streams have ended. The last output has been searched only if nothing
                // came since.
                if changes.changed().await.is_err() {
                    let lines = self.lines.lock().expect("lines");
                    return lines
                        .iter()
                        .filter(|line| line.contains(part))
                        .nth(n - 1)
                        .cloned();
                }
            }
        };
        let Ok(found) = tokio::time::timeout(PATIENCE, found).await else {
            panic!("{} never said {part:?}; it said:\n{}", self.name, self.output());
        };
        found.unwrap_or_else(|| {
            panic!(
                "{} ended without saying {part:?}; it said:\n{}",
                self.name,
                self.output()
            )
        })
    }

    /// All output so far, of both streams.
    pub fn output(&self) -> String {
        self.lines.lock().expect("lines").join("\n")
    }

    /// Waits until the process ends.
    pub async fn exit(&mut self) -> ExitStatus {
        let name = self.name.clone();
        eventually(&format!("the end of {name}"), async || {
            self.child.try_wait().expect("wait")
        })
        .await
    }

    /// Waits until the process ends and all its output is read; returns the exit code (`None` after a signal) and the
    /// output.
    pub async fn finish(&mut self) -> (Option<i32>, String) {
        let status = self.exit().await;
        // The error means that both streams have ended.
        while self.changes.changed().await.is_ok() {}
        (status.code(), self.output())
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL; waits until the kernel has removed the process.
    pub fn kill(&mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("wait");
    }

    /// SIGTERM: asks the process to drain and end.
    pub fn terminate(&mut self) {
        self.signal(Signal::TERM);
    }

    /// SIGINT: Ctrl-C in a terminal.
    pub fn interrupt(&mut self) {
        self.signal(Signal::INT);
    }

    /// SIGHUP: the terminal was closed.
    pub fn hang_up(&mut self) {
        self.signal(Signal::HUP);
    }

    /// SIGQUIT: Ctrl-\ in a terminal.
    pub fn quit(&mut self) {
        self.signal(Signal::QUIT);
    }

    /// SIGSTOP: the process keeps its locks and connections, and does nothing.
    pub fn pause(&mut self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT: the process continues.
    pub fn resume(&mut self) {
        self.signal(Signal::CONT);
    }

    /// Closes its standard input.
    pub fn close_stdin(&mut self) {
        drop(self.child.stdin.take());
    }

    fn signal(&mut self, signal: Signal) {
        // A process certainly owns its pid only until it is reaped.
        assert!(
            self.child.try_wait().expect("wait").is_none(),
            "{} has ended:\n{}",
            self.name,
            self.output()
        );
        kill_process(Pid::from_child(&self.child), signal).expect("signal");
    }
}

impl Drop for Aisha {
    fn drop(&mut self) {
        // The process may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("---- {} said:\n{}", self.name, self.output());
        }
    }
}
