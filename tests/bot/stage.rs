//! A stage: one bot, one worker for photos and messages, and the people who talk to the bot.

use std::path::Path;

use aisha::simulators::telegram::{
    ButtonChoice, ChatView, MediaOptions, MessageFilter, MessageView, NewUser, SimUser,
};
use bytes::Bytes;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::support::{Aisha, Db, PATIENCE, S3, Telegram, Web, aisha};

/// Everything that a conversation needs.
pub struct Stage {
    pub db: Db,
    pub telegram: Telegram,
    pub s3: S3,
    pub bot: Aisha,
    pub worker: Aisha,
    /// Where the bot's settings, and the worker's, differ from the others'.
    bot_settings: Settings,
    worker_settings: Settings,
    /// Only in webhook mode; ends with the stage.
    _web: Option<Web>,
}

type Settings = Vec<(String, String)>;

fn owned(variables: &[(&str, &str)]) -> Settings {
    let owned = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    owned.collect()
}

/// A worker that writes to one person as fast as it is asked to: a long conversation would wait for Telegram's limit most of
/// the time.
pub const AT_ONCE: [(&str, &str); 4] = [
    ("AISHA__TELEGRAM__RATE", "1000/s"),
    ("AISHA__TELEGRAM__BURST", "1000"),
    ("AISHA__TELEGRAM__CHAT_RATE", "1000/s"),
    ("AISHA__TELEGRAM__CHAT_BURST", "1000"),
];

impl Stage {
    /// With a bot, and a worker for photos and messages only: trainings get as far as `requested`
    /// and their archive, which finds no FAL.
    pub async fn new() -> Self {
        Self::with_bot(&[]).await
    }

    /// As [`Stage::new`], with other settings for the bot.
    pub async fn with_bot(variables: &[(&str, &str)]) -> Self {
        Self::with(variables, &[]).await
    }

    /// As [`Stage::with_bot`], with a worker that waits for no limit of Telegram's ([`AT_ONCE`]).
    pub async fn hurried(variables: &[(&str, &str)]) -> Self {
        Self::with(variables, &AT_ONCE).await
    }

    async fn with(bot_variables: &[(&str, &str)], worker_variables: &[(&str, &str)]) -> Self {
        let (db, telegram, s3) = (Db::new().await, Telegram::new().await, S3::new().await);
        let (bot_settings, worker_settings) = (owned(bot_variables), owned(worker_variables));
        let bot = bot(&db, &telegram, &bot_settings);
        let worker = worker(&db, &telegram, &s3, &worker_settings);
        bot.line("polls Telegram").await;
        worker.line("claiming jobs").await;
        Self {
            db,
            telegram,
            s3,
            bot,
            worker,
            bot_settings,
            worker_settings,
            _web: None,
        }
    }

    /// As [`Stage::new`], but Telegram posts updates to `aisha web`, which stores them for the bot.
    pub async fn by_webhook() -> Self {
        let (db, telegram, s3) = (Db::new().await, Telegram::new().await, S3::new().await);
        let mode = [
            ("AISHA__TELEGRAM__MODE", "webhook"),
            ("TELEGRAM_WEBHOOK_SECRET", "s3cret_of-Telegrams"),
        ];
        let web = Web::start(&db, &mode).await;
        let bot = aisha(["bot"])
            .env("DATABASE_URL", db.url())
            .env("AISHA__TELEGRAM__WEBHOOK_URL", web.url(""))
            .envs(mode)
            .envs(telegram.env())
            .start();
        let worker = worker(&db, &telegram, &s3, &Vec::new());
        worker.line("claiming jobs").await;
        Self {
            db,
            telegram,
            s3,
            bot,
            worker,
            bot_settings: Vec::new(),
            worker_settings: Vec::new(),
            _web: Some(web),
        }
    }

    /// Starts a worker in place of one that died.
    pub fn another_worker(&self) -> Aisha {
        worker(&self.db, &self.telegram, &self.s3, &self.worker_settings)
    }

    /// Starts a worker for the queue of everything else.
    pub fn upkeep_worker(&self) -> Aisha {
        aisha(["worker", "--queues", "upkeep"])
            .env("DATABASE_URL", self.db.url())
            .env("AVATAR_TEST_MODE", "true")
            .envs(self.telegram.env())
            .envs(self.s3.env())
            .start()
    }

    /// A tap on a button that was never shown to this person; no Telegram client would send it.
    pub async fn forge_tap(&self, person: &Person, message_id: i64, data: &str) {
        let id = person.0.id();
        let from = json!({"id": id, "is_bot": false, "first_name": "Eve", "language_code": "en"});
        let message = json!({"message_id": message_id, "date": 1, "chat": {"id": id, "type": "private", "first_name": "Eve"}});
        let query = json!({"id": "1", "from": from, "message": message, "chat_instance": "1", "data": data});
        self.forge_update(person, json!({"callback_query": query})).await;
    }

    /// An edit of a message that this person sent.
    pub async fn forge_edit(&self, person: &Person, message_id: i64, text: &str) {
        let id = person.0.id();
        let message = json!({
            "message_id": message_id, "date": 1, "edit_date": 2, "text": text,
            "chat": {"id": id, "type": "private", "first_name": "Ann"},
            "from": {"id": id, "is_bot": false, "first_name": "Ann", "language_code": "en"},
        });
        self.forge_update(person, json!({"edited_message": message}))
            .await;
    }

    /// Stores an update of this person that the simulator cannot make.
    async fn forge_update(&self, person: &Person, body: Value) {
        sqlx::query(
            "insert into telegram_updates (update_id, chat_id, body)
             select next, $1, jsonb_set($2, '{update_id}', to_jsonb(next))
               from (select max(update_id) + 1000 as next from telegram_updates) ids",
        )
        .bind(person.0.id())
        .bind(body)
        .execute(self.pool())
        .await
        .unwrap();
    }

