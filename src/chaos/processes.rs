//! The roles as processes. Like a process manager, it starts each one again that ends.

use std::{
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::ExitStatus,
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use tokio::sync::{Mutex, MutexGuard};

use super::{CLOCK_OFFSET, CONTROL, now};
use crate::dev::role::{RoleError, RoleProcess};

/// Pause between checks whether a process has ended.
const LOOK: Duration = Duration::from_millis(100);
/// Exit code of `exit::Failure` for a dependency that was missing at the start. A process manager tries
/// again.
const UNAVAILABLE: i32 = 69;
/// Number of worker processes.
const WORKERS: usize = 3;

/// A process that was killed, with the time.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Death {
    pub slot: String,
    pub pid: u32,
    pub at: DateTime<Utc>,
}

/// The history of all processes.
#[derive(Debug, Clone, Default)]
pub(super) struct Chronicle {
    /// Processes that were ended by SIGKILL.
    pub killed: Vec<Death>,
    /// Last lines of processes that ended by themselves, except for a missing dependency.
    pub broke_down: Vec<String>,
    /// Number of starts that found a dependency missing.
    pub refused_starts: u32,
    /// Number of all starts.
    pub starts: u32,
}

/// A process's place, as in a Procfile.
struct ProcfileEntry {
    name: String,
    arguments: Vec<String>,
    control: PathBuf,
    /// Seconds by which the process's clock is ahead.
    clock_offset: i64,
    role: Option<RoleProcess>,
    /// Whether SIGTERM was sent.
    told: bool,
}

struct Inner {
    aisha: PathBuf,
    home: PathBuf,
    environment: Vec<(String, String)>,
    slots: Vec<ProcfileEntry>,
    chronicle: Chronicle,
    down: bool,
}

/// A handle on the processes; clones share them.
#[derive(Clone)]
pub(super) struct Fleet(Arc<Mutex<Inner>>);

impl Fleet {
    /// Migrates, then starts web, bot and workers; returns when each is ready.
    pub(super) async fn start(
        aisha: &Path,
        home: &Path,
        environment: Vec<(String, String)>,
        web: std::net::SocketAddr,
    ) -> anyhow::Result<Self> {
        let migrate = RoleProcess::start(aisha, &["migrate"], &environment, &home.join("migrate.log"))?;
        migrate.succeeds().await?;
        let worker = |nth| (format!("worker-{nth}"), vec!["worker".to_owned()]);
        let mut plan = vec![
            (
                "web".to_owned(),
                vec!["web".to_owned(), "--listen".to_owned(), web.to_string()],
            ),
            ("bot".to_owned(), vec!["bot".to_owned()]),
        ];
        plan.extend((1..=WORKERS).map(worker));
        let slots = plan.into_iter().map(|(name, arguments)| ProcfileEntry {
            control: home.join(format!("{name}.failpoints")),
            name,
            arguments,
            clock_offset: 0,
            role: None,
            told: false,
        });
        let mut inner = Inner {
            aisha: aisha.to_owned(),
            home: home.to_owned(),
            environment,
            slots: slots.collect(),
            chronicle: Chronicle::default(),
            down: false,
        };
        for at in 0..inner.slots.len() {
            std::fs::create_dir_all(&inner.slots[at].control).context("no place for failpoint orders")?;
            inner.launch(at)?;
        }
        for slot in &mut inner.slots {
            let ready = match slot.name.as_str() {
                "web" => "Web is listening on ",
                "bot" => "The bot is running",
                _ => "is claiming jobs",
            };
            let role = slot.role.as_mut().context("a role was not started")?;
            role.says(ready).await?;
        }
        let fleet = Self(Arc::new(Mutex::new(inner)));
        tokio::spawn(fleet.clone().keep_alive());
        Ok(fleet)
    }

    async fn keep_alive(self) {
        loop {
            tokio::time::sleep(LOOK).await;
            let mut fleet = self.lock().await;
            if fleet.down {
                return;
            }
            if let Err(error) = fleet.start_ended() {
                fleet.chronicle.broke_down.push(error.to_string());
            }
        }
    }

