//! Every button that there is, pressed on what is gone, on what is another's, and twice at once. A tap always gets a clear
//! answer, and is never an error of ours; what belongs to somebody else stays as it was.

use std::collections::BTreeSet;

use aisha::simulators::telegram::{ButtonChoice, Callback};
use jobs::domain::{
    Action, AlbumId, Aspect, AvatarId, Gender, Locale, PhotoId, PictureId, Preset, Shelf, TrainingId,
    TrainingType, WizardStep,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use sqlx::{FromRow, types::Uuid};

use super::{
    gallery::owner,
    stage::{Person, Stage, photos},
};
use crate::support::{BOT_TOKEN, eventually};

macro_rules! kinds {
    ($($kind:pat),* $(,)?) => {
        /// The kind of an action. A new one does not compile until it stands here, and then has to be pressed below.
        fn kind(action: &Action) -> &'static str {
            match action {
                $($kind => stringify!($kind),)*
            }
        }

        const KINDS: &[&str] = &[$(stringify!($kind)),*];
    };
}

kinds! {
    Action::Create,
    Action::NewDraft(_),
    Action::ChooseType(..),
    Action::ChooseGender(..),
    Action::Back(..),
    Action::Discard(_),
    Action::DiscardNow(_),
    Action::RemovePhoto(_),
    Action::KeepPhotos(_),
    Action::Start(_),
    Action::Retry(_),
    Action::Stop(_),
    Action::StopNow(_),
    Action::Delete(_),
    Action::DeleteNow(_),
    Action::DeleteMe,
    Action::DeleteMeNow,
    Action::StartBroadcast(_),
    Action::StopBroadcast(_),
    Action::ShowBroadcast(_),
    Action::Status,
    Action::Speak(_),
    Action::ChoosePreset(..),
    Action::Settings,
    Action::AskLanguage,
    Action::UsePreset(_),
    Action::Silence(_),
    Action::Gallery,
    Action::Show(_),
    Action::MakeMain(_),
    Action::Rename(_),
    Action::StopAlbum(_),
    Action::MoreLikeThis(_),
    Action::ChangeAlbum(_),
    Action::KeepPicture(_),
    Action::Generate(_),
    Action::Styles(..),
    Action::ChooseStyle(..),
    Action::AskWords(_),
    Action::WithoutWords(_),
    Action::ChooseAspect(..),
    Action::ChooseCount(..),
    Action::Make(_),
    Action::LeaveAlbum(_),
    Action::Pictures(_),
    Action::Picture(..),
    Action::Star(..),
    Action::Unstar(..),
    Action::MoreLikePicture(_),
    Action::DeletePicture(..),
    Action::DeletePictureNow(..),
}

/// One of everything that a button can name.
#[derive(Debug, Clone, Copy, FromRow)]
struct Things {
    draft: Uuid,
    trained: Uuid,
    failed: Uuid,
    photo: Uuid,
    training: Uuid,
    album_draft: Uuid,
    album_making: Uuid,
    album_ready: Uuid,
    picture: Uuid,
    broadcast: Uuid,
}

impl Things {
    /// Ids that nothing has.
    fn gone() -> Self {
        Self {
            draft: Uuid::new_v4(),
            trained: Uuid::new_v4(),
            failed: Uuid::new_v4(),
            photo: Uuid::new_v4(),
            training: Uuid::new_v4(),
            album_draft: Uuid::new_v4(),
            album_making: Uuid::new_v4(),
            album_ready: Uuid::new_v4(),
            picture: Uuid::new_v4(),
            broadcast: Uuid::new_v4(),
        }
    }

    /// Gives one of each to a person whom the bot knows.
    async fn of(stage: &Stage, person: &Person) -> Self {
        let picture = &photos(1)[0];
        stage.s3.put("k", picture);
        sqlx::query_as(include_str!("buttons/things.sql"))
            .bind(person.0.id())
            .bind(i64::try_from(picture.len()).unwrap())
            .bind(hex::encode(Sha256::digest(picture)))
            .fetch_one(stage.pool())
            .await
            .unwrap()
    }

