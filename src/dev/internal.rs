//! Hidden commands, which this binary runs for its own processes and for the tests. They are not meant for
//! people.

use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use super::postgres::{self, ClusterOptions, PrivateCluster};
use super::{parent, probes, soak};
use crate::exit;

/// `aisha internal …`; see [`InternalVerb::run`].
#[derive(Debug, clap::Subcommand)]
pub enum InternalVerb {
    /// Become a program that ends with its parent.
    FollowParent {
        /// Parent, signal, identity, program, and the program's arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Wait for the death of a cluster's owner, then remove what it left.
    SweepCluster {
        /// The cluster's directory.
        home: PathBuf,
    },
    /// Run a worker with probes only, jobs that do what their payload says.
    RunProbes(probes::ProbesArgs),
    /// Run millions of jobs through a private cluster, with pruning on, and print what grew.
    Soak(soak::SoakArgs),
    /// Start a temporary cluster, print its URL, and stop at the end of standard input.
    HoldCluster,
}

impl InternalVerb {
    /// Runs the command. Call it before a runtime or any other thread is started: [`parent::become_child`]
    /// says why.
    pub fn run(self) -> ExitCode {
        match self {
            Self::FollowParent { arguments } => parent::become_child(&arguments),
            Self::SweepCluster { home } => postgres::sweep_when_orphaned(&home),
            Self::RunProbes(args) => exit::role(probes::main(args)),
            Self::Soak(args) => exit::role(soak::main(args)),
            Self::HoldCluster => match hold_cluster() {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    let _ = writeln!(std::io::stderr(), "{error}");
                    ExitCode::FAILURE
                }
            },
        }
    }
}

fn hold_cluster() -> anyhow::Result<()> {
    let cluster = PrivateCluster::start(ClusterOptions::fast(std::env::current_exe()?))?;
    writeln!(std::io::stdout(), "{}", cluster.url("postgres"))?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    cluster.stop();
    Ok(())
}