    async fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().await
    }

    /// Slots whose name begins with "worker", "web" or "bot", or all for "".
    pub(super) async fn slots(&self, prefix: &str) -> Vec<usize> {
        let fleet = self.lock().await;
        let named = fleet
            .slots
            .iter()
            .enumerate()
            .filter(|(_, slot)| slot.name.starts_with(prefix));
        named.map(|(at, _)| at).collect()
    }

    /// Sends a signal to the process in a slot; `None`: there is none at the moment. A SIGKILL is recorded as
    /// a death.
    pub(super) async fn signal(&self, at: usize, signal: Signal) -> Option<u32> {
        let mut fleet = self.lock().await;
        let slot = fleet.slots.get_mut(at)?;
        let pid = slot.role.as_ref()?.pid()?;
        let raw = i32::try_from(pid).ok().and_then(Pid::from_raw)?;
        if signal == Signal::TERM {
            slot.told = true;
        }
        kill_process(raw, signal).ok()?;
        Some(pid)
    }

    /// Id of the process in a slot at the moment.
    pub(super) async fn pid(&self, at: usize) -> Option<u32> {
        self.lock().await.slots.get(at)?.role.as_ref()?.pid()
    }

    /// From its next start on, the clock of the slot's process is so many seconds ahead.
    pub(super) async fn skew(&self, at: usize, seconds: i64) {
        if let Some(slot) = self.lock().await.slots.get_mut(at) {
            slot.clock_offset = seconds;
        }
    }

    /// The directory in which a slot's process finds orders to fail at a failpoint.
    pub(super) async fn control(&self, at: usize) -> Option<PathBuf> {
        Some(self.lock().await.slots.get(at)?.control.clone())
    }

    /// Continues every stopped process.
    pub(super) async fn calm(&self) {
        for at in self.slots("").await {
            self.signal(at, Signal::CONT).await;
        }
    }

    pub(super) async fn chronicle(&self) -> Chronicle {
        self.lock().await.chronicle.clone()
    }

    /// Stops all processes, each of which drains first.
    pub(super) async fn stop(&self) {
        let mut fleet = self.lock().await;
        fleet.down = true;
        let stops = fleet
            .slots
            .iter_mut()
            .filter_map(|slot| slot.role.as_mut())
            .map(RoleProcess::stop);
        futures::future::join_all(stops).await;
    }
}

impl Inner {
    fn launch(&mut self, at: usize) -> Result<(), RoleError> {
        let slot = &mut self.slots[at];
        let mut environment = self.environment.clone();
        environment.push((CONTROL.to_owned(), slot.control.display().to_string()));
        environment.push((CLOCK_OFFSET.to_owned(), slot.clock_offset.to_string()));
        let arguments: Vec<&str> = slot.arguments.iter().map(String::as_str).collect();
        let log = self.home.join(format!("{}.log", slot.name));
        slot.role = Some(RoleProcess::start(&self.aisha, &arguments, &environment, &log)?);
        slot.told = false;
        self.chronicle.starts += 1;
        Ok(())
    }

    fn start_ended(&mut self) -> Result<(), RoleError> {
        for at in 0..self.slots.len() {
            let slot = &mut self.slots[at];
            let Some(role) = &mut slot.role else {
                self.launch(at)?;
                continue;
            };
            let pid = role.pid();
            let Some(status) = role.has_ended() else { continue };
            let tail = role.tail();
            slot.role = None;
            let (name, told) = (slot.name.clone(), slot.told);
            self.note(&name, pid, told, status, &tail);
            self.launch(at)?;
        }
        Ok(())
    }

    fn note(&mut self, name: &str, pid: Option<u32>, told: bool, status: ExitStatus, tail: &str) {
        if status.signal() == Some(Signal::KILL.as_raw()) {
            // Recorded at most one look later than it happened; the limit of I11 is in seconds.
            self.chronicle.killed.push(Death {
                slot: name.to_owned(),
                pid: pid.unwrap_or_default(),
                at: now(),
            });
        } else if status.code() == Some(UNAVAILABLE) {
            self.chronicle.refused_starts += 1;
        } else if !(told && status.success()) {
            self.chronicle
                .broke_down
                .push(format!("{name} ended with {status}:\n{tail}"));
        }
    }
}
