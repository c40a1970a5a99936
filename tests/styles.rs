//! The style table: the prompts that it makes, and the mistakes it refuses.

use std::collections::BTreeSet;

use aisha::settings::{BotSettings, Given, Problems};
use jobs::domain::{Aspect, DrawnAvatar, Gender, PictureRules, Style, TrainingType};
use jobs::texts::Locale;

use crate::support::worker_settings;

pub const SHIPPED: &str = include_str!("../config/styles.toml");
const TRIGGER: &str = "TOK_0b5c2d9e";

/// Reads this `styles.toml` with these variables, as a bot does.
fn read(table: &str, variables: &[(&str, &str)]) -> Result<PictureRules, Problems> {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("styles.toml"), table).unwrap();
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
    given.load::<BotSettings>().map(|settings| settings.pictures)
}

/// One line per problem: key, what is wrong, what to do.
fn problems(table: &str, variables: &[(&str, &str)]) -> Vec<String> {
    let problems = read(table, variables).expect_err("mistakes").list;
    let said = problems.iter();
    said.map(|problem| format!("{} {} {}", problem.key, problem.what, problem.fix))
        .collect()
}

fn prompts(style: &Style, training_type: TrainingType) -> Vec<String> {
    let of = |gender, words| {
        let subject = DrawnAvatar {
            training_type,
            trigger: TRIGGER,
            gender,
        };
        style.prompt(subject, words)
    };
    let genders = Gender::ALL.iter();
    genders
        .flat_map(|gender| [of(*gender, ""), of(*gender, "на пляже")])
        .collect()
}

#[test]
fn the_shipped_styles_make_whole_prompts_for_every_avatar_that_they_fit() {
    let rules = read(SHIPPED, &[]).expect("the shipped table");
    for training_type in TrainingType::ALL {
        let fitting = rules.styles.fitting(*training_type).collect::<Vec<_>>();
        assert!(fitting.len() >= 5, "{training_type}: {}", fitting.len());
        for style in fitting {
            for prompt in prompts(style, *training_type) {
                let is_whole = prompt.contains(TRIGGER)
                    && !prompt.contains(['{', '}'])
                    && !prompt.contains(", ,")
                    && !prompt.starts_with(',')
                    && !prompt.ends_with(',');
                assert!(is_whole, "{}: {prompt:?}", style.name);
            }
            for locale in Locale::ALL {
                assert!(!style.title(locale).trim().is_empty());
            }
        }
    }
    let titles = |locale| {
        let all = rules.styles.fitting(TrainingType::Portrait);
        all.map(|style| style.title(locale)).collect::<BTreeSet<_>>()
    };
    for locale in Locale::ALL {
        let count = rules.styles.fitting(TrainingType::Portrait).count();
        assert_eq!(titles(locale).len(), count, "two styles look alike in {locale}");
    }
}

#[test]
fn there_is_a_style_for_each_of_the_first_pictures() {
    let settings = worker_settings([]);
    let most = usize::from(settings.training.generation.samples);
    assert_eq!(most, 4);
    for training_type in TrainingType::ALL {
        let samples = settings.pictures.styles.samples(*training_type).count();
        assert_eq!(samples, most, "{training_type}");
    }
}

#[test]
fn a_style_is_added_by_its_table_alone() {
    let table = format!(
        "{SHIPPED}
[noir]
title = {{ ru = \"Нуар\", en = \"Noir\", kk = \"Нуар\" }}
prompt = {{ portrait = \"black and white noir photo of {{trigger}} {{gender}}, {{prompt}}, hard shadows\" }}
aspect = \"square\"
"
    );
    let rules = read(&table, &[]).expect("the table is right");
    let noir = rules.styles.get("noir").expect("the style is there");
    assert_eq!(noir.title(Locale::Ru), "Нуар");
    assert_eq!(noir.aspect, Aspect::Square);
    assert!(
        rules
            .styles
            .fitting(TrainingType::Portrait)
            .any(|style| style.name == "noir")
    );
    assert!(
        !rules
            .styles
            .fitting(TrainingType::Style)
            .any(|style| style.name == "noir")
    );
    assert_eq!(
        prompts(noir, TrainingType::Portrait)[3],
        "black and white noir photo of TOK_0b5c2d9e woman, на пляже, hard shadows"
    );
}

#[test]
fn every_mistake_is_told_at_once_with_entry_key_and_fix() {
    let mut table = SHIPPED.to_owned();
    for (right, wrong) in [
        ("kk = \"Студиялық портрет\" }", "kz = \"Студиялық портрет\" }"),
        ("headshot of {trigger} {gender}", "headshot of {gender}"),
        (
            "{prompt}, dramatic side light",
            "with {prompt} in dramatic side light",
        ),
        ("aspect = \"landscape\"", "aspect = \"4:3\""),
        ("sample_of = \"style\"", "sample_of = \"styles\""),
        ("soft washes of colour", "soft washes of {colour}"),
        ("emoji = \"🌸\"", "sample_of = \"style\"\nemoji = \"🌸\""),
        (
            "en = \"Vintage film\"",
            "en = \"Vintage film of the nineteen-seventies\"",
        ),
        (
            "prompt = { portrait = \"cyberpunk",
            "promt = { portrait = \"cyberpunk",
        ),
        ("[own]", "[Own words]"),
    ] {
        assert!(table.contains(right), "{right}");
        table = table.replacen(right, wrong, 1);
    }
    table = table.replace("[Own words]", "[\"Own words\"]");
    let expected = [
        "styles.studio.title.kk is missing. Write it (from ",
        "styles.studio.title.kz is not a key of this style's schema (from ",
        "it has no place for the trigger word. Write {trigger} in it.",
        "it needs one place for the user's words, alone between commas",
        "styles.nature.aspect is \"4:3\" (from ",
        "styles.city.sample_of is \"styles\" (from ",
        "There are {trigger}, {gender} and {prompt}.",
        "styles.anime.sample_of is \"style\" (from ",
        "it is too long for a button. Use at most 30 characters.",
        "styles.cyberpunk.promt.portrait is not a key of this style's schema (from ",
        "styles.cyberpunk.prompt is missing. Write prompt.portrait, prompt.style or both.",
        "styles.Own words is no name for a style.",
    ];
    let problems = problems(&table, &[]);
    for expected in expected {
        let found = problems
            .iter()
            .filter(|problem| problem.contains(expected))
            .count();
        assert_eq!(found, 1, "{expected:?} in {problems:#?}");
    }
}

#[test]
fn a_table_without_a_style_for_some_avatar_is_refused() {
    let only = "
[studio]
title = { ru = \"Студия\", en = \"Studio\", kk = \"Студия\" }
prompt = { portrait = \"photo of {trigger}, {prompt}\" }
aspect = \"portrait\"
";
    let problems = problems(only, &[]);
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert!(
        problems[0]
            .contains("has no style for an avatar of type style. Give at least one style a prompt.style."),
        "{problems:#?}"
    );
}

#[test]
fn refused_words_are_single_words_in_any_case() {
    let rules = read(SHIPPED, &[("AISHA__GENERATION__REFUSED_WORDS", "Война, Oops ")]).expect("two words");
    assert_eq!(rules.refused_words, ["война", "oops"]);
    assert_eq!(
        rules.prompt("a WAR: война").unwrap_err().code(),
        "refused_word_in_prompt"
    );
    let phrase = ("AISHA__GENERATION__REFUSED_WORDS", "star wars");
    let problems = problems(SHIPPED, &[phrase]);
    assert!(
        problems[0].contains("is more than one word, and would never be found"),
        "{problems:#?}"
    );
}
