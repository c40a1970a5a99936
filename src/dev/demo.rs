//! `aisha demo`: a scripted user trains an avatar on the whole system, then the demo checks and shows what
//! happened.
//!
//! Postgres and the S3 protocol are real, and each role is a process of this binary; FAL and Telegram are
//! simulated at the wire. The demo passes only on evidence that it reads at the end: the simulators' ledgers
//! and the database ([`evidence`]). It reads no database, bucket, key or token of the environment (K26), so
//! it can never start a paid training.
//!
//! Read next: [`person`] (what the user does), [`accidents`] (`--kill-worker`), [`evidence`] (what is checked).

mod accidents;
mod evidence;
mod person;
mod timeline;

pub(super) use person::sample_albums;

use std::{
    io::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clap::{Args as ClapArgs, ValueEnum};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::stack::{Stack, StackOptions, did_not_start, ignored_variables, millis, postgres_of};
use crate::{
    exit::Failure,
    settings::Given,
    simulators::{
        fal::FalSimulatorConfig,
        telegram::{LedgerFilter, TelegramSimulatorConfig},
    },
};

/// Train an avatar on this machine, from a user's photos to the final message, and show what happened.
///
/// Starts a private Postgres, an S3 server, simulators of FAL and Telegram, and every role as a process of its own.
/// Uses none of the environment's databases, buckets, keys and tokens; nothing is charged.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "\
Examples:
  aisha demo
  aisha demo --type style --photos ~/Pictures/lisa
  aisha demo --drop-webhooks
  aisha demo --presigned
  aisha demo --kill-worker
  aisha demo --out pictures
  aisha demo --json | jq .timeline")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "flags of a command line, each on its own"
)]
pub struct DemoArgs {
    /// What to train
    #[arg(long = "type", value_enum, default_value_t = AvatarKind::Portrait)]
    kind: AvatarKind,
    /// A directory with 10 to 20 photos (JPEG, PNG, WebP) to use instead of the built-in ones
    #[arg(long, value_name = "DIR")]
    photos: Option<PathBuf>,
    /// FAL sends no webhook: polling alone must finish the training
    #[arg(long)]
    drop_webhooks: bool,
    /// Keep the archive in our own store, from which FAL downloads it by a presigned URL
    #[arg(long)]
    presigned: bool,
    /// Kill the worker (SIGKILL) while it holds a job, once for each kind of job
    #[arg(long)]
    kill_worker: bool,
    /// Save the pictures of the avatar in this directory
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print one JSON object at the end, without progress and timeline
    #[arg(long)]
    json: bool,
}

/// The first answer to the bot: the type of avatar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AvatarKind {
    /// A model of a person
    Portrait,
    /// A model of a look
    Style,
}

impl AvatarKind {
    const fn word(self) -> &'static str {
        match self {
            Self::Portrait => "portrait",
            Self::Style => "style",
        }
    }
}

/// Recovery takes seconds instead of the default's longer times, so that `--kill-worker` can show seven of
/// them.
const LEASE: Duration = Duration::from_secs(3);
const BEAT: Duration = Duration::from_secs(1);
const SWEEP: Duration = Duration::from_secs(1);
/// How long a training takes at the FAL simulator.
const TRAINING: Duration = Duration::from_secs(4);
const POLL: Duration = Duration::from_secs(1);
/// Longer than the recovery of a killed worker's job, so that no poll overtakes the webhook.
const WEBHOOK_GRACE: Duration = Duration::from_secs(8);

