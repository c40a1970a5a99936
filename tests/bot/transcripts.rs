//! Conversations as a person reads them, in each language: `tests/bot/transcripts/*.txt`. Here the whole way from /start to
//! the finished avatar with its first pictures; below, what can be done with pictures, and with avatars and data.
//!
//! The files are for people, who read a text better where it stands. After a change of texts write them anew with
//! `REWRITE_TRANSCRIPTS=1 cargo test --test main bot::transcripts`, and read the difference.

mod avatars;
mod pictures;

use std::{fmt::Write as _, path::PathBuf};

use aisha::simulators::telegram::{Button, ButtonChoice, MediaOptions, MessageView};
use bytes::Bytes;

use super::stage::{AT_ONCE, Person, Stage, photos};
use crate::support::{Aisha, Fal, aisha, eventually};

/// A conversation, and what was said in it.
struct Transcript<'a> {
    stage: &'a Stage,
    person: Person,
    text: String,
    /// The bot's messages when the last step was over, with their edits.
    seen: Vec<(i64, usize)>,
}

impl<'a> Transcript<'a> {
    fn of(stage: &'a Stage, person: Person) -> Self {
        Self {
            stage,
            person,
            text: String::new(),
            seen: Vec::new(),
        }
    }

    fn ends(mut self) -> String {
        std::mem::take(&mut self.text)
    }

    fn bots(&self) -> Vec<MessageView> {
        let messages = self.person.chat().messages.into_iter();
        messages
            .filter(|message| message.from_bot && !message.deleted)
            .collect()
    }

    /// Waits until the bot has said this many new or changed things, and writes them down.
    async fn answered(&mut self, count: usize) {
        eventually("the outbox to be delivered", async || {
            (is_quiet(self.stage).await && self.news().len() >= count).then_some(())
        })
        .await;
        self.writes_down();
    }

    fn writes_down(&mut self) {
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

    /// Sends an album; `answers`: how many messages come or change.
    async fn sends_photos(&mut self, photos: Vec<Bytes>, answers: usize) {
        let _ = writeln!(self.text, "👩 ({} 📷)\n", photos.len());
        let album = self.person.0.send_album(photos, MediaOptions::default());
        album.await.unwrap();
        self.answered(answers).await;
    }

    /// Presses the newest button whose data begins so, or whose label is this. Something has to come of it: a message, or words over the chat.
    async fn presses(&mut self, which: &str) {
        self.presses_until(which, "select 1::bigint").await;
    }

    /// As [`Self::presses`], and waits until this query returns 1, too.
    async fn presses_until(&mut self, which: &str, is_over: &'static str) {
        let messages = self.bots();
        let buttons = messages.iter().rev().flat_map(|message| {
            let row = message.buttons.iter().flatten();
            row.map(|button| (message.message_id, button))
        });
        let is_meant = |button: &Button| {
            button.text == which || button.data.as_deref().is_some_and(|data| data.starts_with(which))
        };
        let (message_id, button) = buttons
            .into_iter()
            .find(|(_, button)| is_meant(button))
            .unwrap_or_else(|| panic!("there is no button {which}"));
        let _ = writeln!(self.text, "👉 [{}]\n", button.text);
        let choice = ButtonChoice {
            message_id: Some(message_id),
            data: button.data.clone(),
            label: None,
        };
        let tap = self.person.0.press_button(&choice).unwrap();
        let toast = eventually("the tap's answer", async || {
            let callbacks = self.person.chat().callbacks;
            let answer = callbacks.into_iter().find(|one| one.id == tap)?.answer?;
            let something_came = !answer.text.is_empty() || !self.news().is_empty();
            let is_over = self.stage.count(is_over).await == 1 && is_quiet(self.stage).await;
            (is_over && something_came).then_some(answer.text)
        })
        .await;
        if !toast.is_empty() {
            let _ = writeln!(self.text, "💬 {toast}\n");
        }
        self.writes_down();
    }
}

impl Drop for Transcript<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("---- so far:\n{}\n---- and then: {:?}", self.text, self.news());
        }
    }
}

