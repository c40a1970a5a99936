//! The trainer table: the exact request bodies it produces, and the mistakes it refuses.

use std::path::Path;

use ::aisha::{
    settings::{BotSettings, Given, Problems},
    simulators::fal::{FalSimulator, FalSimulatorConfig},
};
use jobs::domain::{
    FinetuneComment, OutputKind, OutputProblem, Preset, TrainedModel, Trainers, TrainingOrder, TrainingType,
    UserId,
};
use serde_json::{Value, json};

use crate::support::aisha;

pub const SHIPPED: &str = include_str!("../config/trainers.toml");

/// Reads this `trainers.toml` with these variables, as a bot does.
pub fn read(table: &str, variables: &[(&str, &str)]) -> Result<Trainers, Problems> {
    read_files(&[("trainers.toml", table)], variables)
}

/// Reads a directory with these files, as a bot does.
pub fn read_files(files: &[(&str, &str)], variables: &[(&str, &str)]) -> Result<Trainers, Problems> {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    let needed = [
        ("DATABASE_URL", "postgres://nobody@127.0.0.1:9/nothing"),
        ("TELEGRAM_BOT_TOKEN", "1:nobody"),
    ];
    let variables = needed.iter().chain(variables);
    let given = Given {
        config_dir: Some(directory.path().to_owned()),
        environment: variables
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        ..Given::default()
    };
    given.load::<BotSettings>().map(|settings| settings.trainers)
}

/// The table that we ship.
pub fn trainers() -> Trainers {
    read(SHIPPED, &[]).expect("the shipped table")
}

const COMMENT: FinetuneComment<'_> = FinetuneComment {
    avatar_name: Some("Анна"),
    telegram_username: Some("anna_k"),
    user_id: UserId(uuid::Uuid::nil()),
    token: "00112233445566778899aabbccddeeff",
};

fn order(preset: Preset) -> TrainingOrder<'static> {
    TrainingOrder {
        archive_url: "https://v3b.fal.media/files/b/x/photos.zip",
        trigger: "TOK_0b5c2d9e",
        preset,
        comment: COMMENT,
    }
}

#[test]
fn every_trainer_and_preset_makes_the_body_that_is_on_file() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/payloads/trainers");
    let mut on_file: Vec<_> = std::fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    for trainer in trainers().iter() {
        for preset in Preset::ALL {
            let name = format!("{}.{preset}.json", trainer.name);
            let expected = std::fs::read_to_string(directory.join(&name))
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            let expected: Value = serde_json::from_str(&expected).unwrap();
            assert_eq!(trainer.request(&order(*preset)), expected, "{name}");
            on_file.retain(|file| *file != name);
        }
    }
    assert!(on_file.is_empty(), "no trainer makes these: {on_file:?}");
}

#[test]
fn the_incumbents_numbers_are_the_presets() {
    let trainers = trainers();
    let numbers = |name: &str, preset| {
        let body = trainers.get(name).unwrap().request(&order(preset));
        [
            &body["steps"],
            &body["iterations"],
            &body["learning_rate"],
            &body["priority"],
        ]
        .map(Clone::clone)
    };
    let (none, portrait, general) = (Value::Null, "flux-lora-portrait-trainer", "flux-pro-trainer");
    assert_eq!(
        numbers(portrait, Preset::Balanced),
        [json!(1000), none.clone(), json!(2e-4), none.clone()]
    );
    assert_eq!(
        numbers(portrait, Preset::Quality),
        [json!(2500), none.clone(), json!(9e-5), none.clone()]
    );
    assert_eq!(
        numbers(general, Preset::Fast),
        [none.clone(), json!(300), json!(1e-4), json!("speed")]
    );
    assert_eq!(
        numbers(general, Preset::Balanced),
        [none.clone(), json!(500), json!(1e-4), json!("quality")]
    );
    assert_eq!(
        numbers("flux-lora-fast-training", Preset::Quality),
        [json!(2000), none.clone(), none.clone(), none]
    );
}

