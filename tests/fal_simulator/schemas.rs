//! How the models check inputs: every trainer knows its own fields and ranges, and no others.

use super::*;

const URL: &str = "http://127.0.0.1:1/photos.zip";

/// `expected`: field and type of each problem, separated by `, `, in alphabetical order.
async fn refuses(fal: &Fal, endpoint: &str, input: Value, expected: &str) {
    let found = fal.problems(endpoint, &input).await;
    let mut found: Vec<_> = found
        .iter()
        .map(|(field, kind)| format!("{field} {kind}"))
        .collect();
    found.sort();
    assert_eq!(found.join(", "), expected, "{endpoint} {input}");
}

#[tokio::test]
async fn the_style_trainer_counts_iterations_not_steps() {
    let fal = Fal::start().await;
    let style = |field: &str, value: Value| json!({ "data_url": URL, "finetune_comment": "c", field: value });
    refuses(&fal, STYLE, style("steps", json!(1000)), "steps extra_forbidden").await;
    refuses(
        &fal,
        STYLE,
        style("iterations", json!(99)),
        "iterations greater_than_equal",
    )
    .await;
    refuses(
        &fal,
        STYLE,
        style("iterations", json!(1001)),
        "iterations less_than_equal",
    )
    .await;
    refuses(&fal, STYLE, style("priority", json!("fast")), "priority one_of").await;
    refuses(&fal, STYLE, style("lora_rank", json!(24)), "lora_rank one_of").await;
    refuses(
        &fal,
        STYLE,
        style("images_data_url", json!(URL)),
        "images_data_url extra_forbidden",
    )
    .await;
    refuses(
        &fal,
        STYLE,
        json!({}),
        "data_url missing, finetune_comment missing",
    )
    .await;
}

#[tokio::test]
async fn the_portrait_trainers_count_steps_not_iterations() {
    let fal = Fal::start().await;
    let portrait = |field: &str, value: Value| json!({ "images_data_url": URL, field: value });
    refuses(
        &fal,
        PORTRAIT,
        portrait("iterations", json!(500)),
        "iterations extra_forbidden",
    )
    .await;
    refuses(
        &fal,
        PORTRAIT,
        portrait("images_data_url", json!([URL])),
        "images_data_url url_parsing",
    )
    .await;
    refuses(
        &fal,
        PORTRAIT,
        portrait("images_data_url", Value::Null),
        "images_data_url missing",
    )
    .await;
    refuses(&fal, PORTRAIT, portrait("steps", json!("1000")), "steps int_type").await;
    refuses(
        &fal,
        PORTRAIT,
        portrait("steps", json!(0)),
        "steps greater_than_equal",
    )
    .await;
    refuses(
        &fal,
        PORTRAIT,
        portrait("learning_rate", json!(0.01)),
        "learning_rate less_than_equal",
    )
    .await;
    refuses(
        &fal,
        PORTRAIT,
        portrait("create_masks", json!("no")),
        "create_masks bool_type",
    )
    .await;
    refuses(
        &fal,
        PORTRAIT,
        portrait("webhook_url", json!("http://x")),
        "webhook_url extra_forbidden",
    )
    .await;
    refuses(
        &fal,
        FAST,
        portrait("learning_rate", json!(1e-4)),
        "learning_rate extra_forbidden",
    )
    .await;
    refuses(
        &fal,
        TURBO,
        portrait("training_style", json!("portrait")),
        "training_style one_of",
    )
    .await;
}

#[tokio::test]
async fn pictures_need_a_prompt_and_finetuned_ones_a_strength() {
    let fal = Fal::start().await;
    let picture = |field: &str, value: Value| json!({ "prompt": "p", field: value });
    refuses(&fal, PICTURE, picture("prompt", json!(1)), "prompt string_type").await;
    refuses(
        &fal,
        PICTURE,
        picture("loras", json!([{ "path": "x" }])),
        "loras list_type",
    )
    .await;
    refuses(
        &fal,
        PICTURE,
        picture("image_size", json!("huge")),
        "image_size one_of",
    )
    .await;
    refuses(
        &fal,
        PICTURE,
        picture("num_images", json!(5)),
        "num_images less_than_equal",
    )
    .await;
    let finetuned = |field: &str, value: Value| json!({ "prompt": "p", "finetune_id": "f", field: value });
    refuses(
        &fal,
        FINETUNED,
        finetuned("finetune_strength", Value::Null),
        "finetune_strength missing",
    )
    .await;
    refuses(
        &fal,
        FINETUNED,
        finetuned("finetune_strength", json!(3)),
        "finetune_strength less_than_equal",
    )
    .await;
    let mut numeric = finetuned("finetune_strength", json!(1.0));
    numeric["safety_tolerance"] = json!(2);
    refuses(&fal, FINETUNED, numeric, "safety_tolerance one_of").await;
}
