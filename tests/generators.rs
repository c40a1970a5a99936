//! The generator table: the exact request bodies it produces, and the mistakes it refuses.

use std::{
    cmp::Ordering::{Equal, Greater, Less},
    path::Path,
};

use jobs::domain::{Aspect, Generator, ModelSource, OutputKind, PictureOrder, TrainingType};
use serde_json::{Value, json};

use crate::trainers::{SHIPPED as SHIPPED_TRAINERS, read_files, trainers};

pub const SHIPPED: &str = include_str!("../config/generators.toml");

const LORA: ModelSource<'_> = ModelSource::Lora {
    url: "https://v3b.fal.media/files/b/x/lora.safetensors",
};
const FINETUNE: ModelSource<'_> = ModelSource::Finetune { id: "a8f9f3a0-1111" };

const fn model(generator: &Generator) -> ModelSource<'static> {
    match generator.model_kind() {
        OutputKind::Lora => LORA,
        OutputKind::Finetune => FINETUNE,
    }
}

fn order(model: ModelSource<'static>) -> PictureOrder<'static> {
    PictureOrder {
        prompt: "studio portrait of TOK_0b5c2d9e woman, smiling",
        negative: Some("blurry"),
        model,
        aspect: Aspect::Portrait,
        count: 4,
        seed: Some(196_619_188_014_358_660),
    }
}

#[test]
fn every_generator_makes_the_body_that_is_on_file() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/payloads/generators");
    let mut on_file: Vec<_> = std::fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    for trainer in trainers().iter() {
        let generator = trainer.generator();
        let name = format!("{}.json", generator.endpoint.replace('/', "."));
        let body = generator.request(&order(model(generator))).unwrap();
        let expected = std::fs::read_to_string(directory.join(&name))
            .unwrap_or_else(|error| panic!("{name}: {error}; it would be {body:#}"));
        let expected: Value = serde_json::from_str(&expected).unwrap();
        assert_eq!(body, expected, "{name}");
        on_file.retain(|file| *file != name);
    }
    assert!(
        on_file.is_empty(),
        "no trainer's generator makes these: {on_file:?}"
    );
}

