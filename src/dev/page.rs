//! What the page of `aisha dev` shows and does beside the chat: the jobs as they move, accidents at a tap, and
//! sample photos.
//!
//! The simulator of Telegram serves these routes below `/dev`, beside its own page, which loads `panel.js` if it is
//! there. Reading goes to the database directly. What changes something is an [`PageOrder`] to the loop of
//! [`sandbox`](super::sandbox), which owns the roles and the simulators.
//!
//! | call | does |
//! |---|---|
//! | `GET /dev/panel.js`, `/dev/panel.css` | the panel |
//! | `GET /dev/state` | newest jobs, without those that run by the clock, and newest trainings |
//! | `POST /dev/accidents/{name}` | lets an [`Accident`] happen |
//! | `POST /dev/photos/{person}` | this person sends the sample photos, as albums |

use std::sync::{Arc, OnceLock};

use anyhow::{Context as _, anyhow};
use axum::{
    Json, Router,
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::{FromRow, PgPool, postgres::PgPoolOptions};
use tokio::sync::{mpsc, oneshot};

use super::{demo::sample_albums, stack::Stack};
use crate::simulators::{
    fal::faults::{Effect, Fault as FalFault, Operation},
    telegram::{Fault as TelegramFault, FaultAction, MediaOptions},
};

/// How many jobs, and how many trainings, the page shows.
const MOST_JOBS: i64 = 40;
const MOST_TRAININGS: i64 = 3;

/// Something that goes wrong at a tap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Accident {
    /// FAL never sends its next webhook.
    DropWebhook,
    /// FAL answers the next submit with 429: surely not taken, so it may be tried again.
    RefuseSubmit,
    /// FAL takes the next submit, and its answer is lost.
    LoseSubmit,
    /// Telegram answers the next message with 429.
    TelegramBusy,
    /// The worker is killed, and another one started.
    KillWorker,
}

/// A change that the page asks for, and where to say what came of it.
#[derive(Debug)]
pub struct PageOrder {
    wish: Wish,
    reply: oneshot::Sender<anyhow::Result<()>>,
}

#[derive(Debug)]
enum Wish {
    Accident(Accident),
    Photos { person: i64 },
}

/// The page's side: its routes, once they are served.
#[derive(Debug, Clone)]
pub struct DevPage {
    database: Arc<OnceLock<PgPool>>,
    orders: mpsc::Sender<PageOrder>,
}

/// A page that nothing is connected with yet, and the orders that will come from it.
pub fn open() -> (DevPage, mpsc::Receiver<PageOrder>) {
    let (orders, coming) = mpsc::channel(8);
    let database = Arc::default();
    (DevPage { database, orders }, coming)
}

impl DevPage {
    /// The routes, to be served below `/dev`.
    pub fn routes(&self) -> Router {
        let file = |kind: &'static str, text: &'static str| {
            get(move || async move { ([(header::CONTENT_TYPE, kind)], text) })
        };
        Router::new()
            .route(
                "/panel.js",
                file("text/javascript", include_str!("page/panel.js")),
            )
            .route("/panel.css", file("text/css", include_str!("page/panel.css")))
            .route("/state", get(state))
            .route("/accidents/{name}", post(accident))
            .route("/photos/{person}", post(photos))
            .with_state(self.clone())
    }

    /// From now on the page can show jobs.
    pub fn connect(&self, database_url: &str) -> anyhow::Result<()> {
        let pool = PgPoolOptions::new().max_connections(2);
        let pool = pool.connect_lazy(database_url).context("the page's database")?;
        self.database
            .set(pool)
            .map_err(|_| anyhow!("the page is connected already"))
    }

    async fn order(&self, wish: Wish) -> Response {
        let (reply, outcome) = oneshot::channel();
        let sent = self.orders.send(PageOrder { wish, reply }).await;
        let outcome = match sent {
            Ok(()) => outcome
                .await
                .unwrap_or_else(|_| Err(anyhow!("the system is stopping"))),
            Err(_) => Err(anyhow!("the system is stopping")),
        };
        match outcome {
            Ok(()) => Json(json!({})).into_response(),
            Err(error) => refused(StatusCode::CONFLICT, &format!("{error:#}")),
        }
    }
}

