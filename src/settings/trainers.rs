//! `[training]` and `trainers.toml`: the available trainers, and which of them a new training uses.
//!
//! An entry declares the inputs that it sets and their allowed values, and is checked against its own declarations.
//! So a trainer that is new at FAL is added by a table alone, and a slip in the table is found at the start. A
//! default that names an entry with a mistake is not judged any further: the mistake may be in the very type that a
//! default must match.

use std::{collections::BTreeMap, time::Duration};

use jobs::domain::{
    OutputKind, Preset, Trainer, Trainers, TrainingType,
    trainer::{Dollars, InputKind, OutputSpec, OwnInputs, Price, TRIGGER_PLACEHOLDER, TrainerInputs},
};
use serde_json::{Map, Value};

use super::{layers::TRAINERS_PREFIX, reader::SettingsReader, section::all};

/// The trainers, for the bot, which chooses one, and for the worker, which submits to it.
pub(super) fn read(from: &mut SettingsReader<'_>) -> Option<Trainers> {
    let mut entries = Vec::new();
    let mut broken = Vec::new();
    for name in from.trainers() {
        match TrainerTable::new(from, name).read() {
            Some(trainer) => entries.push(trainer),
            None => broken.push(name),
        }
    }
    let mut default = |key: &str, example: &str, wanted| {
        let name = from.parse::<String>(key, example)?;
        if broken.contains(&&name) {
            return None;
        }
        match Trainer::among(&entries, &name, wanted) {
            Ok(trainer) => Some(trainer.clone()),
            Err(unfit) => {
                let fix = "config/trainers.toml lists the trainers and their presets.";
                from.reject(key, &unfit.to_string(), fix);
                None
            }
        }
    };
    let portrait = default(
        "training.portrait_trainer",
        "flux-lora-portrait-trainer",
        TrainingType::Portrait,
    );
    let style = default(
        "training.style_trainer",
        "flux-lora-fast-training",
        TrainingType::Style,
    );
    let preset = from.word("training.preset", Preset::ALL);
    let trainers = Trainers::new(entries, portrait?, style?, preset?);
    broken.is_empty().then_some(trainers)
}

/// A table of `trainers.toml` that is being read.
struct TrainerTable<'r, 'a> {
    from: &'r mut SettingsReader<'a>,
    name: &'r str,
}

impl<'r, 'a> TrainerTable<'r, 'a> {
    const fn new(from: &'r mut SettingsReader<'a>, name: &'r str) -> Self {
        Self { from, name }
    }

    fn key(&self, path: &str) -> String {
        format!("{TRAINERS_PREFIX}{}.{path}", self.name)
    }

    fn read(&mut self) -> Option<Trainer> {
        let table = format!("{TRAINERS_PREFIX}{}", self.name);
        if self.from.is_set(&table) {
            let fix = format!("Write a table [{}] with its keys.", self.name);
            self.from.reject(&table, "it is no trainer", &fix);
            return None;
        }
        let minutes = self.from.number(&self.key("expected_minutes"), 1..=24 * 60);
        let schema = self.schema();
        let is_known = schema.is_some();
        let trainer = all!(Trainer {
            name: Some(self.name.to_owned()),
            training_type: self.from.word(&self.key("training_type"), TrainingType::ALL),
            endpoint: self.endpoint("endpoint"),
            inference_endpoint: self.endpoint("inference_endpoint"),
            expected: minutes.map(Duration::from_mins),
            retired: self.retired(),
            price: self.price(),
            output: self.output(),
            inputs: self.inputs(schema),
        });
        // Without a known schema, no input or preset can be judged.
        let is_judged = |key: &str| is_known || !(key.starts_with("inputs.") || key.starts_with("presets."));
        let is_clean = self.from.refuse_unasked(&self.key(""), is_judged);
        trainer.filter(|_| is_clean)
    }

    fn retired(&mut self) -> Option<bool> {
        let key = self.key("retired");
        let is_set = self.from.is_set(&key);
        let retired = self.from.when(is_set, |from| from.truth(&key))?;
        Some(retired.unwrap_or(false))
    }