    /// Each action that names one of them, on the one for which it was made.
    fn actions(&self) -> Vec<Action> {
        let (draft, trained) = (AvatarId(self.draft), AvatarId(self.trained));
        let failed = AvatarId(self.failed);
        let training = TrainingId(self.training);
        let album = AlbumId(self.album_draft);
        let (making, ready) = (AlbumId(self.album_making), AlbumId(self.album_ready));
        let picture = PictureId(self.picture);
        vec![
            Action::ChooseType(draft, TrainingType::Style),
            Action::ChooseGender(draft, Gender::Male),
            Action::Back(draft, WizardStep::Name),
            Action::Discard(draft),
            Action::DiscardNow(draft),
            Action::RemovePhoto(PhotoId(self.photo)),
            Action::KeepPhotos(draft),
            Action::Start(draft),
            Action::ChoosePreset(draft, Preset::Fast),
            Action::Retry(failed),
            Action::Stop(training),
            Action::StopNow(training),
            Action::Delete(trained),
            Action::DeleteNow(trained),
            Action::StartBroadcast(self.broadcast),
            Action::StopBroadcast(self.broadcast),
            Action::ShowBroadcast(self.broadcast),
            Action::Show(trained),
            Action::MakeMain(trained),
            Action::Rename(trained),
            Action::StopAlbum(making),
            Action::MoreLikeThis(ready),
            Action::ChangeAlbum(ready),
            Action::KeepPicture(picture),
            Action::Generate(trained),
            Action::Styles(album, 0),
            Action::ChooseStyle(album, "studio".to_owned()),
            Action::AskWords(album),
            Action::WithoutWords(album),
            Action::ChooseAspect(album, Aspect::Square),
            Action::ChooseCount(album, 1),
            Action::Make(album),
            Action::LeaveAlbum(album),
            Action::Picture(picture, Shelf::All),
            Action::Star(picture, Shelf::All),
            Action::Unstar(picture, Shelf::Favourites),
            Action::MoreLikePicture(picture),
            Action::DeletePicture(picture, Shelf::All),
            Action::DeletePictureNow(picture, Shelf::All),
        ]
    }
}

/// The actions that name nothing: they are always about whoever presses.
fn about_oneself() -> Vec<Action> {
    vec![
        Action::Create,
        Action::NewDraft(TrainingType::Portrait),
        Action::DeleteMe,
        Action::DeleteMeNow,
        Action::Status,
        Action::Speak(Locale::En),
        Action::Settings,
        Action::AskLanguage,
        Action::UsePreset(Preset::Fast),
        Action::Silence(true),
        Action::Gallery,
        Action::Pictures(Shelf::All),
    ]
}

/// What came of two taps on one button.
struct Answered {
    /// The words over the chat, one for each tap; empty if there were none.
    toasts: Vec<String>,
    /// Whether the bot wrote or changed a message.
    has_news: bool,
}

/// Lets each person press a button with this action twice at once, and waits until all are answered. Few press together:
/// words over the chat are sent once, and on a loaded machine a crowd's would be late.
async fn press_twice(stage: &Stage, taps: &[(&Person, Action)]) -> Vec<Answered> {
    let mut answered = Vec::new();
    for few in taps.chunks(4) {
        answered.extend(press_together(stage, few).await);
    }
    answered
}

async fn press_together(stage: &Stage, taps: &[(&Person, Action)]) -> Vec<Answered> {
    let mut pressed = Vec::new();
    for (person, action) in taps {
        let message = shows_a_button(stage, person, action).await;
        let before = contents(person);
        let choice = ButtonChoice {
            message_id: Some(message),
            data: Some(action.to_string()),
            label: None,
        };
        let ids = [(); 2].map(|()| person.0.press_button(&choice).unwrap());
        pressed.push((*person, before, ids));
    }
    let mut answered = Vec::new();
    for (person, _, ids) in &pressed {
        let answers = eventually("both taps to be answered", async || {
            let callbacks: Vec<Callback> = person.chat().callbacks;
            let of = |id: &String| callbacks.iter().find(|one| one.id == *id)?.answer.clone();
            ids.iter().map(of).collect::<Option<Vec<_>>>()
        });
        let toasts = answers.await.into_iter().map(|answer| answer.text).collect();
        answered.push(toasts);
    }
    everything_is_said(stage).await;
    let heard = answered.into_iter().zip(&pressed);
    heard
        .map(|(toasts, (person, before, _))| Answered {
            toasts,
            has_news: contents(person) != *before,
        })
        .collect()
}

async fn everything_is_said(stage: &Stage) {
    eventually("everything to be said", async || {
        let open = "select (select count(*) from telegram_updates where handled_at is null)
                         + (select count(*) from notifications
                             where closed_at is null and (delivered_revision < revision or retires <> '{}'))";
        (stage.count(open).await == 0).then_some(())
    })
    .await;
}

/// What the bot's messages to this person say, with their buttons.
fn contents(person: &Person) -> String {
    let messages = person.chat().messages.into_iter();
    let said = messages.filter(|message| message.from_bot && !message.deleted);
    let said = said.map(|message| format!("{} {} {:?}", message.message_id, message.text, message.buttons));
    said.collect()
}