/// As FAL's pages counted them in November 2026.
#[test]
fn each_preset_has_the_price_that_fal_publishes() {
    let trainers = trainers();
    let cost = |name: &str, preset| {
        let cost = trainers.get(name).unwrap().cost(preset);
        cost.map(|dollars| dollars.to_string())
    };
    let balanced = |name| cost(name, Preset::Balanced);
    assert_eq!(
        cost("flux-lora-portrait-trainer", Preset::Fast).as_deref(),
        Some("$2.40")
    );
    assert_eq!(
        cost("flux-lora-portrait-trainer", Preset::Quality).as_deref(),
        Some("$6.00")
    );
    assert_eq!(balanced("flux-lora-fast-training").as_deref(), Some("$2.00"));
    assert_eq!(balanced("flux-2-trainer").as_deref(), Some("$6.40"));
    assert_eq!(balanced("z-image-turbo-trainer-v2").as_deref(), Some("$1.70"));
    assert_eq!(balanced("qwen-image-2512-trainer-v2").as_deref(), Some("$1.90"));
    assert_eq!(balanced("krea-2-trainer").as_deref(), Some("$2.80"));
    assert_eq!(balanced("flux-pro-trainer"), None);
}

#[test]
fn a_trainer_that_wants_a_caption_gets_the_trigger_inside_of_one() {
    let trainers = trainers();
    let caption = |name: &str, input: &str| {
        let body = trainers.get(name).unwrap().request(&order(Preset::Fast));
        body[input].as_str().unwrap().to_owned()
    };
    assert_eq!(
        caption("flux-2-trainer", "default_caption"),
        "a photo of TOK_0b5c2d9e"
    );
    assert_eq!(caption("krea-2-trainer", "trigger_phrase"), "TOK_0b5c2d9e");
}

#[test]
fn an_archive_without_an_extension_has_its_format_named() {
    let trainers = trainers();
    let signed = TrainingOrder {
        archive_url: "https://s3.test/a/photos.zip?X-Amz-Signature=00",
        ..order(Preset::Fast)
    };
    assert_eq!(
        trainers.default_for(TrainingType::Portrait).request(&signed)["data_archive_format"],
        "zip"
    );
    assert_eq!(
        trainers
            .default_for(TrainingType::Portrait)
            .request(&order(Preset::Fast))["data_archive_format"],
        Value::Null
    );
}

#[test]
fn a_finetune_is_called_by_avatar_and_owner_and_ends_with_its_token() {
    let called = |avatar_name, telegram_username| {
        FinetuneComment {
            avatar_name,
            telegram_username,
            ..COMMENT
        }
        .to_string()
    };
    let token = COMMENT.token;
    assert_eq!(
        called(Some("Анна"), Some("@anna_k")),
        format!("Анна - @anna_k · {token}")
    );
    assert_eq!(
        called(Some(" Анна "), None),
        format!("Анна - user_00000000-0000-0000-0000-000000000000 · {token}")
    );
    assert_eq!(
        called(Some("  "), Some("anna_k")),
        format!("Художественный аватар · {token}")
    );
    assert_eq!(called(None, None), format!("Художественный аватар · {token}"));
    let long = called(Some(&"я".repeat(5000)), Some("anna_k"));
    assert!(
        long.ends_with(&format!(" - @anna_k · {token}")) && long.chars().count() < 200,
        "{long}"
    );
}