#[test]
fn an_order_without_seed_and_negative_words_sends_neither() {
    let trainers = trainers();
    let qwen = trainers.get("qwen-image-2512-trainer-v2").unwrap().generator();
    let bare = PictureOrder {
        negative: None,
        seed: None,
        aspect: Aspect::Tall,
        count: 1,
        ..order(LORA)
    };
    let body = qwen.request(&bare).unwrap();
    assert_eq!(
        (&body["negative_prompt"], &body["seed"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(
        (&body["image_size"], &body["num_images"]),
        (&json!("portrait_16_9"), &json!(1))
    );
}

#[test]
fn the_number_of_pictures_stays_within_the_generators_bounds() {
    let trainers = trainers();
    let generator = trainers.default_for(TrainingType::Portrait).generator();
    let count = |count| {
        let body = generator.request(&PictureOrder { count, ..order(LORA) }).unwrap();
        body["num_images"].as_u64()
    };
    assert_eq!([count(0), count(3), count(200)], [Some(1), Some(3), Some(4)]);
}

#[test]
fn a_model_of_the_other_kind_is_refused_instead_of_a_stranger_drawn() {
    let trainers = trainers();
    let asked = |trainer: &str, model| {
        let generator = trainers.get(trainer).unwrap().generator();
        generator
            .request(&order(model))
            .map_err(|unfit| unfit.to_string())
    };
    assert_eq!(
        asked("flux-lora-portrait-trainer", FINETUNE),
        Err("fal-ai/flux-lora draws with a lora, and the avatar's model is a finetune".to_owned())
    );
    assert!(asked("flux-pro-trainer", LORA).is_err());
}

/// As FAL's pages counted them in November 2026.
#[test]
fn pictures_have_the_price_that_fal_publishes() {
    let trainers = trainers();
    let four = |name: &str| {
        let cost = trainers.get(name).unwrap().generator().cost(4);
        cost.map(|dollars| dollars.to_string())
    };
    assert_eq!(four("flux-lora-portrait-trainer").as_deref(), Some("$0.14"));
    assert_eq!(four("krea-2-trainer").as_deref(), Some("$0.04"));
    assert_eq!(four("flux-pro-trainer"), None);
}

#[test]
fn a_shape_has_the_ratio_that_its_name_says() {
    let wide = Aspect::ALL.iter().map(|aspect| {
        let (width, height) = aspect.ratio();
        width.cmp(&height)
    });
    assert_eq!(wide.collect::<Vec<_>>(), [Less, Equal, Greater, Less, Greater]);
}

fn problems(generators: &str) -> Vec<String> {
    let problems = read_files(&[("generators.toml", generators)], &[]).expect_err("mistakes");
    let said = problems.list.iter();
    said.map(|problem| format!("{} {} {}", problem.key, problem.what, problem.fix))
        .collect()
}

#[test]
fn every_mistake_is_told_at_once_with_entry_key_and_fix() {
    let mut table = SHIPPED.to_owned();
    for (right, wrong) in [
        (
            "num_inference_steps = 28, guidance_scale = 3.5",
            "num_inference_steps = 280, guidance_scale = 3.5",
        ),
        (
            "guidance_scale = 2.5, enable_safety_checker = true",
            "guidance_scale = 2.5, enable_safety_checker = false",
        ),
        (
            "loras = \"loras\" }\nsizes = { portrait = \"portrait_4_3\", square = \"square_hd\", landscape = \"landscape_4_3\", tall = \"portrait_16_9\", wide = \"landscape_16_9\" }\noutput = { pictures = [\"/images\"], flags = \"/has_nsfw_concepts\", seed = \"/seed\" }\ninputs = { num_inference_steps = 8",
            "loras = \"num_inference_steps\" }\nsizes = { portrait = \"portrait_4_3\", square = \"square_hd\", landscape = \"landscape_4_3\", tall = \"portrait_16_9\" }\noutput = { pictures = [\"images\"] }\ninputs = { num_inference_steps = 8",
        ),
        (
            "finetune = \"finetune_id\", strength = \"finetune_strength\"",
            "finetune = \"finetune_id\", strength = \"finetune_strength\", loras = \"loras\"",
        ),
        (
            "price = { per_megapixel = 0.01 }",
            "price = { per_megapixel = 0.01, per_picture = 0.01 }\nmost_images = 4",
        ),
    ] {
        assert!(table.contains(right), "{right}");
        table = table.replacen(right, wrong, 1);
    }
    table.push_str("\n[flux-lora]\nmost_pictures = 4\n");
    let expected = [
        "generators.fal-ai/flux-lora.inputs.num_inference_steps is \"280\" (from ",
        "generators.fal-ai/flux-2/lora.inputs.enable_safety_checker is \"false\" (from ",
        "generators.fal-ai/z-image/turbo/lora.fills.loras is \"num_inference_steps\" (from ",
        "generators.fal-ai/z-image/turbo/lora.sizes.wide is missing.",
        "generators.fal-ai/z-image/turbo/lora.output.pictures is \"images\" (from ",
        "generators.fal-ai/flux-pro/v1.1-ultra-finetuned.fills.loras and fills.finetune are both set.",
        "generators.fal-ai/krea-2/turbo/lora.price.per_picture is \"0.01\" (from ",
        "generators.fal-ai/krea-2/turbo/lora.most_images is not a key of this generator's schema (from ",
        "generators.flux-lora is no endpoint id.",
    ];
    let problems = problems(&table);
    for expected in expected {
        let found = problems
            .iter()
            .filter(|problem| problem.contains(expected))
            .count();
        assert_eq!(found, 1, "{expected:?} in {problems:#?}");
    }
    // That table's strength belongs to a finetune, and is not judged beside a list of LoRAs.
    assert_eq!(problems.len(), expected.len() + 1, "{problems:#?}");
    let fixes = [
        "Set it to true, or leave it out.",
        "Name one input for the model",
        "Name the table by FAL's id",
        "Keep one of the two.",
    ];
    for fix in fixes {
        assert!(
            problems.iter().any(|problem| problem.contains(fix)),
            "{fix:?} in {problems:#?}"
        );
    }
}

#[test]
fn a_trainer_whose_generator_is_missing_or_draws_otherwise_is_refused() {
    let said = |generators: &str, trainers: &str| {
        let files = [("generators.toml", generators), ("trainers.toml", trainers)];
        let problems = read_files(&files, &[]).expect_err("a mistake").list;
        let said = problems.iter();
        said.map(|problem| format!("{} {} {}", problem.key, problem.what, problem.fix))
            .collect::<Vec<_>>()
    };
    let renamed = SHIPPED_TRAINERS.replace(
        "inference_endpoint = \"fal-ai/krea-2/turbo/lora\"",
        "inference_endpoint = \"fal-ai/krea-3/lora\"",
    );
    let problems = said(SHIPPED, &renamed);
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert!(
        problems[0].starts_with("trainers.krea-2-trainer.inference_endpoint")
            && problems[0].contains(
                "Add a table [\"fal-ai/krea-3/lora\"] to generators.toml, or use one of fal-ai/flux-2/lora"
            ),
        "{problems:#?}"
    );
    let crossed = SHIPPED_TRAINERS.replace(
        "inference_endpoint = \"fal-ai/krea-2/turbo/lora\"",
        "inference_endpoint = \"fal-ai/flux-pro/v1.1-ultra-finetuned\"",
    );
    let problems = said(SHIPPED, &crossed);
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert!(
        problems[0].contains("it draws with a finetune, and this trainer makes a lora"),
        "{problems:#?}"
    );
    // A mistake in the generator's own table is not told again at each trainer that names it.
    let broken = SHIPPED.replacen("most_pictures = 4", "most_pictures = 0", 1);
    let problems = said(&broken, SHIPPED_TRAINERS);
    assert_eq!(problems.len(), 1, "{problems:#?}");
}