impl PageOrder {
    /// Carries the order out. The page hears of an error; the system goes on.
    pub async fn carry_out(self, stack: &mut Stack) {
        let outcome = match self.wish {
            Wish::Accident(accident) => accident.happen(stack).await,
            Wish::Photos { person } => send_samples(stack, person).await,
        };
        // A page that was closed needs no answer.
        drop(self.reply.send(outcome));
    }
}

impl Accident {
    async fn happen(self, stack: &mut Stack) -> anyhow::Result<()> {
        let fal = match self {
            Self::DropWebhook => FalFault::new(Operation::Webhook, Effect::Drop {}),
            Self::RefuseSubmit => FalFault::new(
                Operation::Submit,
                Effect::Answer {
                    status: 429,
                    // Without the header the job would wait for half a minute.
                    headers: [("retry-after".to_owned(), "3".to_owned())].into(),
                    body: json!({ "detail": "scripted by the page" }),
                },
            ),
            Self::LoseSubmit => FalFault::new(Operation::Submit, Effect::Close {}),
            Self::TelegramBusy => {
                let action = FaultAction::RetryAfter {
                    seconds: 5,
                    parameters: true,
                };
                let fault = TelegramFault::on("sendMessage", action);
                stack.telegram.control().inject(fault);
                return Ok(());
            }
            Self::KillWorker => {
                stack.kill_worker().await?;
                return stack.start_worker().await;
            }
        };
        stack.fal.script(fal)?;
        Ok(())
    }
}

async fn send_samples(stack: &Stack, person: i64) -> anyhow::Result<()> {
    let control = stack.telegram.control();
    anyhow::ensure!(
        control.users().iter().any(|user| user.id == person),
        "there is no person {person}"
    );
    for album in sample_albums() {
        control
            .user(person)
            .send_album(album, MediaOptions::default())
            .await?;
    }
    Ok(())
}

#[derive(Debug, Serialize, FromRow)]
struct ShownJob {
    id: i64,
    kind: String,
    state: String,
    attempt: i32,
    snoozes: i32,
    /// Message of the last failure, or why it waits.
    error: Option<String>,
    /// From the enqueue to the end, or to now.
    seconds: f64,
}

const JOBS: &str = "
    select id, kind, state::text as state, attempt, snoozes, error,
           extract(epoch from coalesce(finished_at, now()) - created_at)::float8 as seconds
      from jobs
     where kind <> all ($1)
     order by id desc
     limit $2";

#[derive(Debug, Serialize, FromRow)]
struct ShownTraining {
    name: Option<String>,
    status: String,
    progress: i16,
    attempts: i64,
}

const TRAININGS: &str = "
    select a.name, t.status::text as status, t.progress,
           (select count(*) from training_attempts s where s.training_id = t.id) as attempts
      from trainings t
      join avatars a on a.id = t.avatar_id
     order by t.created_at desc
     limit $1";

async fn state(State(page): State<DevPage>) -> Response {
    let Some(pool) = page.database.get() else {
        return refused(StatusCode::SERVICE_UNAVAILABLE, "the system is starting");
    };
    match look(pool).await {
        Ok((jobs, trainings)) => Json(json!({ "jobs": jobs, "trainings": trainings })).into_response(),
        Err(error) => refused(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    }
}

async fn look(pool: &PgPool) -> Result<(Vec<ShownJob>, Vec<ShownTraining>), sqlx::Error> {
    let by_the_clock: Vec<_> = jobs::kinds_by_the_clock().map(ToOwned::to_owned).collect();
    let jobs = sqlx::query_as(JOBS)
        .bind(by_the_clock)
        .bind(MOST_JOBS)
        .fetch_all(pool)
        .await?;
    let trainings = sqlx::query_as(TRAININGS)
        .bind(MOST_TRAININGS)
        .fetch_all(pool)
        .await?;
    Ok((jobs, trainings))
}

async fn accident(State(page): State<DevPage>, Path(accident): Path<Accident>) -> Response {
    page.order(Wish::Accident(accident)).await
}

async fn photos(State(page): State<DevPage>, Path(person): Path<i64>) -> Response {
    page.order(Wish::Photos { person }).await
}

fn refused(status: StatusCode, error: &str) -> Response {
    (status, Json(json!({ "error": error }))).into_response()
}