#[test]
fn the_defaults_are_chosen_by_type_and_the_retired_trainer_can_be_chosen() {
    let trainers = trainers();
    assert_eq!(
        trainers.default_for(TrainingType::Portrait).endpoint,
        "fal-ai/flux-lora-portrait-trainer"
    );
    assert_eq!(
        trainers.default_for(TrainingType::Style).endpoint,
        "fal-ai/flux-lora-fast-training"
    );
    assert_eq!(trainers.default_preset(), Preset::Balanced);
    let chosen = ("AISHA__TRAINING__STYLE_TRAINER", "flux-pro-trainer");
    let trainers = read(SHIPPED, &[chosen]).expect("flux-pro is a choice");
    let flux_pro = trainers.default_for(TrainingType::Style);
    assert!(flux_pro.retired);
    assert_eq!(
        (flux_pro.output_kind(), flux_pro.generator().endpoint.as_str()),
        (OutputKind::Finetune, "fal-ai/flux-pro/v1.1-ultra-finetuned")
    );
    assert_eq!(
        flux_pro.output(&json!({"finetune_id": "abc-1"})),
        Ok(TrainedModel::Finetune { id: "abc-1".into() })
    );
}

#[test]
fn a_model_of_the_wrong_kind_is_none() {
    let trainers = trainers();
    let portrait = trainers.default_for(TrainingType::Portrait);
    assert!(matches!(
        portrait.output(&json!({"finetune_id": "abc"})),
        Err(OutputProblem::NoFile(_))
    ));
    let flux_pro = trainers.get("flux-pro-trainer").unwrap();
    let lora = json!({"diffusers_lora_file": {"url": "https://cdn.test/a"}});
    assert!(matches!(
        flux_pro.output(&lora),
        Err(OutputProblem::NoFinetuneId(_))
    ));
}

/// One line per problem: key, what is wrong, what to do.
fn problems(table: &str, variables: &[(&str, &str)]) -> Vec<String> {
    let problems = read(table, variables).expect_err("mistakes").list;
    let said = problems
        .iter()
        .map(|problem| format!("{} {} {}", problem.key, problem.what, problem.fix));
    said.collect()
}

/// The shipped table with one mistake of each kind.
fn mistaken() -> String {
    SHIPPED
        .replace(
            "training_type = \"style\"\nendpoint = \"fal-ai/flux-lora-fast-training\"",
            "endpoint = \"fal-ai/flux-lora-fast-training\"",
        )
        .replace(
            "fast = { steps = 500, learning_rate = 2e-4 }",
            "fast = { steps = 0, learning_rate = 2 }",
        )
        .replace(
            "balanced = { steps = 1000, learning_rate = 2e-4 }",
            "balanced = { iterations = 500, learning_rate = 2e-4 }",
        )
        .replace("lora_rank = 32", "lora_rank = 24")
        .replace("mode = \"style\"", "mode = \"artist\"")
        .replace(
            "endpoint = \"fal-ai/turbo-flux-trainer\"",
            "endpoint = \"https://queue.fal.run/turbo\"",
        )
        .replace("quality = { steps = 2000, learning_rate = 1.15e-3 }", "")
        .replace(
            "expected_minutes = 5\n",
            "expected_minutes = 5\nsteps_field = \"steps\"\n",
        )
        .replace(
            "price = { per_step = 0.0064 }",
            "price = { per_step = \"cheap\" }",
        )
        .replace(
            "inputs = { output_lora_format = \"fal\" }",
            "inputs = { output_lora_format = \"fal\", steps = 700 }",
        )
        .replace("steps = \"integer 10..40000\"", "steps = \"10 to 40000\"")
        .replace(
            "trigger = \"trigger_phrase\" }\nsteps = \"steps\"\ninputs = { auto",
            "trigger = \"resolution\" }\nsteps = \"auto_captioning\"\ninputs = { auto",
        )
        .replace(
            "trigger_text = \"a picture in the style of {trigger}\"",
            "trigger_text = \"a picture in the style of TOK\"",
        )
}