/// Whether nothing is on its way to anybody.
async fn is_quiet(stage: &Stage) -> bool {
    // The card shows hints once the photos were inspected.
    let busy = "select (select count(*) from notifications
                         where closed_at is null and (delivered_revision < revision or retires <> '{}'))
                     + (select count(*) from telegram_updates where handled_at is null)
                     + (select count(*) from jobs
                         where kind in ('store_photo', 'inspect_photo', 'notify_user', 'export_data', 'erase_user')
                           and state in ('ready', 'scheduled', 'running'))";
    stage.count(busy).await == 0
}

fn shown(message: &MessageView) -> String {
    let mut shown = String::from("🤖 ");
    if message.photo.is_some() {
        shown.push_str("(📷) ");
    }
    if let Some(document) = &message.document {
        let _ = write!(shown, "({}) ", document.file_name);
    }
    let text = without_code(&message.text);
    for (number, line) in text.lines().enumerate() {
        let mark = if number == 0 { "" } else { "   " };
        let _ = writeln!(shown, "{}", format!("{mark}{line}").trim_end());
    }
    if message.text.is_empty() {
        let end = shown.trim_end().len();
        shown.truncate(end);
        shown.push('\n');
    }
    for row in &message.buttons {
        let labels: Vec<_> = row.iter().map(|button| format!("[{}]", button.text)).collect();
        let _ = writeln!(shown, "   {}", labels.join(" "));
    }
    shown
}

/// The text with `····` for a support code, which is another each time.
fn without_code(text: &str) -> String {
    let is_code = |word: &&str| {
        let mut signs = word.bytes();
        word.len() == 9
            && word.as_bytes()[4] == b'-'
            && signs.all(|sign| sign == b'-' || sign.is_ascii_uppercase() || sign.is_ascii_digit())
    };
    let code = text.split_whitespace().find(is_code);
    code.map_or_else(|| text.to_owned(), |code| text.replace(code, "····"))
}

/// A stage whose workers reach FAL, and write as fast as they are asked to.
async fn stage_with_fal(bot: &[(&str, &str)], samples: &str) -> (Stage, Fal, Aisha) {
    let mut stage = Stage::with_bot(bot).await;
    let fal = Fal::new().await;
    let worker = |queues| {
        aisha(["worker", "--queues", queues])
            .env("DATABASE_URL", stage.db.url())
            .env("AISHA__FAL__POLL_INTERVAL", "200ms")
            .env("AISHA__FAL__POLL_FIRST_AFTER", "100ms")
            .env("AISHA__TRAINING__SAMPLES", samples)
            .envs(AT_ONCE)
            .envs(stage.telegram.env())
            .envs(stage.s3.env())
            .envs(fal.env())
            .start()
    };
    let worker_at_fal = worker("fal,poll,upkeep");
    // The worker of the stage knows no FAL, and could not bring an archive there.
    let worker = worker("media,notify");
    stage.worker.kill();
    stage.worker = worker;
    (stage, fal, worker_at_fal)
}

async fn conversation(language: &str, person: &str, avatar: &str) -> String {
    let (stage, fal, worker) = stage_with_fal(&[], "2").await;
    let person = stage.person(person, language);
    let mut transcript = Transcript::of(&stage, person);
    transcript.says("/start").await;
    transcript.presses("new:portrait").await;
    transcript.presses("gender:").await;
    transcript.says(avatar).await;
    transcript.sends_photos(photos(4), 1).await;
    transcript.says("?").await;
    transcript.text.push_str("👩 (plan.pdf)\n\n");
    let file = transcript
        .person
        .0
        .send_document("plan.pdf", Some("application/pdf"), "%PDF-1.7", "");
    file.await.unwrap();
    transcript.answered(2).await;
    transcript.sends_photos(photos(12).split_off(4), 1).await;
    transcript.presses("preset:").await;
    transcript.says("/cancel").await;
    transcript.presses("create").await;
    let told = "select count(*) from notifications where kind = 'final' and outcome = 'delivered' and training_id is not null";
    transcript.presses_until("start:", told).await;
    for command in [
        "/gallery",
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
    transcript.ends()
}

fn compare(name: &str, said: &str) {
    let file: PathBuf = [
        env!("CARGO_MANIFEST_DIR"),
        "tests/bot/transcripts",
        &format!("{name}.txt"),
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
