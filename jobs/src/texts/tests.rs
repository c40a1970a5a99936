//! Every language against every phrase that the code can say.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::*;
use crate::{archive::PhotoProblem, domain::FailureCode, store::photos::UNAVAILABLE};

/// The keys of a family (see [`phrase`]): one for each code, and one for all other codes.
fn family(name: &str) -> Option<Vec<String>> {
    let codes: Vec<&str> = match name {
        // A training has no model yet that could be gone.
        "training-failed" | "failure-reason" => FailureCode::ALL
            .iter()
            .filter(|code| **code != FailureCode::ModelGone)
            .map(|code| code.as_str())
            .collect(),
        // Pictures have no photos and no archive; a fault of ours is "other".
        "album-failed" => vec![
            "rejected_by_provider",
            "provider_failed",
            "submit_outcome_unknown",
            "model_invalid",
            "model_gone",
            "timed_out",
        ],
        "words-refused" => vec![
            "empty_prompt",
            "long_prompt",
            "no_words_in_prompt",
            "refused_word_in_prompt",
        ],
        "photo-problem" => PhotoProblem::CODES.into_iter().chain([UNAVAILABLE]).collect(),
        _ => return None,
    };
    Some(
        codes
            .into_iter()
            .chain(["other"])
            .map(|code| format!("{name}-{code}"))
            .collect(),
    )
}

/// Every key, with the arguments that the code passes.
fn keys() -> BTreeMap<String, &'static [&'static str]> {
    let mut keys = BTreeMap::new();
    for (variant, args) in phrase::ALL {
        let name = kebab(variant);
        if let Some(family) = family(&name) {
            keys.extend(family.into_iter().map(|key| (key, *args)));
        } else {
            assert!(
                !args.contains(&"code"),
                "{variant} has a code but no family in this test"
            );
            keys.insert(name, *args);
        }
    }
    keys
}

fn kebab(variant: &str) -> String {
    let mut name = String::new();
    for letter in variant.chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.extend(letter.to_lowercase());
    }
    name
}

/// The names of a file's messages: lines that begin with a lower-case letter.
fn written(locale: Locale) -> BTreeSet<String> {
    let starts = |line: &&str| line.starts_with(|first: char| first.is_ascii_lowercase());
    source(locale)
        .lines()
        .filter(starts)
        .filter_map(|line| line.split_once(" ="))
        .map(|(key, _)| key.to_owned())
        .collect()
}

#[test]
fn every_locale_has_exactly_the_texts_that_the_code_says() {
    let mut said: BTreeSet<String> = keys().into_keys().collect();
    // The bot has the list of commands, and a test there asks for the text of each.
    said.extend(
        written(Locale::En)
            .into_iter()
            .filter(|key| key.starts_with("command-") || key.starts_with("bot-")),
    );
    for locale in Locale::ALL {
        let written = written(locale);
        let missing: Vec<_> = said.difference(&written).collect();
        let unused: Vec<_> = written.difference(&said).collect();
        assert!(
            missing.is_empty() && unused.is_empty(),
            "{locale}: missing {missing:?}, never said {unused:?}"
        );
    }
}

#[test]
fn every_text_renders_with_the_arguments_that_the_code_passes() {
    for locale in Locale::ALL {
        let bundle = bundle(locale).unwrap();
        for (key, names) in keys() {
            for number in [0, 1, 2, 5, 11, 21] {
                let mut args = FluentArgs::new();
                for name in names {
                    args.set(*name, FluentValue::from(number));
                }
                let pattern = bundle
                    .get_message(&key)
                    .and_then(|message| message.value())
                    .expect(&key);
                let mut problems = Vec::new();
                let text = bundle.format_pattern(pattern, Some(&args), &mut problems);
                assert!(problems.is_empty(), "{locale} {key}: {problems:?}");
                assert!(!text.trim().is_empty(), "{locale} {key} is empty");
            }
        }
    }
}

#[test]
fn photos_are_counted_as_each_language_counts() {
    let texts = Texts::load().unwrap();
    let said = |locale, stored| texts.plain(locale, &Phrase::PhotosMissing { missing: stored });
    let russian = [
        (1, "Нужна ещё 1 фотография."),
        (2, "Нужны ещё 2 фотографии."),
        (5, "Нужно ещё 5 фотографий."),
    ];
    for (count, text) in russian
        .into_iter()
        .chain([(11, "Нужно ещё 11 фотографий."), (21, "Нужна ещё 21 фотография.")])
    {
        assert_eq!(said(Locale::Ru, count), text);
    }
    assert_eq!(said(Locale::En, 1), "1 more photo is needed.");
    assert_eq!(said(Locale::En, 2), "2 more photos are needed.");
    for count in [1, 2, 5] {
        assert_eq!(said(Locale::Kk, count), format!("Тағы {count} фотосурет керек."));
    }
}

