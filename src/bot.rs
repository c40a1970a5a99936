//! `aisha bot`: takes Telegram's updates in, and handles those of each chat in order.
//!
//! Its two halves meet in the inbox (`telegram_updates`). When updates come by polling, [`intake`] asks
//! Telegram for them and stores them; when they come by webhook, `aisha web` stores them. [`update_loops`] handle
//! stored updates, each in one transaction with its effects and its answer. Any number of bots may run: one
//! polls, all handle.
//!
//! This role does nothing at FAL, reads no photo bytes and has no SQL. [`dialogue`] shows on one screen what
//! each update does.
//!
//! # If we die
//! See `jobs/src/producer.rs`: an update is either handled once, or still in the inbox.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use clap::Parser;
use jobs::{
    producer::{Producer, Rules},
    telegram::{Intake, MenuEntry, TelegramClient},
    texts::{Locale, Texts},
};
use tracing::{info, warn};

use self::hearing::Hearing;
use crate::{
    connect,
    exit::Failure,
    lifecycle::Stop,
    open_files,
    settings::{BotSettings, Given, TelegramSettings, TelegramUpdates},
    telemetry,
    web::health::Health,
};

mod admin;
mod albums;
mod commands;
mod deleting;
mod dialogue;
mod gallery;
mod hearing;
mod history;
mod incoming;
mod intake;
mod photo_hints;
mod photos;
mod privacy;
mod settings;
mod stopping;
mod update_loops;
mod visible;
mod wizard;

/// How many chats one bot process handles at the same time. An update takes milliseconds.
const UPDATE_LOOPS: usize = 4;

/// Talk with users: take updates in, and handle those of each chat in order.
///
/// With telegram.mode = "polling" one of the running bots asks Telegram for updates; with "webhook" Telegram
/// posts them to `aisha web`, and the bot registers its address. Workers send the answers (queue notify).
#[derive(Debug, Parser)]
#[command(after_long_help = "\
Needs DATABASE_URL and TELEGRAM_BOT_TOKEN; TELEGRAM_WEBHOOK_SECRET when telegram.mode is webhook.

Examples:
  aisha bot
  aisha bot --health-listen 127.0.0.1:9000 --log-format json
  TELEGRAM_API_URL=http://127.0.0.1:9701 aisha bot     # against `aisha telegram-simulator`")]
pub struct BotArgs {
    /// Serve /livez, /readyz and /metrics here. Default: the setting health.listen (off).
    #[arg(long, value_name = "ADDR")]
    health_listen: Option<String>,
}

/// Values that all parts of a bot share.
#[derive(Clone)]
struct Bot {
    producer: Producer,
    rules: Arc<Rules>,
    telegram: TelegramClient,
    texts: Texts,
    hearing: Hearing,
}

/// Runs the role to its end.
pub async fn main(args: BotArgs, given: Given) -> Result<(), Failure> {
    let BotSettings {
        log,
        database,
        telegram,
        updates,
        trainers,
        pictures,
        photos,
        quotas,
        admins,
        privacy,
        health_listen,
        grace,
    } = given
        .with("health.listen", "--health-listen", args.health_listen)
        .load::<BotSettings>()?;
    telemetry::start_logging(&log)?;
    let metrics = telemetry::start_metrics("bot")?;
    open_files::raise();
    let stop = Stop::at_signals(grace).context("cannot listen for signals")?;
    let database = connect::database(&database, "bot").await?;
    let hearing = Hearing::new(updates.longest_question());
    if let Some(listen) = health_listen {
        let ears = hearing.clone();
        Health::new(database.clone(), stop.clone(), metrics)
            .and("telegram", move || {
                std::future::ready(ears.problem().map_or(Ok(()), Err))
            })
            .serve_on(listen)
            .await?;
    }
    let TelegramSettings {
        bot_token,
        api_url,
        timeout,
    } = telegram;
    let bot = Bot {
        producer: Producer::new(&database),
        rules: Rules::with_policy(photos, trainers, Arc::new(pictures), quotas, privacy, admins),
        telegram: TelegramClient::new(&bot_token, &api_url, timeout).context("cannot make an HTTP client")?,
        texts: Texts::load().context("the texts cannot be loaded")?,
        hearing,
    };
    info!("The bot is running");
    let work = async {
        tokio::join!(
            announce(&bot, &updates, &stop),
            update_loops::run(&bot, UPDATE_LOOPS, &stop),
            bot.hearing.show(&stop),
            describe(&bot)
        )
    };
    tokio::select! {
        _ = work => {}
        // The update in progress is rolled back; it stays in the inbox for the next bot that runs.
        () = stop.hard().cancelled() => {}
    }
    database.close().await;
    info!("The bot has stopped");
    Ok(())
}

/// Tells Telegram how updates are delivered. With polling, then polls until the stop.
async fn announce(bot: &Bot, updates: &TelegramUpdates, stop: &Stop) {
    match updates {
        TelegramUpdates::Polling { timeout } => intake::poll(bot, *timeout, stop).await,
        TelegramUpdates::Webhook { url, secret } => {
            let intake = Intake::Webhook {
                url: url.clone(),
                secret: secret.clone(),
            };
            bot.hearing.begin();
            until_done(bot, "register the webhook", stop, || {
                bot.telegram.take_updates_by(&intake)
            })
            .await;
            // From here on Telegram sends updates to `aisha web`.
            bot.hearing.end();
            until_done(bot, "set the menu", stop, || menu(bot)).await;
        }
    }
}

/// Sets the list of commands that Telegram shows, in each language, with English for all others.
async fn menu(bot: &Bot) -> Result<(), jobs::telegram::TelegramError> {
    let commands = |locale| {
        let entries = commands::WORDS.iter().map(|word| MenuEntry {
            name: word,
            description: bot.texts.command(locale, word).unwrap_or_default(),
        });
        entries.collect::<Vec<_>>()
    };
    bot.telegram.set_menu(None, &commands(Locale::En)).await?;
    for locale in Locale::ALL {
        bot.telegram.set_menu(Some(locale), &commands(locale)).await?;
    }
    Ok(())
}

/// Sets the bot's descriptions, in each language, with English for all others. The bot works without them: a failure is only
/// told, and the next start tries again.
async fn describe(bot: &Bot) {
    let others = std::iter::once((None, Locale::En));
    for (language, locale) in others.chain(Locale::ALL.map(|locale| (Some(locale), locale))) {
        let Some((description, short)) = bot.texts.about_the_bot(locale) else {
            continue;
        };
        if let Err(failure) = bot.telegram.describe(language, &description, &short).await {
            warn!("Telegram: the bot's description could not be set: {failure}");
            return;
        }
    }
}

/// Repeats the call until it succeeds or the role stops, since Telegram may be unreachable at the start.
async fn until_done<F>(bot: &Bot, what: &str, stop: &Stop, call: impl Fn() -> F)
where
    F: Future<Output = Result<(), jobs::telegram::TelegramError>>,
{
    let mut pause = Duration::from_secs(1);
    while !stop.is_draining() {
        let Err(failure) = call().await else {
            // Otherwise the bot would not be ready before its first long poll has ended.
            bot.hearing.good();
            return;
        };
        bot.hearing.failed(&failure);
        warn!("Telegram: could not {what}, next try in {pause:?}: {failure}");
        pause_unless_stopped(pause, stop).await;
        pause = (pause * 2).min(Duration::from_mins(1));
    }
}

async fn pause_unless_stopped(pause: Duration, stop: &Stop) {
    tokio::select! {
        () = tokio::time::sleep(pause) => {}
        () = stop.soft().cancelled() => {}
    }
}