/// Runs the demo. An error says why it did not pass.
pub async fn main(args: DemoArgs, given: Given) -> Result<(), Failure> {
    let mut end = EndSignals::listen().context("cannot listen for signals")?;
    let show = Show {
        json: args.json,
        began: Instant::now(),
    };
    let photos = person::load_photos(args.photos.as_deref())?;
    let home = tempfile::Builder::new()
        .prefix("aisha-demo-")
        .tempdir()
        .context("no temporary directory")?;
    show.line(&format!(
        "Training a {} from {} photos. Everything runs on this machine; nothing is paid for.",
        args.kind.word(),
        photos.len()
    ));
    let ignored = ignored_variables();
    if !ignored.is_empty() {
        show.line(&format!("Ignored on purpose: {}.", ignored.join(", ")));
    }
    show.line(
        "Lease 3 s, sweep 1 s (defaults: 15 s, 5 s), so that a killed worker is replaced while you watch.",
    );
    let began = Instant::now();
    let stack = Stack::start(options(&args, &given, home.path().to_owned()));
    let mut stack = tokio::select! {
        started = stack => started.context("the system did not start").map_err(did_not_start)?,
        ended = end.told() => return Err(tidy_up(ended, home)),
    };
    show.line(&format!(
        "Started Postgres, S3, simulators and roles in {:.1} s.",
        began.elapsed().as_secs_f64()
    ));
    let outcome = tokio::select! {
        outcome = play(&args, &mut stack, photos, &show) => outcome,
        ended = end.told() => {
            // Not an orderly stop: its result is not needed, and Ctrl-C should not take as long as draining
            // may.
            drop(tokio::task::spawn_blocking(move || drop(stack)).await);
            return Err(tidy_up(ended, home));
        }
    };
    let casualty = stack.casualty();
    if outcome.is_err() {
        // Written beside the roles' logs. A failure to write them matters less than the reason why the demo
        // did not pass.
        let telegram = stack.telegram.control().ledger(&LedgerFilter::default());
        let ledgers = serde_json::json!({ "fal": stack.fal.ledger(), "telegram": telegram });
        drop(std::fs::write(
            home.path().join("ledgers.json"),
            format!("{ledgers:#}"),
        ));
    }
    let kept = outcome.is_err().then(|| home.keep());
    stack.stop().await;
    match (outcome, casualty) {
        (Ok(()), None) => {
            show.line(&format!("Passed in {:.1} s.", began.elapsed().as_secs_f64()));
            Ok(())
        }
        (Ok(()), Some(casualty)) => Err(Failure::Other(anyhow::anyhow!(casualty))),
        (Err(error), casualty) => {
            let logs = kept
                .map(|path| format!("\nLogs: {}", path.display()))
                .unwrap_or_default();
            let casualty = casualty
                .map(|casualty| format!("\n{casualty}"))
                .unwrap_or_default();
            Err(Failure::Other(
                error.context(format!("the demo did not pass{casualty}{logs}")),
            ))
        }
    }
}

