//! `aisha dev`: the whole system, staying up, with a page on which a person plays the Telegram user.
//!
//! Data are kept in `.dev` between runs. With `--real` there is no simulator and no private database: the roles run
//! with the environment's database, bucket, keys and tokens, and trainings cost money.

use std::{io::Write as _, net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::Context as _;
use clap::Args as ClapArgs;

use super::stack::{Launch, Roles, Stack, StackOptions, ignored_variables};
use crate::{
    exit::Failure,
    lifecycle::Stop,
    settings::Given,
    simulators::{fal::FalSimulatorConfig, telegram::TelegramSimulatorConfig},
};

/// How long a simulated training takes: long enough to watch its progress.
const TRAINING: Duration = Duration::from_secs(20);
/// Between looks whether a role has ended by itself.
const LOOK: Duration = Duration::from_secs(1);
/// What the roles are given to drain; as `queue.grace`.
const GRACE: Duration = Duration::from_secs(25);

/// Run everything on this machine until Ctrl-C, with a page on which you play the Telegram user.
///
/// Starts a private Postgres (kept in .dev), an S3 server, simulators of FAL and Telegram, and every role. Uses none
/// of the environment's databases, buckets, keys and tokens unless --real is given.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "\
Examples:
  aisha dev
  aisha dev --telegram-listen 127.0.0.1:8081
  DATABASE_URL=… FAL_KEY=… TELEGRAM_BOT_TOKEN=… aisha dev --real")]
pub struct Args {
    /// The roles alone, with the environment's database, bucket, keys and tokens. Trainings cost money
    #[arg(long)]
    real: bool,
    /// Where the Telegram simulator and its page listen
    #[arg(
        long,
        default_value = "127.0.0.1:9701",
        value_name = "ADDR",
        conflicts_with = "real"
    )]
    telegram_listen: SocketAddr,
    /// Where the FAL simulator listens
    #[arg(
        long,
        default_value = "127.0.0.1:9700",
        value_name = "ADDR",
        conflicts_with = "real"
    )]
    fal_listen: SocketAddr,
    /// Where the web role listens
    #[arg(long, default_value = "127.0.0.1:8000", value_name = "ADDR")]
    listen: SocketAddr,
}

/// Runs until told to stop, or until a role ends by itself.
pub async fn main(args: Args, given: Given) -> Result<(), Failure> {
    let home = std::env::current_dir()
        .context("there is no current directory")?
        .join(".dev");
    std::fs::create_dir_all(&home).with_context(|| format!("cannot make {}", home.display()))?;
    let stop = Stop::at_signals(GRACE).context("signals cannot be listened to")?;
    if args.real {
        real(&args, given, home, &stop).await
    } else {
        simulated(&args, home, &stop).await
    }
}

async fn simulated(args: &Args, home: PathBuf, stop: &Stop) -> Result<(), Failure> {
    let ignored = ignored_variables();
    if !ignored.is_empty() {
        say(&format!("Ignored without --real: {}.", ignored.join(", ")));
    }
    let options = StackOptions {
        home: home.clone(),
        keep: true,
        fal: FalSimulatorConfig {
            listen: args.fal_listen,
            request_duration: TRAINING,
            ..FalSimulatorConfig::default()
        },
        telegram: TelegramSimulatorConfig {
            listen: args.telegram_listen,
            page: true,
            ..TelegramSimulatorConfig::default()
        },
        settings: vec![
            ("AISHA__FAL__POLL_FIRST_AFTER", "2s".to_owned()),
            ("AISHA__FAL__POLL_INTERVAL", "2s".to_owned()),
        ],
        web: args.listen,
    };
    let mut stack = Stack::start(options).await.context("the system did not start")?;
    say(&format!("Play the user:  {}/", stack.telegram.url()));
    say(&format!("FAL's ledger:   {}/__sim/ledger", stack.fal.url()));
    say(&format!("Metrics:        http://{}/metrics", stack.web));
    say(&format!("Database:       {}", stack.database_url()));
    say(&format!("Logs:           {}/*.log", home.display()));
    say("Ctrl-C stops everything; the data stay in .dev.");
    let casualty = until_stopped(stop, || stack.casualty()).await;
    stack.stop().await;
    casualty
}

async fn real(args: &Args, given: Given, home: PathBuf, stop: &Stop) -> Result<(), Failure> {
    say("--real: the environment's database, bucket, keys and tokens are used. Trainings cost money.");
    let aisha = std::env::current_exe().context("this binary cannot be found")?;
    let launch = Launch {
        aisha,
        environment: given.environment.into_iter().collect(),
        home: home.clone(),
    };
    let (mut roles, web) = Roles::start(launch, args.listen, false)
        .await
        .context("the roles did not start")?;
    say(&format!(
        "Web listens on {web}. Logs: {}/*.log. Ctrl-C stops.",
        home.display()
    ));
    let casualty = until_stopped(stop, || roles.casualty()).await;
    roles.stop().await;
    casualty
}

async fn until_stopped(stop: &Stop, mut casualty: impl FnMut() -> Option<String>) -> Result<(), Failure> {
    loop {
        if let Some(words) = casualty() {
            return Err(Failure::Other(anyhow::anyhow!(words)));
        }
        tokio::select! {
            () = stop.soft().cancelled() => return Ok(()),
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

fn say(line: &str) {
    // A closed pipe is no reason to stop.
    drop(writeln!(std::io::stdout(), "{line}"));
}
