//! A strict simulator of the Telegram Bot API, with people to play.
//!
//! Clients use it as they use `https://api.telegram.org`: `/bot<token>/<method>` with any case of the method's
//! name, parameters in a query, a form, JSON or multipart, and downloads at `/file/bot<token>/<path>`. It keeps the
//! chats, refuses what the real server refuses with the real server's words, and pushes or long-polls updates. One
//! simulator is one bot; all its chats are private ones. [`Memory`] says what it keeps when the process ends.
//!
//! # The other side: `/sim`
//!
//! Everything a person, a test or the demo does goes through the control API, over HTTP or typed ([`Control`],
//! [`SimUser`]). Bodies and answers are JSON unless it says otherwise. Waiting calls take `timeout` in seconds
//! (30) and answer 408 when the time has passed; nobody needs to sleep. A refusal is 4xx with `{"error": …}`.
//!
//! | call | does |
//! |---|---|
//! | `GET /sim/bot` | the bot, as `getMe` shows it |
//! | `POST /sim/users` | creates or changes a person: `{id?, first_name?, last_name?, username?, language_code?, is_bot?}` |
//! | `GET /sim/users` | lists them |
//! | `POST /sim/users/{id}/text` | `{text}` → `{message_id}` |
//! | `POST /sim/users/{id}/photos` | multipart: file parts in order, fields `caption`, `order` (`2,0,1`: in which their updates arrive), `delay_ms` (between updates) → `{message_ids}`; several are an album |
//! | `POST /sim/users/{id}/documents` | the same, as files |
//! | `POST /sim/users/{id}/press` | `{message_id?, data? (exact), label? (part)}` → `{callback_query_id}`; the latest message with such a button |
//! | `POST /sim/users/{id}/block`, `/unblock`, `/deactivate` | from then on the bot's calls to this person are answered 403 |
//! | `GET /sim/chats/{id}?since=&timeout=` | the chat ([`ChatView`]); with `since`, as soon as its `version` is greater |
//! | `GET /sim/wait?chat_id=&from=bot\|user&containing=&button=&data=&after=&media=&ever=&count=&timeout=` | waits for messages ([`MessageFilter`]) → `{messages}` |
//! | `GET /sim/ledger?method=&chat_id=&after=&accepted=&outcome=&count=&timeout=` | every Bot API call ([`LedgerEntry`]); with `count`, waits for so many |
//! | `GET /sim/deliveries?count=&timeout=` | every attempt at the webhook ([`Delivery`]); with `count`, waits for so many |
//! | `POST /sim/faults` | scripts a failure ([`Fault`]) → `{id}`; `GET` lists, `DELETE` (`/sim/faults/{id}` for one) removes |
//! | `GET /sim/held?count=&timeout=` | calls that a `hold` fault holds back; with `count`, waits for so many |
//! | `POST /sim/held/release` | `{id?}`: lets one of them continue, or all → `{released}` |
//! | `GET /sim/updates` | updates that the bot has not confirmed |
//! | `POST /sim/updates/resend` | `{update_id?, new_id?}`: sends one again (the latest), with the same id or a new one → `{update_id}` |
//! | `POST /sim/clock` | `{advance_seconds}`: moves the clock, for the rules of 48 hours, 1 hour and 15 seconds |
//! | `GET /sim/files/{file_unique_id}` | a file's bytes |
//!
//! A fault, for example: `{"method": "sendMessage", "chat_id": 42, "skip": 1, "times": 2, "action": {"kind":
//! "retry_after", "seconds": 3}}`. The actions are in [`FaultAction`].
//!
//! # What it does not have
//!
//! Groups, inline mode, payments, stickers, polls; photos are not recompressed (the largest size is the bytes that
//! were sent); files are never fetched by URL; only bot commands are recognised as entities in plain text.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::JournalError;

mod callbacks;
mod calls;
mod chats;
mod control;
mod core;
mod faults;
mod files;
mod handle;
mod html;
mod image_header;
mod ledger;
mod listener;
mod markdown;
mod markup;
mod memory;
mod methods;
mod refusal;
mod render;
mod request;
mod routes;
mod state;
mod text;
mod updates;
mod user_side;
mod view;
mod webhook;

pub use callbacks::{Callback, CallbackAnswer};
pub use faults::{Fault, FaultAction, HeldCall, HoldPoint, ScriptedFault};
pub use files::{Document, PhotoSize};
pub use handle::{Control, SimUser};
pub use ledger::{LedgerEntry, LedgerFilter, Outcome};
pub use markup::Button;
pub use memory::Memory;
pub use refusal::Known;
pub use text::Entity;
pub use user_side::{ButtonChoice, MediaOptions, NewUser, SimError};
pub use view::{ChatView, MessageFilter, MessageView, RevisionView, Side, UserView};
pub use webhook::Delivery;

/// How long [`Running::stop`] waits for calls that are under way.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);

