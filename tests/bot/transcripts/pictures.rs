//! What a user does with pictures: asks for them, stops them, gets none, keeps some, and looks through the old ones.

use aisha::simulators::fal::faults::{Effect, Fault, Operation};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{Transcript, compare, stage_with_fal};
use crate::{
    bot::{gallery::trained, stage::Stage},
    support::Fal,
};

/// How an album ends whose pictures were asked for last.
const READY: &str = "select count(*) from (select status from albums where asked_at is not null order by asked_at desc limit 1) newest
  where status = 'ready'";
const FAILED: &str = "select count(*) from (select status from albums where asked_at is not null order by asked_at desc limit 1) newest
  where status = 'failed'";
const CANCELLED: &str = "select count(*) from (select status from albums where asked_at is not null order by asked_at desc limit 1) newest
  where status = 'cancelled'";
/// FAL has it, and the bot knows.
const QUEUED: &str =
    "select count(*) from generations where fal_status = 'IN_QUEUE' and status = 'submitted'";

fn next_run(fal: &Fal, effect: Effect) {
    fal.script(Fault::new(Operation::Execution, effect)).unwrap();
}

/// Puts a model into the bucket, the smallest that FAL can load, and gives it to all avatars.
async fn stores_the_model(stage: &Stage) {
    let header = br#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    let length = u64::try_from(header.len()).unwrap().to_le_bytes();
    let model = [&length[..], &header[..], &[0; 4]].concat();
    stage.s3.put("models/lisa", &model);
    sqlx::query("update avatars set model_key = 'models/lisa', model_sha256 = $1")
        .bind(hex::encode(Sha256::digest(&model)))
        .execute(stage.pool())
        .await
        .unwrap();
}

async fn conversation(language: &str, name: &str, avatar: &str, words: &str) -> String {
    let (stage, fal, worker) = stage_with_fal(&[("AISHA__QUOTAS__PICTURES_A_DAY", "8")], "0").await;
    let mut lena = Transcript::of(&stage, stage.person(name, language));
    lena.says("/start").await;
    trained(&stage, &lena.person, &[avatar]).await;
    stores_the_model(&stage).await;
    lena.text.clear();

    lena.says("/pictures").await;
    lena.presses("gallery").await;
    lena.presses("generate:").await;
    lena.presses("style:").await;
    lena.says("🎉").await;
    lena.says(words).await;
    let square = aspect(&lena, "square");
    lena.presses(&square).await;
    let two = count(&lena, 2);
    lena.presses(&two).await;
    lena.presses_until("make:", READY).await;
    lena.presses("keep:").await;
    lena.presses_until("more:", READY).await;

    next_run(&fal, Effect::Nsfw { first: Some(1) });
    lena.presses_until("more:", READY).await;
    lena.presses("change:").await;
    lena.presses("words:").await;
    lena.presses("wordless:").await;
    next_run(&fal, Effect::Nsfw { first: None });
    lena.presses_until("make:", FAILED).await;
    let body = json!({"detail": "boom", "error_type": "runner_server_error"});
    next_run(&fal, Effect::Fail { status: 500, body });
    lena.presses_until("more:", FAILED).await;
    next_run(&fal, Effect::StuckInQueue {});
    lena.presses_until("more:", QUEUED).await;
    lena.presses_until("stop_album:", CANCELLED).await;
    lena.presses("change:").await;
    let four = count(&lena, 4);
    lena.presses(&four).await;
    lena.presses("make:").await;
    lena.says("/cancel").await;

    lena.says("/pictures").await;
    lena.presses("star:").await;
    lena.presses("pictures:stars").await;
    lena.presses("unstar:").await;
    lena.presses("unstar:").await;
    lena.presses("pictures:all").await;
    lena.presses("delete_picture:").await;
    lena.presses("picture:").await;
    lena.presses("delete_picture:").await;
    lena.presses("delete_picture_now:").await;
    lena.presses("like:").await;
    lena.presses("leave:").await;
    drop((worker, fal));
    lena.ends()
}

/// The data of the newest button that chooses this shape.
fn aspect(transcript: &Transcript<'_>, aspect: &str) -> String {
    data(transcript, &format!(":{aspect}"))
}

/// The data of the newest button that chooses so many pictures.
fn count(transcript: &Transcript<'_>, count: u8) -> String {
    data(transcript, &format!(":{count}"))
}

fn data(transcript: &Transcript<'_>, end: &str) -> String {
    let messages = transcript.bots();
    let mut buttons = messages
        .iter()
        .rev()
        .flat_map(|message| message.buttons.iter().flatten())
        .filter_map(|button| button.data.clone());
    buttons
        .find(|data| data.ends_with(end))
        .unwrap_or_else(|| panic!("no button ends with {end}"))
}

#[tokio::test]
async fn pictures_read_well_in_russian() {
    let words = "на берегу моря, в <белой> рубашке";
    compare("pictures.ru", &conversation("ru", "Лена", "Лиза", words).await);
}

#[tokio::test]
async fn pictures_read_well_in_english() {
    let words = "at the seaside, in a <white> shirt";
    compare("pictures.en", &conversation("en", "Ann", "Lisa", words).await);
}

#[tokio::test]
async fn pictures_read_well_in_kazakh() {
    let words = "теңіз жағасында, <ақ> көйлекпен";
    compare("pictures.kk", &conversation("kk", "Айгерім", "Гүл", words).await);
}