/// Removes the demo's directory. Returns the final message, with the exit code of the signal.
fn tidy_up((name, number): (&'static str, u8), home: tempfile::TempDir) -> Failure {
    let path = home.path().to_owned();
    // A write in progress may have created a file after the first removal looked.
    let removed = home.close().or_else(|_| std::fs::remove_dir_all(&path));
    let words = match removed {
        Ok(()) => format!("{name}: the demo's processes and files are gone."),
        Err(error) => format!(
            "{name}: the demo's processes are gone; its files in {} are not: {error}",
            path.display()
        ),
    };
    Failure::Interrupted { number, words }
}

/// Waits for the signals by which a person, a terminal or a service manager ends the demo.
struct EndSignals([(Signal, &'static str, u8); 4]);

impl EndSignals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self([
            (signal(SignalKind::interrupt())?, "SIGINT", 2),
            (signal(SignalKind::terminate())?, "SIGTERM", 15),
            (signal(SignalKind::hangup())?, "SIGHUP", 1),
            (signal(SignalKind::quit())?, "SIGQUIT", 3),
        ]))
    }

    async fn told(&mut self) -> (&'static str, u8) {
        let Self([interrupt, terminate, hangup, quit]) = self;
        tokio::select! {
            _ = interrupt.0.recv() => (interrupt.1, interrupt.2),
            _ = terminate.0.recv() => (terminate.1, terminate.2),
            _ = hangup.0.recv() => (hangup.1, hangup.2),
            _ = quit.0.recv() => (quit.1, quit.2),
        }
    }
}

async fn play(
    args: &DemoArgs,
    stack: &mut Stack,
    photos: Vec<person::PhonePhoto>,
    show: &Show,
) -> anyhow::Result<()> {
    let count = photos.len();
    let person = person::Person::new(&stack.telegram, args.kind, *show);
    let killed = if args.kill_worker {
        let armed = accidents::arm(stack).await?;
        let (story, killed) = tokio::join!(person.train(photos), accidents::happen(stack, armed, *show));
        // The accident's error comes first: the person's may only be that they waited in vain because of it.
        let killed = killed?;
        story?;
        killed
    } else {
        person.train(photos).await?;
        Vec::new()
    };
    let evidence = evidence::gather(stack, person.id(), count).await?;
    let timeline = timeline::of(&evidence);
    show.report(&evidence, &timeline)?;
    evidence.check(args, &killed)?;
    if let Some(out) = &args.out {
        save_pictures(stack, &evidence, out, show)?;
    }
    Ok(())
}

/// Saves the pictures as the user got them.
fn save_pictures(
    stack: &Stack,
    evidence: &evidence::DemoEvidence,
    out: &Path,
    show: &Show,
) -> anyhow::Result<()> {
    std::fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    for (picture, number) in evidence.pictures().zip(1..) {
        let file = stack.telegram.control().file(&picture.file_id);
        let file = file.context("a picture of the chat is gone")?;
        let path = out.join(format!("picture_{number}.jpeg"));
        std::fs::write(&path, file).with_context(|| format!("cannot write {}", path.display()))?;
        show.line(&format!("Saved {}", path.display()));
    }
    Ok(())
}

fn options(args: &DemoArgs, given: &Given, home: PathBuf) -> StackOptions {
    let grace = if args.drop_webhooks {
        Duration::ZERO
    } else {
        WEBHOOK_GRACE
    };
    let delivery = if args.presigned {
        "presigned"
    } else {
        "fal_storage"
    };
    let settings = vec![
        ("AISHA__FAL__ARCHIVE_DELIVERY", delivery.to_owned()),
        ("AISHA__QUEUE__LEASE", millis(LEASE)),
        ("AISHA__QUEUE__BEAT", millis(BEAT)),
        ("AISHA__QUEUE__SWEEP", millis(SWEEP)),
        ("AISHA__FAL__POLL_FIRST_AFTER", millis(POLL)),
        ("AISHA__FAL__POLL_INTERVAL", millis(POLL)),
        ("AISHA__FAL__LIST_INTERVAL", millis(POLL)),
        ("AISHA__FAL__WEBHOOK_GRACE", millis(grace)),
    ];
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    StackOptions {
        home,
        rows: None,
        postgres: postgres_of(given),
        config: given.config_dir.clone(),
        fal: FalSimulatorConfig {
            listen: any_port,
            request_duration: TRAINING,
            drop_webhooks: args.drop_webhooks,
            ..FalSimulatorConfig::default()
        },
        telegram: TelegramSimulatorConfig {
            listen: any_port,
            ..TelegramSimulatorConfig::default()
        },
        settings,
        web: any_port,
    }
}

/// Prints progress for a person; prints nothing when the output is the JSON at the end.
#[derive(Debug, Clone, Copy)]
struct Show {
    json: bool,
    began: Instant,
}

impl Show {
    fn line(self, text: &str) {
        if !self.json {
            // A closed pipe (`aisha demo | head`) does not fail the demo.
            drop(writeln!(std::io::stdout(), "{text}"));
        }
    }

    /// Prints a line with the seconds since the start.
    fn event(self, text: &str) {
        self.line(&format!(
            "  {:>5.1} s  {text}",
            self.began.elapsed().as_secs_f64()
        ));
    }

    fn report(
        self,
        evidence: &evidence::DemoEvidence,
        timeline: &[timeline::TimelineEvent],
    ) -> anyhow::Result<()> {
        if self.json {
            let all = serde_json::json!({ "evidence": evidence, "timeline": timeline });
            drop(writeln!(
                std::io::stdout(),
                "{}",
                serde_json::to_string_pretty(&all)?
            ));
        } else {
            self.line("\nWhat happened:");
            for moment in timeline {
                self.line(&moment.to_string());
            }
            self.line("");
        }
        Ok(())
    }
}
