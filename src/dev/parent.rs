//! Children that end when we do, however we end.
//!
//! The kernel sends a chosen signal to a child whose parent dies, when the child has asked for it, between fork and
//! exec, where Rust allows nothing safe. So the child is our own binary once more (K25): [`become_child`] drops root,
//! asks for the signal, looks whether the parent is still there, and becomes the program. The order matters: a change
//! of user clears the signal.
//!
//! On Linux "parent" means the *thread* that forked: start such a child from a thread that lives as long as the child
//! should - the main thread, or one of its own - never from a pool whose idle threads end. A thread that ends before the
//! child has asked sends nothing: the look at the parent sees only whether the whole process is gone.
//! macOS has no such signal: there these are ordinary children.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};

#[cfg(target_os = "linux")]
use rustix::process::Signal;

/// What a child gets when its parent dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastSignal {
    /// SIGINT: it may end in order.
    Interrupt,
    /// SIGKILL: it has nothing to put in order, or nobody to do it with.
    Kill,
}

/// User and group id that a child of root drops to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// User id, never 0.
    pub uid: u32,
    /// The user's primary group.
    pub gid: u32,
}

/// `program`, ready for its own arguments, as a child that ends with us; `aisha` is our binary.
pub fn following(aisha: &Path, signal: LastSignal, identity: Option<Identity>, program: &Path) -> Command {
    let signal = match signal {
        LastSignal::Interrupt => "interrupt",
        LastSignal::Kill => "kill",
    };
    let identity = identity.map_or_else(|| "-".to_owned(), |Identity { uid, gid }| format!("{uid}:{gid}"));
    let mut command = Command::new(aisha);
    command
        .args([
            "internal",
            "follow-parent",
            "--",
            &std::process::id().to_string(),
            signal,
            &identity,
        ])
        .arg(program);
    command
}

/// The hidden verb `internal follow-parent -- PARENT SIGNAL IDENTITY PROGRAM ARGUMENTS…` of [`following`]: becomes the
/// program. Returns only when it cannot. Must run before any other thread is started, since a user belongs to a thread.
pub fn become_child(arguments: &[OsString]) -> ExitCode {
    let error = match prepare(arguments) {
        Ok(mut program) => program.exec(),
        Err(error) => error,
    };
    let program = arguments.get(3).cloned().unwrap_or_default();
    let _ = io::Write::write_fmt(
        &mut io::stderr(),
        format_args!("{}: {error}\n", program.display()),
    );
    ExitCode::FAILURE
}

fn prepare(arguments: &[OsString]) -> io::Result<Command> {
    let malformed = || {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            "follow-parent is not meant to be called by hand",
        )
    };
    let [parent, signal, identity, program, arguments @ ..] = arguments else {
        return Err(malformed());
    };
    let (parent, identity) = (parent.to_string_lossy(), identity.to_string_lossy());
    let mut command = Command::new(program);
    command.args(arguments);
    if let Some((uid, gid)) = identity.split_once(':') {
        let (Ok(uid), Ok(gid)) = (uid.parse(), gid.parse()) else {
            return Err(malformed());
        };
        drop_root(Identity { uid, gid }, &mut command)?;
    }
    ask_for(if signal == "kill" {
        LastSignal::Kill
    } else {
        LastSignal::Interrupt
    })?;
    // It may have died before we asked.
    let actual = rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get());
    if actual.to_string() == parent {
        Ok(command)
    } else {
        Err(io::Error::other("the parent is gone"))
    }
}

#[cfg(target_os = "linux")]
fn drop_root(identity: Identity, _program: &mut Command) -> io::Result<()> {
    use rustix::process::{Gid, Uid};
    use rustix::thread::{set_thread_gid, set_thread_groups, set_thread_uid};
    // Not `Command::uid`: that changes the user at exec, after the signal was asked for, and so clears it.
    let gid = Gid::from_raw(identity.gid);
    set_thread_groups(&[gid])?;
    set_thread_gid(gid)?;
    Ok(set_thread_uid(Uid::from_raw(identity.uid))?)
}

#[cfg(not(target_os = "linux"))]
fn drop_root(identity: Identity, program: &mut Command) -> io::Result<()> {
    program.uid(identity.uid).gid(identity.gid);
    Ok(())
}

#[cfg(target_os = "linux")]
fn ask_for(signal: LastSignal) -> io::Result<()> {
    let signal = match signal {
        LastSignal::Interrupt => Signal::INT,
        LastSignal::Kill => Signal::KILL,
    };
    Ok(rustix::process::set_parent_process_death_signal(Some(signal))?)
}

#[cfg(not(target_os = "linux"))]
fn ask_for(_signal: LastSignal) -> io::Result<()> {
    Ok(())
}
