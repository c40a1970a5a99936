//! The whole way from /start to the finished avatar as a person reads it, in each language: `tests/bot/transcripts/*.txt`.
//!
//! The files are for people, who read a text better where it stands. After a change of texts write them anew with
//! `REWRITE_TRANSCRIPTS=1 cargo test --test main bot::transcripts`, and read the difference.

use std::{fmt::Write as _, path::PathBuf};

use aisha::simulators::telegram::{ButtonChoice, MediaOptions, MessageView};

use super::stage::{Person, Stage, photos};
use crate::support::{Aisha, Fal, aisha, eventually};

/// A conversation, and what was said in it.
struct Transcript<'a> {
    stage: &'a Stage,
    person: Person,
    text: String,
    /// The bot's messages when the last step was over, with their edits.
    seen: Vec<(i64, usize)>,
}

impl Transcript<'_> {
    fn bots(&self) -> Vec<MessageView> {
        let messages = self.person.chat().messages.into_iter();
        messages
            .filter(|message| message.from_bot && !message.deleted)
            .collect()
    }

    /// Waits until the bot has said this many new or changed things, and writes them down.
    async fn answered(&mut self, count: usize) {
        eventually("the outbox to be delivered", async || {
            let open = self
                .stage
                .count(
                    "select count(*) from notifications
                      where closed_at is null and (delivered_revision < revision or retires <> '{}')",
                )
                .await;
            let unheard = self
                .stage
                .count("select count(*) from telegram_updates where handled_at is null")
                .await;
            // The card shows hints once the photos were inspected.
            let at_work = self
                .stage
                .count(
                    "select count(*) from jobs
                      where kind in ('store_photo', 'inspect_photo', 'notify_user') and state in ('ready', 'scheduled', 'running')",
                )
                .await;
            let is_quiet = open == 0 && unheard == 0 && at_work == 0;
            (is_quiet && self.news().len() >= count).then_some(())
        })
        .await;
        for message in self.news() {
            let _ = writeln!(self.text, "{}", shown(&message));
        }
        self.seen = self
            .bots()
            .iter()
            .map(|message| (message.message_id, message.earlier.len()))
            .collect();
    }

    fn news(&self) -> Vec<MessageView> {
        let is_new =
            |message: &MessageView| !self.seen.contains(&(message.message_id, message.earlier.len()));
        self.bots().into_iter().filter(is_new).collect()
    }

    async fn says(&mut self, text: &str) {
        let _ = writeln!(self.text, "👩 {text}\n");
        self.person.says(text);
        self.answered(1).await;
    }

    /// Presses the newest button with data that begins so.
    async fn presses(&mut self, data: &str) {
        let messages = self.bots();
        let buttons = messages.iter().rev().flat_map(|message| {
            let row = message.buttons.iter().flatten();
            row.map(|button| (message.message_id, button))
        });
        let starts =
            |data_of: &Option<String>| data_of.as_deref().is_some_and(|whole| whole.starts_with(data));
        let (message_id, button) = buttons
            .into_iter()
            .find(|(_, button)| starts(&button.data))
            .unwrap_or_else(|| panic!("no button {data}: {messages:?}"));
        let _ = writeln!(self.text, "👉 [{}]\n", button.text);
        let choice = ButtonChoice {
            message_id: Some(message_id),
            data: button.data.clone(),
            label: None,
        };
        self.person.0.press_button(&choice).unwrap();
        self.answered(1).await;
    }
}

fn shown(message: &MessageView) -> String {
    let mut shown = String::new();
    for (number, line) in message.text.lines().enumerate() {
        let mark = if number == 0 { "🤖 " } else { "   " };
        let _ = writeln!(shown, "{}", format!("{mark}{line}").trim_end());
    }
    for row in &message.buttons {
        let labels: Vec<_> = row.iter().map(|button| format!("[{}]", button.text)).collect();
        let _ = writeln!(shown, "   {}", labels.join(" "));
    }
    shown
}

