//! `aisha dev`: runs the whole system until it is stopped, with a page on which a person plays the Telegram
//! user.
//!
//! Everything is kept in `.dev` between runs, the simulators' state as well: Telegram's ids rise for the life
//! of a bot, so the bot would take the updates of a simulator that starts again at the first id for
//! repetitions, and never answer them. `--fresh` removes both. With `--real` there is no simulator and no
//! private database: the roles run with the environment's database, bucket, keys and tokens, and trainings
//! cost money.

use std::{
    io::Write as _,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use clap::Args as ClapArgs;
use tokio::sync::mpsc;

use super::{
    page::{self, DevPage, PageOrder},
    postgres,
    stack::{Launch, Roles, Stack, StackOptions, did_not_start, ignored_variables, postgres_of},
};
use crate::{
    exit::Failure,
    lifecycle::Stop,
    settings::Given,
    simulators::{
        fal::FalSimulatorConfig,
        telegram::{Memory, TelegramSimulatorConfig},
    },
};

/// How long a simulated training takes: long enough to watch its progress.
const TRAINING: Duration = Duration::from_secs(20);
/// How long simulated pictures take: long enough to see that they are made.
const PICTURES: Duration = Duration::from_secs(4);
/// Pause between checks whether a role has ended by itself.
const LOOK: Duration = Duration::from_secs(1);
/// Time that the roles get to drain, as `queue.grace`.
const GRACE: Duration = Duration::from_secs(25);
/// The files of a run in `.dev`, except the rows. Other files there are not ours to remove. Earlier versions
/// had the rows in `.dev` too.
const LEFT: [&str; 7] = [
    "s3",
    "simulators",
    "web.log",
    "bot.log",
    "worker.log",
    "migrate.log",
    ".dev",
];

/// Run everything on this machine until Ctrl-C, with a page on which you play the Telegram user.
///
/// Starts a private Postgres, an S3 server, simulators of FAL and Telegram, and every role. Rows, photos,
/// chats and requests are kept in .dev for the next start (as root the rows are in /var/tmp; the first lines
/// say where). Uses none of the environment's databases, buckets, keys and tokens unless --real is given.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "\
Exit code 69: an address to listen on is taken, or there is no PostgreSQL (PG_BIN_DIR says where it is).

Examples:
  aisha dev
  aisha dev --fresh
  aisha dev --telegram-listen 127.0.0.1:8081
  DATABASE_URL=… FAL_KEY=… TELEGRAM_BOT_TOKEN=… aisha dev --real")]
pub struct SandboxArgs {
    /// Run only the roles, with the environment's database, bucket, keys and tokens. Trainings cost money
    #[arg(long)]
    real: bool,
    /// First remove what earlier runs left: rows, photos, chats, requests and logs
    #[arg(long, conflicts_with = "real")]
    fresh: bool,
    /// Address of the Telegram simulator and its page
    #[arg(
        long,
        default_value = "127.0.0.1:9701",
        value_name = "ADDR",
        conflicts_with = "real"
    )]
    telegram_listen: SocketAddr,
    /// Address of the FAL simulator
    #[arg(
        long,
        default_value = "127.0.0.1:9700",
        value_name = "ADDR",
        conflicts_with = "real"
    )]
    fal_listen: SocketAddr,
    /// Address of the web role
    #[arg(long, default_value = "127.0.0.1:8000", value_name = "ADDR")]
    listen: SocketAddr,
}

/// Runs until a signal stops it, or until a role ends by itself.
pub async fn main(args: SandboxArgs, given: Given) -> Result<(), Failure> {
    let home = std::env::current_dir()
        .context("there is no current directory")?
        .join(".dev");
    let stop = Stop::at_signals(GRACE).context("cannot listen for signals")?;
    if args.real {
        listenable(&[(args.listen, "--listen")])?;
        make(&home)?;
        real(&args, given, home, &stop).await
    } else {
        simulated(&args, &given, home, &stop).await
    }
}

async fn simulated(args: &SandboxArgs, given: &Given, home: PathBuf, stop: &Stop) -> Result<(), Failure> {
    let ignored = ignored_variables();
    if !ignored.is_empty() {
        say(&format!("Ignored without --real: {}.", ignored.join(", ")));
    }
    listenable(&[
        (args.telegram_listen, "--telegram-listen"),
        (args.fal_listen, "--fal-listen"),
        (args.listen, "--listen"),
    ])?;
    let rows = postgres::kept_directory(&home);
    // A user who removed `.dev` wants to start anew, and cannot know that root's rows are elsewhere.
    if args.fresh || !home.exists() {
        forget(&home, &rows)?;
    }
    make(&home)?;
    let (page, orders) = page::open();
    let stack = Stack::start(options(args, given, &home, &rows, &page));
    let mut stack = tokio::select! {
        started = stack => started.context("the system did not start").map_err(did_not_start)?,
        () = stop.soft().cancelled() => return Ok(()),
    };
    page.connect(&stack.database_url())?;
    say(&format!("Play the user:  {}/", stack.telegram.url()));
    say(&format!("FAL's ledger:   {}/__sim/ledger", stack.fal.url()));
    say(&format!("Metrics:        http://{}/metrics", stack.web));
    say(&format!(
        "Database:       export DATABASE_URL='{}'",
        stack.database_url()
    ));
    say(&format!("Logs:           {}/*.log", home.display()));
    say(&format!("Rows:           {}", rows.display()));
    say(&format!(
        "All else:       {} (s3: photos and models; simulators: chats and requests)",
        home.display()
    ));
    say("Ctrl-C stops everything, and the next start goes on from here; `aisha dev --fresh` forgets it.");
    let casualty = attend(stop, &mut stack, orders).await;
    stack.stop().await;
    casualty
}