/// Sends a message with this button, as an older version of the bot may have.
async fn shows_a_button(stage: &Stage, person: &Person, action: &Action) -> i64 {
    let button = json!({"text": "?", "callback_data": action.to_string()});
    let body = json!({
        "chat_id": person.0.id(), "text": kind(action),
        "reply_markup": {"inline_keyboard": [[button]]},
    });
    let url = format!("{}/bot{BOT_TOKEN}/sendMessage", stage.telegram.url());
    let http = reqwest::Client::builder().build().unwrap();
    let answer = http.post(url).json(&body).send().await.unwrap();
    let answer: Value = answer.json().await.unwrap();
    answer["result"]["message_id"].as_i64().expect("a message")
}

/// Everything that this person has, in a text that differs if anything of it does.
async fn belongings(stage: &Stage, person: &Person) -> String {
    sqlx::query_scalar(include_str!("buttons/belongings.sql"))
        .bind(person.0.id())
        .fetch_one(stage.pool())
        .await
        .unwrap()
}

#[test]
fn every_action_is_pressed() {
    let mut pressed = Things::gone().actions();
    pressed.extend(about_oneself());
    let pressed: BTreeSet<_> = pressed.iter().map(kind).collect();
    let all: BTreeSet<_> = KINDS.iter().copied().collect();
    assert_eq!(pressed, all);
}

#[tokio::test]
async fn every_button_is_answered_on_what_is_gone_is_anothers_or_was_pressed_before() {
    let stage = Stage::hurried(&[]).await;
    let root = stage.person("Root", "en");
    let id = root.0.id().to_string();
    let stage = stage.another_bot_with(&[("AISHA__BOT__ADMINS", &id)]).await;
    let ann = owner(&stage, "Ann", &[]).await;
    let anns = Things::of(&stage, &ann).await;
    everything_is_said(&stage).await;
    let before = belongings(&stage, &ann).await;
    let gone = Things::gone().actions();
    let eves: Vec<Person> = gone
        .iter()
        .map(|action| stage.person(kind(action), "en"))
        .collect();
    for eve in &eves {
        eve.says("/help");
    }
    for (what, actions) in [("gone", gone), ("another's", anns.actions())] {
        let taps: Vec<_> = eves.iter().zip(actions).collect();
        for (answered, (_, action)) in press_twice(&stage, &taps).await.iter().zip(&taps) {
            assert!(
                answered.toasts.iter().all(|toast| !toast.is_empty()),
                "{what}: {} was answered with nothing over the chat: {:?}",
                kind(action),
                answered.toasts
            );
        }
    }
    // No question was opened either: this text names no avatar, and is no words for a picture.
    for eve in &eves {
        eve.says("Stolen");
    }
    for eve in &eves {
        eve.hears("I did not quite get that").await;
    }
    assert_eq!(belongings(&stage, &ann).await, before, "Ann's");
    let all = "select (select count(*) from avatars) * 10 + (select count(*) from albums)";
    assert_eq!(stage.count(all).await, 43, "nothing came into being");
    for eve in &eves {
        let heard = eve.heard().join("\n");
        assert!(
            !heard.contains("Lisa") && !heard.contains("by the sea"),
            "{heard}"
        );
    }

    // Now each of them has one of everything, and presses twice.
    let mut taps = Vec::new();
    for (number, eve) in eves.iter().enumerate() {
        let action = Things::of(&stage, eve).await.actions().remove(number);
        taps.push((eve, action));
    }
    let alone: Vec<_> = about_oneself()
        .into_iter()
        .map(|action| (stage.person(kind(&action), "en"), action))
        .collect();
    for (eve, action) in &alone {
        eve.says("/help");
        taps.push((eve, action.clone()));
    }
    for (answered, (_, action)) in press_twice(&stage, &taps).await.iter().zip(&taps) {
        assert!(
            answered.has_news || answered.toasts.iter().any(|toast| !toast.is_empty()),
            "{} twice was answered with nothing",
            kind(action)
        );
    }
    let twice = "select count(*) from (select user_id from trainings group by user_id having count(*) > 3
                                       union all
                                       select user_id from albums where origin = 'user' group by user_id having count(*) > 4) twice";
    assert_eq!(stage.count(twice).await, 0, "asked for twice by two taps");
    assert_eq!(belongings(&stage, &ann).await, before, "Ann's, to the end");
    nothing_failed(&stage).await;
}

async fn nothing_failed(stage: &Stage) {
    let failed = "select count(*) from telegram_updates where attempts > 0 or error is not null";
    assert_eq!(stage.count(failed).await, 0);
    let log = stage.bot.output();
    assert!(!log.contains("ERROR"), "{log}");
}