#[test]
fn a_name_cannot_write_markup_and_a_button_shows_it_as_it_is() {
    let texts = Texts::load().unwrap();
    let name = "<b>Tom & Jerry</b>";
    let message = Message::new(Phrase::StatusCompleted { name: name.into() });
    assert_eq!(
        texts.message(Locale::En, &message).html,
        "✅ <b>&lt;b&gt;Tom &amp; Jerry&lt;/b&gt;</b>: the avatar is ready."
    );
    let label = texts.plain(Locale::En, &Phrase::StatusCompleted { name: name.into() });
    assert!(label.contains("Tom & Jerry"), "{label}");
}

#[test]
fn a_code_without_a_text_of_its_own_says_the_general_one() {
    let texts = Texts::load().unwrap();
    let said = texts.plain(
        Locale::En,
        &Phrase::PhotoProblem {
            detail: "none".to_owned(),
            code: "from_the_future".into(),
        },
    );
    assert_eq!(said, "the picture could not be read");
}

#[test]
fn a_phrase_inside_a_phrase_is_said_in_the_same_language() {
    let texts = Texts::load().unwrap();
    let reason = Box::new(Phrase::FailureReason {
        code: FailureCode::TimedOut.to_string(),
    });
    let said = texts.plain(
        Locale::Ru,
        &Phrase::StatusFailed {
            name: "Анна".into(),
            reason,
        },
    );
    assert_eq!(
        said,
        "⚠️ <b>Анна</b>: обучение не удалось — обучение заняло слишком много времени."
    );
}

/// Telegram cuts the text shown over a chat at 200 characters.
#[test]
fn a_limit_says_how_many_and_when_it_goes_on_and_fits_over_the_chat() {
    let texts = Texts::load().unwrap();
    let wait = || Phrase::in_time(Duration::from_secs(3 * 3600 + 1));
    let said = |locale, phrase| texts.plain(locale, &phrase);
    let used_up = || Phrase::TrainingsUsedUp {
        most: 5,
        wait: wait(),
    };
    assert_eq!(
        said(Locale::En, used_up()),
        "🗓 5 trainings a day is the most that I can start for one person. The next can start in 4 hours: everything is kept."
    );
    assert_eq!(
        said(Locale::Ru, used_up()),
        "🗓 5 обучений в сутки — больше для одного человека начать не могу. Следующее можно начать через 4 часа: всё сохранено."
    );
    for locale in Locale::ALL {
        for phrase in [
            Phrase::ClosedToStrangers {},
            Phrase::ClosedToYou {},
            Phrase::TooManyLive { live: 22 },
            used_up(),
            Phrase::DraftsUsedUp {
                most: 22,
                wait: wait(),
            },
            Phrase::PhotosUsedUp {
                most: 222,
                wait: wait(),
            },
        ] {
            let text = said(locale, phrase);
            assert!(text.chars().count() <= 200, "{text}");
        }
    }
    assert_eq!(
        said(Locale::En, *Phrase::in_time(Duration::from_secs(61))),
        "in 2 minutes"
    );
}

#[test]
fn a_stored_message_reads_back_as_it_was_written() {
    let message = Message::new(Phrase::PhotosMissing { missing: 3 })
        .button(Phrase::ButtonCreate {}, crate::domain::Action::Create);
    let stored = serde_json::to_value(&message).unwrap();
    assert_eq!(
        stored,
        json!({"text": [{"say": "photos-missing", "missing": 3}], "buttons": [[{"label": {"say": "button-create"}, "data": "create"}]]})
    );
    assert_eq!(serde_json::from_value::<Message>(stored).unwrap(), message);
    assert!(serde_json::from_value::<Message>(Value::Null).is_err());
}

#[test]
fn a_language_that_we_do_not_speak_is_answered_in_english() {
    for (code, locale) in [
        ("ru", Locale::Ru),
        ("ru-RU", Locale::Ru),
        ("RU", Locale::Ru),
        ("en", Locale::En),
        ("rue", Locale::En),
        ("kk-KZ", Locale::Kk),
        ("", Locale::En),
    ] {
        assert_eq!(Locale::from_code(code), locale, "{code:?}");
    }
}

