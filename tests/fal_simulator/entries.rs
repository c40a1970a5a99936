//! The entries of `trainers.toml` at the simulator: what we ship is trained there to the last preset, and so is what an operator adds.

use aisha::ops::simulators::declared_trainer;
use jobs::domain::{
    Aspect, FinetuneComment, ModelSource, Preset, TrainedModel, Trainer, TrainingOrder, UserId,
};

use super::*;
use crate::generators::SHIPPED as SHIPPED_GENERATORS;
use crate::trainers::{SHIPPED, read_files, trainers};

/// A trainer that this program has never heard of: FAL's of November 2026, as its page describes it.
const KREA_3: &str = r#"
[krea-3-trainer]
training_type = "style"
endpoint = "krea/v3/trainer"
inference_endpoint = "krea/v3/text-to-image/lora"
expected_minutes = 20
price = { per_step = 0.004, least_steps = 100 }
output = { kind = "lora", file = ["/training_artifact"] }
fills = { archive = "training_data_url", trigger = "trigger_phrase" }
steps = "number_of_steps"
inputs = { resolution = 1024 }

[krea-3-trainer.schema]
number_of_steps = "integer 50..10000"
learning_rate = "number 1e-6..1e-2"
resolution = "integer 1024 | 1536 | 2048"

[krea-3-trainer.presets]
fast = { number_of_steps = 500, learning_rate = 1e-4 }
balanced = { number_of_steps = 1000, learning_rate = 1e-4 }
quality = { number_of_steps = 2000, learning_rate = 1e-4 }
"#;

/// The endpoint that generates with them.
const KREA_3_PICTURES: &str = r#"
["krea/v3/text-to-image/lora"]
expected_seconds = 15
most_pictures = 4
fills = { prompt = "text", count = "amount", size = "ratio", loras = "loras" }
sizes = { portrait = "3:4", square = "1:1", landscape = "4:3", tall = "9:16", wide = "16:9" }
output = { pictures = ["/images"] }
schema = { creativity = "word low | high" }
inputs = { creativity = "low" }
"#;

fn body(trainer: &Trainer, preset: Preset, archive_url: &str) -> Value {
    trainer.request(&TrainingOrder {
        archive_url,
        trigger: "TOK_0b5c2d9e",
        preset,
        comment: FinetuneComment {
            avatar_name: Some("Анна"),
            telegram_username: None,
            user_id: UserId(uuid::Uuid::nil()),
            token: "00112233445566778899aabbccddeeff",
        },
    })
}

/// What the trainer's entry finds in the result of a training.
pub async fn train(fal: &Fal, trainer: &Trainer, preset: Preset, archive_url: &str) -> TrainedModel {
    let input = body(trainer, preset, archive_url);
    let (status, result) = fal.result(&trainer.endpoint, &input).await;
    assert_eq!(status, 200, "{} {preset}: {result}", trainer.name);
    trainer.output(&result).unwrap()
}

#[tokio::test]
async fn every_entry_and_preset_that_we_ship_is_trained_and_its_model_found() {
    let fal = Fal::start().await;
    let archive = fal.archive(10).await;
    for trainer in trainers().iter() {
        for preset in Preset::ALL {
            train(&fal, trainer, *preset, &archive).await;
        }
    }
}

#[tokio::test]
async fn a_trainer_that_fal_invents_is_added_by_its_entry_alone() {
    let chosen = ("AISHA__TRAINING__STYLE_TRAINER", "krea-3-trainer");
    let files = [
        ("trainers.toml", &*format!("{SHIPPED}{KREA_3}")),
        (
            "generators.toml",
            &*format!("{SHIPPED_GENERATORS}{KREA_3_PICTURES}"),
        ),
    ];
    let trainers = read_files(&files, &[chosen]).expect("the entries are right");
    let krea = trainers.get("krea-3-trainer").expect("the entry is there");
    let fal = Fal::with(FalSimulatorConfig {
        trainers: trainers.iter().map(declared_trainer).collect(),
        ..FalSimulatorConfig::default()
    })
    .await;
    let archive = fal.archive(10).await;
    let model = train(&fal, krea, Preset::Quality, &archive).await;
    let TrainedModel::Lora { url, .. } = model else {
        panic!("{model:?} is no LoRA");
    };
    let (_, size) = safetensors(&fal.bytes(&url).await);
    assert!(size > 0);
    assert_eq!(krea.cost(Preset::Quality).unwrap().to_string(), "$8.00");
    // Its generator is served too, under the names of its entry.
    let made = pictures::generated(
        &fal,
        krea.generator(),
        ModelSource::Lora { url: &url },
        Aspect::Square,
    )
    .await;
    assert_eq!(made.pictures.len(), 2);
    // It has no other inputs than the entry says.
    let mut input = body(krea, Preset::Fast, &archive);
    input["steps"] = json!(500);
    let expected = vec![("steps".to_owned(), "extra_forbidden".to_owned())];
    assert_eq!(fal.problems(&krea.endpoint, &input).await, expected);
}