/// Settings of one simulator.
#[derive(Debug, Clone)]
pub struct TelegramSimulatorConfig {
    /// Port 0 takes a free port, which [`Running::addr`] then names.
    pub listen: SocketAddr,
    /// The only token let in; `None`: any well-formed one, whose number becomes the bot's id.
    pub token: Option<String>,
    /// The bot's first name in `getMe` and in its messages.
    pub bot_name: String,
    /// The bot's user name, without `@`.
    pub bot_username: String,
    /// Multiplies Telegram's own waits, the webhook's retry delays: 0.01 makes them a hundred times shorter.
    pub time_scale: f64,
    /// Whether `/` serves the page on which a person plays the user.
    pub page: bool,
    /// Further routes, served below `/dev`; the page shows the panel that it finds there. `None`: only the chat.
    pub beside: Option<axum::Router>,
    /// What is kept from one run of the simulator to the next.
    pub memory: Memory,
}

impl Default for TelegramSimulatorConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            token: None,
            bot_name: "Aisha".to_owned(),
            bot_username: "aisha_simulated_bot".to_owned(),
            time_scale: 1.0,
            page: false,
            beside: None,
            memory: Memory::None,
        }
    }
}

/// Starts simulators: see [`start`](Self::start).
pub struct TelegramSimulator;

/// A running simulator. Dropping it stops it without waiting.
pub struct Running {
    /// The address it listens on, with the port it was given.
    pub addr: SocketAddr,
    control: Control,
    tasks: Vec<JoinHandle<()>>,
}

/// Why a simulator could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The port is taken, or may not be used.
    #[error("the Telegram simulator cannot listen on {0}")]
    Listen(SocketAddr, #[source] io::Error),
    /// The HTTP client that calls the webhook cannot be built: no TLS roots, or no entropy.
    #[error("the Telegram simulator cannot build its HTTP client")]
    Client(#[source] reqwest::Error),
    /// The directory of an earlier run cannot be read, or another simulator uses it.
    #[error("the Telegram simulator cannot remember: {0}")]
    Memory(#[from] JournalError),
}

impl TelegramSimulator {
    /// Listens and serves until it is stopped.
    pub async fn start(config: TelegramSimulatorConfig) -> Result<Running, StartError> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .build()
            .map_err(StartError::Client)?;
        let (state, keeper) = memory::recall(&config)?;
        let cannot_listen = |error| StartError::Listen(config.listen, error);
        let socket = TcpListener::bind(config.listen).await.map_err(cannot_listen)?;
        let addr = socket.local_addr().map_err(cannot_listen)?;
        let core = Arc::new(core::Core::new(config, http, state, keeper));
        let service =
            routes::router(Arc::clone(&core)).into_make_service_with_connect_info::<listener::Switch>();
        let stopping = core.stopping.clone();
        let server = axum::serve(listener::CuttableListener(socket), service)
            .with_graceful_shutdown(async move { stopping.cancelled().await });
        let tasks = vec![
            // Serving never ends with an error: a failed accept is tried again.
            tokio::spawn(async move { drop(server.await) }),
            tokio::spawn(webhook::send_updates(Arc::clone(&core))),
        ];
        Ok(Running {
            addr,
            control: Control { core },
            tasks,
        })
    }
}

impl Running {
    /// `http://<address>`: what a client takes as the API's base URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The control API, typed; clone it into any task.
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// The person with this id, created when there is none.
    pub fn user(&self, id: i64) -> SimUser {
        self.control.user(id)
    }

    /// Stops: long polls are answered, held calls cut, connections closed.
    pub async fn stop(mut self) {
        self.control.core.stopping.cancel();
        for mut task in std::mem::take(&mut self.tasks) {
            if tokio::time::timeout(STOP_TIMEOUT, &mut task).await.is_err() {
                task.abort();
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.control.core.stopping.cancel();
    }
}

/// Simulates the Telegram Bot API on one port. No real person gets a message.
///
/// Point clients at the address it listens on instead of api.telegram.org; a page there lets you play a user, and
/// /sim/ledger shows what the bot called.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    aisha telegram-simulator\n  \
    aisha telegram-simulator --listen 127.0.0.1:9701 --token 1:secret\n  \
    aisha telegram-simulator --state telegram.state\n  \
    curl http://127.0.0.1:9701/bot1:secret/getMe")]
pub struct TelegramSimulatorArgs {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1:9701")]
    listen: SocketAddr,
    /// The only bot token to let in; any well-formed one if not given
    #[arg(long)]
    token: Option<String>,
    /// The bot's user name, without @
    #[arg(long, default_value = "aisha_simulated_bot")]
    bot_username: String,
    /// Factor on the webhook's retry delays
    #[arg(long, default_value_t = 1.0)]
    time_scale: f64,
    /// Keep people, chats, files and ids in this directory. Without it they are forgotten at the end, and ids
    /// start higher each time
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
}

impl From<TelegramSimulatorArgs> for TelegramSimulatorConfig {
    fn from(args: TelegramSimulatorArgs) -> Self {
        Self {
            listen: args.listen,
            token: args.token,
            bot_username: args.bot_username,
            time_scale: args.time_scale,
            page: true,
            memory: args.state.map_or(Memory::Ids, Memory::Directory),
            ..Self::default()
        }
    }
}

/// `aisha telegram-simulator`: serves until `stop` is done.
pub async fn run(args: TelegramSimulatorArgs, stop: impl Future<Output = ()>) -> Result<(), StartError> {
    let running = TelegramSimulator::start(args.into()).await?;
    tracing::info!(
        "The Telegram simulator listens on {url}; play a user at {url}/",
        url = running.url()
    );
    stop.await;
    running.stop().await;
    Ok(())
}