#[test]
fn every_mistake_is_told_at_once_with_entry_key_and_fix() {
    let expected = [
        "trainers.flux-lora-fast-training.training_type is missing. Write it (from ",
        "trainers.flux-lora-portrait-trainer.presets.fast.steps is \"0\" (from ",
        "trainers.flux-lora-portrait-trainer.presets.fast.learning_rate is \"2\" (from ",
        "trainers.flux-lora-portrait-trainer.presets.balanced.steps is missing.",
        "trainers.flux-lora-portrait-trainer.presets.balanced.iterations is not a key of this trainer's schema (from ",
        "trainers.flux-pro-trainer.inputs.lora_rank is \"24\" (from ",
        "trainers.flux-pro-trainer.inputs.mode is \"artist\" (from ",
        "trainers.turbo-flux-trainer.endpoint is \"https://queue.fal.run/turbo\" (from ",
        "trainers.turbo-flux-trainer.presets.quality.steps is missing.",
        "trainers.turbo-flux-trainer.presets.quality.learning_rate is missing.",
        "trainers.turbo-flux-trainer.steps_field is not a key",
        "trainers.flux-2-trainer.price.per_step is \"cheap\" (from ",
        "trainers.flux-2-trainer.presets.fast.steps is \"500\" (from ",
        "trainers.flux-2-trainer.presets.balanced.steps is \"1000\" (from ",
        "trainers.flux-2-trainer.presets.quality.steps is \"2000\" (from ",
        "trainers.qwen-image-2512-trainer-v2.schema.steps is \"10 to 40000\" (from ",
        "trainers.qwen-image-2512-trainer-v2.trigger_text is \"a picture in the style of TOK\" (from ",
        "trainers.krea-2-trainer.fills.trigger is \"resolution\" (from ",
        "trainers.krea-2-trainer.steps is \"auto_captioning\" (from ",
    ];
    let fixes = [
        "/trainers.toml), for example portrait, style",
        "it is no number within bounds. Use a whole number from 1 to 10000.",
        "Use a number from 1e-6 to 1e-3.",
        "Use one of: 16, 32.",
        "Use one of: character, product, style, general.",
        "it is no endpoint id. Write owner/app, such as fal-ai/flux-lora.",
        "Did you mean trainers.flux-lora-portrait-trainer.presets.balanced.",
        "it is no kind of input; write boolean, text, `integer 1..10000`",
        "it has no place for the trigger word. Write {trigger} where the trigger word belongs.",
        "that input is set elsewhere as well. Give each input to one key: fills, or schema with inputs or presets.",
        "that input counts nothing. Name an input that schema declares as integer.",
    ];
    let problems = problems(&mistaken(), &[]);
    for expected in expected.iter().chain(&fixes) {
        let found = problems
            .iter()
            .filter(|problem| problem.contains(expected))
            .count();
        assert_eq!(found, 1, "{expected:?} in {problems:#?}");
    }
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
}

#[test]
fn defaults_that_name_nothing_or_the_wrong_type_are_refused_with_the_choice() {
    let wrong = [
        ("AISHA__TRAINING__PORTRAIT_TRAINER", "flux-pro-trainer"),
        ("AISHA__TRAINING__STYLE_TRAINER", "midjourney"),
        ("AISHA__TRAINING__PRESET", "ultra"),
    ];
    let problems = problems(SHIPPED, &wrong);
    let expected = [
        "trains style: use one of flux-2-trainer, flux-lora-portrait-trainer, turbo-flux-trainer, z-image-turbo-trainer-v2",
        "there is no trainer \"midjourney\": use one of flux-lora-fast-training, flux-pro-trainer, krea-2-trainer, qwen-image-2512-trainer-v2",
        "training.preset is \"ultra\" (from AISHA__TRAINING__PRESET): it is none of the words that are known. \
         Use one of: fast, balanced, quality.",
    ];
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
    for (problem, expected) in problems.iter().zip(expected) {
        assert!(problem.contains(expected), "{expected:?} in {problem:?}");
    }
}