fn options(args: &SandboxArgs, given: &Given, home: &Path, rows: &Path, page: &DevPage) -> StackOptions {
    let simulators = home.join("simulators");
    StackOptions {
        home: home.to_owned(),
        rows: Some(rows.to_owned()),
        postgres: postgres_of(given),
        config: given.config_dir.clone(),
        fal: FalSimulatorConfig {
            listen: args.fal_listen,
            request_duration: TRAINING,
            picture_duration: Some(PICTURES),
            state: Some(simulators.join("fal")),
            ..FalSimulatorConfig::default()
        },
        telegram: TelegramSimulatorConfig {
            listen: args.telegram_listen,
            page: true,
            beside: Some(page.routes()),
            memory: Memory::Directory(simulators.join("telegram")),
            ..TelegramSimulatorConfig::default()
        },
        settings: vec![
            ("AISHA__FAL__POLL_FIRST_AFTER", "2s".to_owned()),
            ("AISHA__FAL__POLL_INTERVAL", "2s".to_owned()),
            // One person uses it all day, and nothing is charged.
            ("AISHA__QUOTAS__LIVE_TRAININGS", "0".to_owned()),
            ("AISHA__QUOTAS__TRAININGS_A_DAY", "0".to_owned()),
            ("AISHA__QUOTAS__DRAFTS_A_DAY", "0".to_owned()),
            ("AISHA__QUOTAS__PHOTOS_A_DAY", "0".to_owned()),
            ("AISHA__QUOTAS__PICTURES_A_DAY", "0".to_owned()),
        ],
        web: args.listen,
    }
}

/// Checks, before anything is started, that all these addresses are free at the same time.
fn listenable(wanted: &[(SocketAddr, &str)]) -> Result<(), Failure> {
    let mut listeners = Vec::new();
    let mut refused = Vec::new();
    for (address, option) in wanted {
        match TcpListener::bind(address) {
            Ok(listener) => listeners.push(listener),
            Err(error) => refused.push(format!(
                "cannot listen on {address} ({error}): name another address with {option}"
            )),
        }
    }
    if refused.is_empty() {
        return Ok(());
    }
    refused.push("Another `aisha dev` may be running.".to_owned());
    Err(Failure::unavailable(refused.join("\n")))
}

/// Removes what earlier runs left, and prints it.
fn forget(home: &Path, rows: &Path) -> Result<(), Failure> {
    let had_rows = postgres::forget(rows).context("the rows of earlier runs cannot be removed")?;
    let mut removed: Vec<PathBuf> = had_rows.then(|| rows.to_owned()).into_iter().collect();
    for left in LEFT.map(|name| home.join(name)) {
        let gone = if left.is_dir() {
            std::fs::remove_dir_all(&left)
        } else {
            std::fs::remove_file(&left)
        };
        match gone {
            Ok(()) => removed.push(left),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(anyhow::anyhow!("cannot remove {}: {error}", left.display()).into());
            }
        }
    }
    let removed: Vec<String> = removed.iter().map(|path| path.display().to_string()).collect();
    if !removed.is_empty() {
        say(&format!("Forgotten: {}.", removed.join(", ")));
    }
    Ok(())
}

fn make(home: &Path) -> Result<(), Failure> {
    Ok(std::fs::create_dir_all(home).with_context(|| format!("cannot make {}", home.display()))?)
}

async fn real(args: &SandboxArgs, given: Given, home: PathBuf, stop: &Stop) -> Result<(), Failure> {
    say("--real: the environment's database, bucket, keys and tokens are used. Trainings cost money.");
    let aisha = std::env::current_exe().context("this binary cannot be found")?;
    let launch = Launch {
        aisha,
        environment: given.environment.into_iter().collect(),
        home: home.clone(),
        config: given.config_dir,
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

/// Carries out the page's orders until a signal stops us, or a role ends by itself.
async fn attend(
    stop: &Stop,
    stack: &mut Stack,
    mut orders: mpsc::Receiver<PageOrder>,
) -> Result<(), Failure> {
    loop {
        if let Some(words) = stack.casualty() {
            return Err(Failure::Other(anyhow::anyhow!(words)));
        }
        tokio::select! {
            () = stop.soft().cancelled() => return Ok(()),
            Some(order) = orders.recv() => order.carry_out(stack).await,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
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
    // A closed pipe does not stop the system.
    drop(writeln!(std::io::stdout(), "{line}"));
}