    /// Replaces the bot by one with other settings.
    pub async fn another_bot_with(mut self, variables: &[(&str, &str)]) -> Self {
        self.bot_settings = owned(variables);
        self.restart_bot();
        self.bot.line("polls Telegram").await;
        self
    }

    /// Starts another bot process beside the first.
    pub fn another_bot(&self) -> Aisha {
        bot(&self.db, &self.telegram, &self.bot_settings)
    }

    /// SIGKILL for the bot, wherever it is in its work, and another in its place.
    pub fn restart_bot(&mut self) {
        self.bot.kill();
        self.bot = self.another_bot();
    }

    /// The same for the bot and the worker.
    pub fn restart(&mut self) {
        self.worker.kill();
        self.worker = self.another_worker();
        self.restart_bot();
    }

    /// A new person, whose Telegram has this language.
    pub fn person(&self, name: &str, language: &str) -> Person {
        let new = NewUser {
            first_name: Some(name.to_owned()),
            language_code: Some(language.to_owned()),
            ..NewUser::default()
        };
        Person(self.telegram.control().create_user(new))
    }

    pub fn pool(&self) -> &PgPool {
        &self.db.pool
    }

    /// The one number that a query returns.
    pub async fn count(&self, query: &'static str) -> i64 {
        sqlx::query_scalar(query).fetch_one(self.pool()).await.unwrap()
    }
}

fn bot(db: &Db, telegram: &Telegram, settings: &Settings) -> Aisha {
    aisha(["bot"])
        .env("DATABASE_URL", db.url())
        .envs(telegram.env())
        .envs(settings.iter().map(|(name, value)| (name, value)))
        .start()
}

fn worker(db: &Db, telegram: &Telegram, s3: &S3, settings: &Settings) -> Aisha {
    aisha(["worker", "--queues", "media,notify"])
        .env("DATABASE_URL", db.url())
        .env("AVATAR_TEST_MODE", "true")
        .envs(telegram.env())
        .envs(s3.env())
        .envs(settings.iter().map(|(name, value)| (name, value)))
        .start()
}

/// A person who talks to the bot.
pub struct Person(pub SimUser);

impl Person {
    pub fn says(&self, text: &str) {
        self.0.send_text(text).unwrap();
    }

    /// Waits until a message of the bot contains this text now; returns it, of several the latest.
    pub async fn hears(&self, part: &str) -> MessageView {
        self.hears_what(MessageFilter::from_bot().containing(part)).await
    }

    pub async fn hears_what(&self, filter: MessageFilter) -> MessageView {
        self.0
            .wait_for(filter, PATIENCE)
            .await
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// Waits until this message contains the text.
    pub async fn sees(&self, message: &MessageView, part: &str) -> MessageView {
        let id = message.message_id;
        let look = |chat: &ChatView| {
            chat.messages
                .iter()
                .find(|one| one.message_id == id && one.text.contains(part))
                .cloned()
        };
        let seen = self.0.wait_until(PATIENCE, look).await;
        seen.unwrap_or_else(|| {
            panic!(
                "message {id} never said {part:?}; the bot said {:?}",
                self.heard()
            )
        })
    }

    /// Waits until this message is no longer in the chat.
    pub async fn misses(&self, message: &MessageView) {
        let id = message.message_id;
        let gone = self.0.wait_until(PATIENCE, |chat| {
            let is_there = |one: &MessageView| one.message_id == id && !one.deleted;
            (!chat.messages.iter().any(is_there)).then_some(())
        });
        gone.await
            .unwrap_or_else(|| panic!("message {id} is still there: {:?}", self.heard()));
    }

    /// Waits for a button whose label contains this, and presses it on the latest message that has it.
    pub async fn presses(&self, label: &str) -> MessageView {
        let message = self
            .hears_what(MessageFilter::from_bot().with_button(label))
            .await;
        self.presses_on(&message, label);
        message
    }

    /// Presses a button of a message as it was when the test looked.
    pub fn presses_on(&self, message: &MessageView, label: &str) {
        let button = message
            .buttons
            .iter()
            .flatten()
            .find(|button| button.text.contains(label))
            .expect("the button");
        let choice = ButtonChoice {
            message_id: Some(message.message_id),
            data: button.data.clone(),
            label: None,
        };
        self.0.press_button(&choice).unwrap();
    }

    /// Answers the wizard's questions up to the photos.
    pub async fn answers_the_questions(&self, name: &str) -> MessageView {
        self.says("/start");
        self.presses("Portrait").await;
        self.presses("Woman").await;
        self.hears("call the avatar").await;
        self.says(name);
        self.hears("different angles").await
    }

    /// Sends photos at once, as an album, and waits until they are loaded.
    pub async fn sends_photos(&self, photos: Vec<Bytes>) -> MessageView {
        let all = photos.len();
        self.0.send_album(photos, MediaOptions::default()).await.unwrap();
        self.hears(&format!("{all} photos loaded")).await
    }

    pub fn chat(&self) -> ChatView {
        self.0.chat().unwrap()
    }

    /// The bot's messages as they are now, oldest first.
    pub fn heard(&self) -> Vec<String> {
        self.chat()
            .messages
            .into_iter()
            .filter(|message| message.from_bot)
            .map(|message| message.text)
            .collect()
    }
}

/// `count` different photos.
pub fn photos(count: usize) -> Vec<Bytes> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/photos/portrait");
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() >= count, "there are only {} photos", files.len());
    files
        .iter()
        .take(count)
        .map(|file| std::fs::read(file).unwrap().into())
        .collect()
}