    #[expect(
        clippy::option_option,
        reason = "the outer one means refused, as in every reader"
    )]
    fn price(&mut self) -> Option<Option<Price>> {
        const BOUNDS: std::ops::RangeInclusive<f64> = 1e-6..=1e3;
        let [per_run, per_step, least] =
            ["price.per_run", "price.per_step", "price.least_steps"].map(|path| self.key(path));
        let [by_run, by_step, has_least] = [&per_run, &per_step, &least].map(|key| self.from.is_set(key));
        let run = self.from.when(by_run, |from| from.fraction(&per_run, BOUNDS));
        let step = self.from.when(by_step, |from| from.fraction(&per_step, BOUNDS));
        let least = self
            .from
            .when(by_step && has_least, |from| from.number(&least, 1..=1_000_000));
        match (run?, step?, least?) {
            (Some(_), Some(_), _) => {
                let fix = "Keep one of the two.";
                self.from.reject(&per_run, "there is price.per_step as well", fix);
                None
            }
            (None, None, _) => Some(None),
            (Some(dollars), None, _) => Some(Some(Price::PerRun(Dollars(dollars)))),
            (None, Some(dollars), least_steps) => Some(Some(Price::PerStep {
                dollars: Dollars(dollars),
                least_steps: least_steps.unwrap_or(1),
            })),
        }
    }

    fn endpoint(&mut self, key: &str) -> Option<String> {
        let key = self.key(key);
        let endpoint = self.from.parse::<String>(&key, "fal-ai/flux-lora")?;
        let is_segment = |segment: &str| {
            !segment.is_empty()
                && segment != ".."
                && segment
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        };
        let fits = endpoint.split('/').count() >= 2 && endpoint.split('/').all(is_segment);
        if !fits {
            self.from.reject(
                &key,
                "it is no endpoint id",
                "Write owner/app, such as fal-ai/flux-lora.",
            );
        }
        fits.then_some(endpoint)
    }

    fn output(&mut self) -> Option<OutputSpec> {
        match self.from.word(&self.key("output.kind"), OutputKind::ALL)? {
            OutputKind::Lora => {
                let file = self.pointers("output.file");
                let config = self.key("output.config");
                let is_set = self.from.is_set(&config);
                let config = is_set.then(|| self.pointers("output.config"));
                let config = config.map_or(Some(None), |config| config.map(|mut config| config.pop()));
                Some(OutputSpec::Lora {
                    file: file?,
                    config: config?,
                })
            }
            OutputKind::Finetune => {
                let id = self.pointers("output.id")?;
                Some(OutputSpec::Finetune { id })
            }
        }
    }

    /// JSON pointers into FAL's result.
    fn pointers(&mut self, key: &str) -> Option<Vec<String>> {
        let key = self.key(key);
        let text = self.from.parse::<String>(&key, "[\"/diffusers_lora_file\"]")?;
        let pointers = text.split(',').map(|pointer| pointer.trim().to_owned());
        let pointers = pointers.collect::<Vec<_>>();
        let fits = pointers.iter().all(|pointer| pointer.starts_with('/'));
        if !fits {
            let fix = "Write JSON pointers, such as [\"/diffusers_lora_file\"].";
            self.from.reject(&key, "it is no JSON pointer", fix);
        }
        fits.then_some(pointers)
    }

    /// The declared inputs. `None`: there are none, or one is declared wrongly.
    fn schema(&mut self) -> Option<BTreeMap<String, InputKind>> {
        let inputs = self.from.trainer_keys_below(&self.key("schema."));
        if inputs.is_empty() {
            let fix = "Write a table with each input that the entry sets, for example steps = \"integer 1..10000\".";
            self.from.refuse(&self.key("schema"), "is missing.", fix);
            return None;
        }
        let mut schema = BTreeMap::new();
        let count = inputs.len();
        for input in inputs {
            let kind = self.key(&format!("schema.{input}"));
            if let Some(kind) = self.from.parse(&kind, "integer 1..10000") {
                schema.insert(input, kind);
            }
        }
        (schema.len() == count).then_some(schema)
    }

    fn inputs(&mut self, schema: Option<BTreeMap<String, InputKind>>) -> Option<TrainerInputs> {
        let own = self.own();
        let schema = schema?;
        let own = own.filter(|own| self.agrees(own, &schema));
        let mut fixed = Map::new();
        let mut presets = [Map::new(), Map::new(), Map::new()];
        let mut is_whole = true;
        for (input, kind) in &schema {
            let path = format!("inputs.{input}");
            if self.from.is_set(&self.key(&path)) {
                is_whole &= self.set(&mut fixed, &path, input, kind);
                is_whole &= self.is_in_no_preset(input);
                continue;
            }
            for (preset, values) in Preset::ALL.iter().zip(&mut presets) {
                is_whole &= self.set(values, &format!("presets.{preset}.{input}"), input, kind);
            }
        }
        let [fast, balanced, quality] = presets;
        let inputs = all!(TrainerInputs {
            own,
            schema: Some(schema),
            fixed: Some(fixed),
            fast: Some(fast),
            balanced: Some(balanced),
            quality: Some(quality),
        });
        inputs.filter(|_| is_whole)
    }

    /// Adds the value at `path` to `values`; returns whether it exists and fits.
    fn set(&mut self, values: &mut Map<String, Value>, path: &str, input: &str, kind: &InputKind) -> bool {
        let key = self.key(path);
        let value = match kind {
            InputKind::Boolean => self.from.truth(&key).map(Value::from),
            InputKind::Text => self.from.parse::<String>(&key, "a text").map(Value::from),
            InputKind::Integer(least, most) => self.from.number(&key, *least..=*most).map(Value::from),
            InputKind::Number(least, most) => self.from.fraction(&key, *least..=*most).map(Value::from),
            InputKind::IntegerOf(numbers) => self.from.word(&key, numbers).map(Value::from),
            InputKind::WordOf(words) => {
                let words: Vec<_> = words.iter().map(String::as_str).collect();
                self.from.word(&key, &words).map(Value::from)
            }
        };
        let is_set = value.is_some();
        values.extend(value.map(|value| (input.to_owned(), value)));
        is_set
    }

    fn is_in_no_preset(&mut self, input: &str) -> bool {
        let mut is_alone = true;
        for preset in Preset::ALL {
            let key = self.key(&format!("presets.{preset}.{input}"));
            if self.from.optional::<String>(&key, "nothing").flatten().is_some() {
                let what = format!("inputs.{input} is set, for all presets");
                self.from.reject(&key, &what, "Keep one of the two.");
                is_alone = false;
            }
        }
        is_alone
    }

    fn own(&mut self) -> Option<OwnInputs> {
        all!(OwnInputs {
            archive: self.input_name("fills.archive", "images_data_url"),
            archive_format: self.optional_input_name("fills.archive_format"),
            trigger: self.input_name("fills.trigger", "trigger_phrase"),
            trigger_text: self.trigger_text(),
            comment: self.optional_input_name("fills.comment"),
            steps: self.input_name("steps", "steps"),
        })
    }

    fn input_name(&mut self, path: &str, example: &str) -> Option<String> {
        self.from.parse::<String>(&self.key(path), example)
    }

    #[expect(
        clippy::option_option,
        reason = "the outer one means refused, as in every reader"
    )]
    fn optional_input_name(&mut self, path: &str) -> Option<Option<String>> {
        let is_set = self.from.is_set(&self.key(path));
        is_set
            .then(|| self.input_name(path, "an input"))
            .map_or(Some(None), |name| name.map(Some))
    }

    fn trigger_text(&mut self) -> Option<String> {
        let key = self.key("trigger_text");
        if !self.from.is_set(&key) {
            return Some(TRIGGER_PLACEHOLDER.to_owned());
        }
        let text = self.from.parse::<String>(&key, "a photo of {trigger}")?;
        let holds_it = text.contains(TRIGGER_PLACEHOLDER);
        if !holds_it {
            let fix = "Write {trigger} where the trigger word belongs.";
            self.from
                .reject(&key, "it has no place for the trigger word", fix);
        }
        holds_it.then_some(text)
    }

    /// Checks that inputs that we fill in are not declared as well, and that the steps are a declared input.
    fn agrees(&mut self, own: &OwnInputs, schema: &BTreeMap<String, InputKind>) -> bool {
        let mut fits = true;
        let filled = [
            ("fills.archive", Some(&own.archive)),
            ("fills.archive_format", own.archive_format.as_ref()),
            ("fills.trigger", Some(&own.trigger)),
            ("fills.comment", own.comment.as_ref()),
        ];
        let mut seen: Vec<&String> = Vec::new();
        for (path, input) in filled {
            let Some(input) = input else { continue };
            if schema.contains_key(input) || seen.contains(&input) {
                let fix = "Give each input to one key: fills, or schema with inputs or presets.";
                self.from
                    .reject(&self.key(path), "that input is set elsewhere as well", fix);
                fits = false;
            }
            seen.push(input);
        }
        let is_counted = matches!(
            schema.get(&own.steps),
            Some(InputKind::Integer(..) | InputKind::IntegerOf(_))
        );
        if !is_counted {
            let fix = "Name an input that schema declares as integer.";
            self.from
                .reject(&self.key("steps"), "that input counts nothing", fix);
        }
        fits && is_counted
    }
}
