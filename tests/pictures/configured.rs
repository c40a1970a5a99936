//! An operator adds a trainer, a generator and a style by files alone.

use aisha::simulators::fal::ledger::Event;
use jobs::producer::{Ordered, Place, Started};
use serde_json::{Value, json};

use crate::{
    generators::SHIPPED as GENERATORS,
    notify_user::effects,
    saga::world::{photo, store_photo},
    styles::SHIPPED as STYLES,
    support::Core,
    trainers::SHIPPED as TRAINERS,
};

const TRAINER: &str = r#"
[house-trainer]
training_type = "portrait"
endpoint = "acme/house-trainer"
inference_endpoint = "acme/house/lora"
expected_minutes = 1
price = { per_run = 1.0 }
output = { kind = "lora", file = ["/weights"], config = "/config_file/url" }
fills = { archive = "photos_url", trigger = "subject" }
trigger_text = "a likeness of {trigger}"
steps = "rounds"
schema = { rounds = "integer 1..100", sharpness = "number 0..1" }

[house-trainer.presets]
fast = { rounds = 10, sharpness = 0.25 }
balanced = { rounds = 20, sharpness = 0.5 }
quality = { rounds = 40, sharpness = 0.75 }
"#;

const GENERATOR: &str = r#"
["acme/house/lora"]
expected_seconds = 5
most_pictures = 2
fills = { prompt = "prompt", negative = "without", count = "copies", size = "shape", seed = "seed", loras = "weights" }
sizes = { portrait = "portrait_4_3", square = "square_hd", landscape = "landscape_4_3", tall = "portrait_16_9", wide = "landscape_16_9" }
output = { pictures = ["/images"], flags = "/has_nsfw_concepts", seed = "/seed" }
inputs = { grain = 3 }
schema = { grain = "integer 0..9" }
"#;

const STYLE: &str = r#"
[noir]
title = { ru = "Нуар", en = "Noir", kk = "Нуар" }
prompt = { portrait = "noir photo of {trigger} {gender}, {prompt}, hard shadows" }
negative = "colours"
aspect = "square"
"#;

/// The endpoints and inputs of all requests that FAL accepted.
fn accepted(core: &Core) -> Vec<(String, Value)> {
    let ledger = core.fal.ledger().into_iter();
    let accepted = ledger.filter_map(|entry| match entry.event {
        Event::Submitted { endpoint, input, .. } => Some((endpoint, input)),
        _ => None,
    });
    accepted.collect()
}

/// Waits until so many runs have ended at FAL, and runs all jobs before and after.
async fn runs(core: &Core, wanted: usize) {
    core.jobs.drain().await;
    let ended = |entries: &[aisha::simulators::fal::ledger::Entry]| {
        let ended = entries
            .iter()
            .filter(|entry| matches!(entry.event, Event::RunEnded { .. }));
        (ended.count() >= wanted).then_some(())
    };
    core.fal
        .wait_for("the runs", ended)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    core.jobs.drain_through_time().await;
}

#[tokio::test]
async fn a_trainer_a_generator_and_a_style_are_added_by_config_alone() {
    let directory = tempfile::tempdir().unwrap();
    for (name, shipped, new) in [
        ("trainers.toml", TRAINERS, TRAINER),
        ("generators.toml", GENERATORS, GENERATOR),
        ("styles.toml", STYLES, STYLE),
    ] {
        std::fs::write(directory.path().join(name), format!("{shipped}{new}")).unwrap();
    }
    let variables = [
        ("AISHA__TRAINING__PORTRAIT_TRAINER", "house-trainer"),
        ("AISHA__PHOTOS__MIN", "4"),
        ("AISHA__FAL__WEBHOOK_GRACE", "0s"),
    ];
    let core = Core::configured(directory.path(), &variables).await;
    let ann = core.person();
    let avatar = core.draft_of(&ann).await;
    for number in 0..4 {
        store_photo(&core, avatar.0, &photo(number)).await;
    }

    let mut turn = core.turn_of(&ann).await;
    let started = turn.request_training(avatar, Place::New).await.unwrap();
    assert!(matches!(started, Started::Yes(_)), "{started:?}");
    turn.finish().await.unwrap();
    runs(&core, 1).await;
    let status = core.text("select status::text from avatars").await;
    assert_eq!(status.as_deref(), Some("completed"));
    let trigger = core.text("select trigger_phrase from avatars").await.unwrap();
    let (endpoint, asked) = accepted(&core).remove(0);
    assert_eq!(endpoint, "acme/house-trainer");
    assert!(asked["photos_url"].is_string(), "{asked}");
    assert_eq!(asked["subject"], json!(format!("a likeness of {trigger}")));
    assert_eq!((&asked["rounds"], &asked["sharpness"]), (&json!(20), &json!(0.5)));

    let mut turn = core.turn_of(&ann).await;
    let album = turn.begin_album(avatar).await.unwrap().expect("it is trained").id;
    assert!(turn.choose_style(album, "noir").await.unwrap());
    assert!(turn.choose_words(album, "in the rain").await.unwrap());
    assert!(turn.choose_count(album, 2).await.unwrap());
    let ordered = turn.order_album(album, Place::New).await.unwrap();
    assert!(matches!(ordered, Ordered::Yes), "{ordered:?}");
    turn.finish().await.unwrap();
    runs(&core, 2).await;
    let (endpoint, asked) = accepted(&core).remove(1);
    assert_eq!(endpoint, "acme/house/lora");
    assert_eq!(
        asked["prompt"],
        json!(format!(
            "noir photo of {trigger} woman, in the rain, hard shadows"
        ))
    );
    assert_eq!(asked["without"], json!("colours"));
    assert_eq!((&asked["copies"], &asked["grain"]), (&json!(2), &json!(3)));
    assert_eq!(asked["shape"], json!("square_hd"));
    assert_eq!(effects(&core, "sendMediaGroup"), 1, "the album is delivered");
    let lora = core.text("select lora_url from avatars").await.unwrap();
    assert_eq!(asked["weights"][0]["path"], json!(lora));
}