/// A stage whose workers reach FAL.
async fn stage_with_fal() -> (Stage, Fal, Aisha) {
    let stage = Stage::new().await;
    let fal = Fal::new().await;
    let worker = aisha(["worker", "--queues", "fal,poll,upkeep"])
        .env("DATABASE_URL", stage.db.url())
        .env("AISHA__FAL__POLL_INTERVAL", "200ms")
        .env("AISHA__FAL__POLL_FIRST_AFTER", "100ms")
        .envs(stage.telegram.env())
        .envs(stage.s3.env())
        .envs(fal.env())
        .start();
    // The worker of the stage knows no FAL, and could not bring an archive there.
    let mut stage = stage;
    stage.worker.kill();
    stage.worker = aisha(["worker", "--queues", "media,notify"])
        .env("DATABASE_URL", stage.db.url())
        .envs(stage.telegram.env())
        .envs(stage.s3.env())
        .envs(fal.env())
        .start();
    (stage, fal, worker)
}

async fn conversation(language: &str, person: &str, avatar: &str) -> String {
    let (stage, fal, worker) = stage_with_fal().await;
    let person = stage.person(person, language);
    let mut transcript = Transcript {
        stage: &stage,
        person,
        text: String::new(),
        seen: Vec::new(),
    };
    transcript.says("/start").await;
    transcript.presses("new:portrait").await;
    transcript.presses("gender:").await;
    transcript.says(avatar).await;
    transcript.text.push_str("👩 (4 📷)\n\n");
    let album = |photos| transcript.person.0.send_album(photos, MediaOptions::default());
    album(photos(4)).await.unwrap();
    transcript.answered(1).await;
    transcript.says("?").await;
    transcript.text.push_str("👩 (plan.pdf)\n\n");
    let file = transcript
        .person
        .0
        .send_document("plan.pdf", Some("application/pdf"), "%PDF-1.7", "");
    file.await.unwrap();
    transcript.answered(2).await;
    transcript.text.push_str("👩 (8 📷)\n\n");
    let album = |photos| transcript.person.0.send_album(photos, MediaOptions::default());
    album(photos(12).split_off(4)).await.unwrap();
    transcript.answered(1).await;
    transcript.presses("preset:").await;
    transcript.says("/cancel").await;
    transcript.presses("create").await;
    let start = transcript.bots().pop().expect("a card");
    let label = &start.buttons[0][0];
    let _ = writeln!(transcript.text, "👉 [{}]\n", label.text);
    let choice = ButtonChoice {
        message_id: Some(start.message_id),
        data: label.data.clone(),
        label: None,
    };
    transcript.person.0.press_button(&choice).unwrap();
    eventually("the avatar to be ready", async || {
        let told = "select count(*) from notifications where kind = 'final' and outcome = 'delivered'";
        (stage.count(told).await == 1).then_some(())
    })
    .await;
    transcript.answered(2).await;
    for command in [
        "/status",
        "/settings",
        "/help",
        "/cancel",
        "/nonsense",
        "/language",
    ] {
        transcript.says(command).await;
    }
    drop((worker, fal));
    transcript.text
}

fn compare(language: &str, said: &str) {
    let file: PathBuf = [
        env!("CARGO_MANIFEST_DIR"),
        "tests/bot/transcripts",
        &format!("{language}.txt"),
    ]
    .iter()
    .collect();
    if std::env::var_os("REWRITE_TRANSCRIPTS").is_some() {
        std::fs::write(&file, said).unwrap();
        return;
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    let differs = written
        .lines()
        .zip(said.lines())
        .position(|(old, new)| old != new);
    assert!(
        written == said,
        "{} says otherwise from line {:?} on. Now it is:\n\n{said}\nfix: if that is better, write it anew: REWRITE_TRANSCRIPTS=1 cargo test --test main bot::transcripts",
        file.display(),
        differs.map(|line| line + 1)
    );
}

#[tokio::test]
async fn the_whole_way_reads_well_in_russian() {
    compare("ru", &conversation("ru", "Лена", "Лиза").await);
}

#[tokio::test]
async fn the_whole_way_reads_well_in_english() {
    compare("en", &conversation("en", "Ann", "Lisa").await);
}

#[tokio::test]
async fn the_whole_way_reads_well_in_kazakh() {
    compare("kk", &conversation("kk", "Айгерім", "Гүл").await);
}