/// A wrong entry may also break the type that a default needs; that is not reported twice.
#[test]
fn an_entry_with_a_mistake_is_not_called_unfit_for_a_default_as_well() {
    let table = SHIPPED.replace(
        "steps = \"integer 1..10000\"\nlearning_rate = \"number 1e-6..1e-3\"",
        "steps = \"many\"",
    );
    let problems = problems(&table, &[]);
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert!(problems[0].contains("schema.steps is \"many\""), "{problems:#?}");
}

#[test]
fn a_table_that_is_none_is_refused_with_its_line() {
    let torn = problems("# a table\n[flux\n", &[]);
    assert_eq!(torn.len(), 1, "{torn:#?}");
    assert!(torn[0].contains("line 2"), "{torn:#?}");
    let says = |table: &str, expected: &str| {
        let problems = problems(table, &[]);
        assert!(
            problems.iter().any(|problem| problem.contains(expected)),
            "{expected:?} in {problems:#?}"
        );
    };
    says(
        "flux = 7",
        "it is no trainer. Write a table [flux] with its keys.",
    );
    says("", "there is no trainer");
    says(
        "[flux]\noutput = { kind = \"lora\", file = [7] }",
        "trainers.flux.output.file is a array",
    );
    says(
        "[flux]\noutput = { kind = \"lora\", file = [\"weights\"] }",
        "it is no JSON pointer",
    );
}

#[tokio::test]
async fn operators_see_each_trainer_and_generator_with_its_price_and_whether_fal_still_has_it() {
    let fal = FalSimulator::start(FalSimulatorConfig::default()).await.unwrap();
    let listed = async |arguments: &[&str]| {
        let arguments = ["fal", "trainers", "--json"].iter().chain(arguments).copied();
        let (code, output) = aisha(arguments)
            .env("FAL_KEY", "id:secret")
            .env("AISHA__FAL__API_URL", format!("{}/api", fal.url()))
            .start()
            .finish()
            .await;
        assert_eq!(code, Some(0), "{output}");
        serde_json::from_str::<Value>(&output).unwrap()
    };
    let online = listed(&["--online"]).await;
    let of = |name: &str| {
        let mut entries = online.as_array().unwrap().iter();
        entries.find(|entry| entry["name"] == name).unwrap().clone()
    };
    let portrait = of("flux-lora-portrait-trainer");
    assert_eq!(portrait["is_default"], true);
    assert_eq!(
        portrait["dollars"],
        json!({"fast": 2.4, "balanced": 2.4, "quality": 6.0})
    );
    assert_eq!(portrait["at_fal"], "active");
    let flux_pro = of("flux-pro-trainer");
    assert_eq!(
        (&flux_pro["retired"], &flux_pro["at_fal"]),
        (&json!(true), &json!("unlisted"))
    );
    assert_eq!(flux_pro["dollars"]["fast"], Value::Null);
    let of_kind = |kind: &str| {
        let entries = online.as_array().unwrap().iter();
        entries.filter(|entry| entry["kind"] == kind).count()
    };
    assert_eq!(of_kind("trainer"), trainers().iter().count());
    let tables: toml::Table = include_str!("../config/generators.toml").parse().unwrap();
    assert_eq!(of_kind("generator"), tables.len());
    let flux_lora = of("fal-ai/flux-lora");
    assert_eq!(
        (&flux_lora["model"], &flux_lora["at_fal"]),
        (&json!("lora"), &json!("active"))
    );
    assert_eq!(
        flux_lora["dollars"],
        json!({"per_picture": null, "per_megapixel": 0.035})
    );
    let draws_for = flux_lora["trainers"].as_array().unwrap();
    assert!(
        draws_for.contains(&json!("flux-lora-portrait-trainer")),
        "{draws_for:?}"
    );
    // Without --online nobody is asked, so no key is needed.
    let offline = listed(&[]).await;
    assert!(
        offline
            .as_array()
            .unwrap()
            .iter()
            .all(|entry| entry["at_fal"].is_null())
    );
}
