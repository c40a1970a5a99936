//! Child processes that end when we do, however we end.
//!
//! The kernel can send a chosen signal to a child whose parent dies, but the child must ask for it between
//! fork and exec, where Rust allows nothing safe. So the child starts as our own binary (K25):
//! [`become_child`] drops root, asks for the signal, checks that the parent still lives, and becomes the
//! program. The order matters: a change of user clears the signal.
//!
//! On Linux "parent" means the *thread* that forked. Start such a child from a thread that lives as long as
//! the child should: the main thread, or one of its own, never one of a pool whose idle threads end. A thread
//! that ends before the child has asked for the signal sends nothing: the check of the parent sees only
//! whether the whole process is gone.
//! macOS has no such signal: there these are ordinary children.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};

#[cfg(target_os = "linux")]
use rustix::process::Signal;

/// The signal that a child gets when its parent dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastSignal {
    /// SIGINT: the child stops in an orderly way.
    Interrupt,
    /// SIGKILL: the child has nothing to put in order.
    Kill,
}

/// User and group to which a child of root drops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The user id, never 0.
    pub uid: u32,
    /// The user's primary group.
    pub gid: u32,
}

/// A command for `program` as a child that ends with us; the caller adds its arguments. `aisha` is our own
/// binary.
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
    // The parent may have died before we asked for the signal.
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
    // `Command::uid` is of no use: it changes the user at exec, after the signal was asked for, and so clears
    // it.
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
