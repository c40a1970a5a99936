//! Hidden commands, which this binary runs for its own processes and for the tests. They are not meant for
//! people.

use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;

use super::postgres::{self, ClusterOptions, PrivateCluster};
use super::s3::S3Server;
use super::stack::BUCKET;
use super::{parent, probes, soak};
use crate::exit::{self, Failure};

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
    HoldCluster {
        /// Flush every commit to the disk, as in production.
        #[arg(long)]
        durable: bool,
    },
    /// Serve a bucket from a directory, print the variables that lead to it, and stop at the end of standard input.
    HoldBucket {
        /// Where its objects are kept as files, below the bucket's name.
        home: PathBuf,
    },
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
            Self::HoldBucket { home } => exit::role(hold_bucket(home)),
            Self::HoldCluster { durable } => match hold_cluster(durable) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    let _ = writeln!(std::io::stderr(), "{error}");
                    ExitCode::FAILURE
                }
            },
        }
    }
}

fn hold_cluster(durable: bool) -> anyhow::Result<()> {
    let aisha = std::env::current_exe()?;
    let cluster = PrivateCluster::start(if durable {
        ClusterOptions::durable(aisha)
    } else {
        ClusterOptions::fast(aisha)
    })?;
    writeln!(std::io::stdout(), "{}", cluster.url("postgres"))?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    cluster.stop();
    Ok(())
}

async fn hold_bucket(home: PathBuf) -> Result<(), Failure> {
    let server = S3Server::start(&home, &[BUCKET]).await.context("no bucket")?;
    for (name, value) in server.environment(BUCKET) {
        writeln!(std::io::stdout(), "{name}={value}").context("standard output")?;
    }
    let ended = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await;
    server.stop().await;
    ended.context("waiting for the end")?.context("standard input")?;
    Ok(())
}