/// A worker of an older version can read only its own version's phrases.
#[test]
fn a_new_phrase_comes_with_a_new_version() {
    let mut listed: Vec<&str> = vocabulary::KNOWN.concat();
    let all: BTreeSet<String> = phrase::ALL.iter().map(|(variant, _)| kebab(variant)).collect();
    for name in &all {
        assert_eq!(
            listed.iter().filter(|known| *known == name).count(),
            1,
            "{name}: a phrase stands once in KNOWN of jobs/src/texts/vocabulary.rs. A new one stands in a list of a new version: \
             write that list, and raise VERSION and the length of KNOWN"
        );
    }
    // The menu was made of phrases once. The first version read these codes strictly, so a new code needs a version too.
    listed.retain(|known| !all.contains(*known) && !known.starts_with("command-"));
    assert_eq!(listed, ["training-failed-archive_unreachable"]);
    assert_eq!(usize::try_from(VERSION), Ok(vocabulary::KNOWN.len()));
    let released =
        vocabulary::KNOWN.map(|known| hex::encode(Sha256::digest(known.join("\n")))[..16].to_owned());
    assert_eq!(
        released,
        [
            "4b3a47de64d87406",
            "7ee8680b263ea257",
            "39aea877a8cef2ab",
            "12aaa79291406a50",
            "63d6f8ad332cb28b"
        ],
        "a released version's phrases are fixed: workers that know no more are at work. Write another list, and raise VERSION and \
         the length of KNOWN; the hash of a list that is new belongs here"
    );
}

#[test]
fn a_message_is_for_the_version_that_brought_the_newest_of_its_phrases() {
    let hours = || Box::new(Phrase::InHours { hours: 2 });
    let failed = |code: &str| {
        Message::new(Phrase::TrainingFailed {
            name: "Lisa".to_owned(),
            code: code.to_owned(),
        })
    };
    let old = Message::new(Phrase::StatusNothing {});
    for (message, version) in [
        (old.clone(), 1),
        (
            old.clone()
                .button(Phrase::ButtonCreate {}, crate::domain::Action::Create),
            1,
        ),
        (failed("timed_out"), 1),
        (failed("archive_unreachable"), 2),
        (Message::new(Phrase::TooManyLive { live: 2 }), 2),
        (old.clone().and(Phrase::StageBooked { wait: hours() }), 2),
        (Message::new(Phrase::DraftWaits { avatar: hours() }), 2),
        (
            Message::new(Phrase::PhotosRejected {
                lines: vec![*hours()],
            }),
            2,
        ),
        (
            old.button(Phrase::InHours { hours: 2 }, crate::domain::Action::Create),
            2,
        ),
    ] {
        assert_eq!(message.version(), version, "{message:?}");
    }
}

/// The code of a newer version: the owner still learns that the training ended.
#[test]
fn a_code_that_is_not_known_is_said_in_general_terms() {
    let stored = json!({"text": [{"say": "training-failed", "name": "Lisa", "code": "from_the_future"}]});
    let message: Message = serde_json::from_value(stored).unwrap();
    let said = Texts::load().unwrap().message(Locale::En, &message).html;
    let other = Phrase::TrainingFailed {
        name: "Lisa".to_owned(),
        code: "other".to_owned(),
    };
    assert_eq!(
        said,
        Texts::load()
            .unwrap()
            .message(Locale::En, &Message::new(other))
            .html
    );
}

/// Texts whose Kazakh file is this one.
fn with_kazakh(source: &str) -> Texts {
    Texts {
        kk: Arc::new(parsed(Locale::Kk, source).unwrap()),
        ..Texts::load().unwrap()
    }
}

/// A translator leaves out a text, or takes out the whole file.
#[test]
fn a_text_that_a_language_lacks_is_said_in_english_and_never_by_its_key() {
    let texts = with_kazakh("");
    for (variant, args) in phrase::ALL {
        let name = kebab(variant);
        let mut codes = vec!["other".to_owned()];
        for key in family(&name).into_iter().flatten() {
            codes.push(key[name.len() + 1..].to_owned());
        }
        for code in codes {
            let mut fields = Map::from_iter([("say".to_owned(), json!(name))]);
            for argument in *args {
                let value = if *argument == "code" {
                    json!(code)
                } else {
                    json!(3)
                };
                fields.insert((*argument).to_owned(), value);
            }
            let said = texts.render(Locale::Kk, &fields, Markup::Html);
            assert_eq!(said, texts.render(Locale::En, &fields, Markup::Html), "{name}");
            assert_ne!(said, name);
        }
    }

    let source = source(Locale::Kk);
    let whole = Texts::load().unwrap();
    let missing = |missing| Phrase::PhotosMissing { missing };
    let lacking = source.replacen("\nphotos-missing =", "\nphotos-lost =", 1);
    assert_ne!(lacking, source, "it was there");
    let texts = with_kazakh(&lacking);
    let message = Message::new(Phrase::StatusNothing {}).and(missing(2));
    let said = texts.message(Locale::Kk, &message).html;
    let kazakh = whole.plain(Locale::Kk, &Phrase::StatusNothing {});
    assert_eq!(said, format!("{kazakh}\n\n2 more photos are needed."));
}
