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
use serde_json::Map;

use super::{
    generators::{self, Generators},
    reader::SettingsReader,
    section::all,
    tables::{TableEntry, TableFile},
};

/// The trainers, for the bot, which chooses one, and for the worker, which submits to it.
pub(super) fn read(from: &mut SettingsReader<'_>) -> Option<Trainers> {
    let generators = generators::read(from);
    let mut entries = Vec::new();
    let mut broken = Vec::new();
    for name in from.tables(TableFile::Trainers) {
        let entry = TableEntry::new(from, TableFile::Trainers, name);
        match TrainerTable(entry, &generators).read() {
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
    (broken.is_empty() && generators.are_whole()).then_some(trainers)
}

/// A table of `trainers.toml` that is being read, and the generators that it may name.
struct TrainerTable<'r, 'a>(TableEntry<'r, 'a>, &'r Generators);

impl TrainerTable<'_, '_> {
    fn read(&mut self) -> Option<Trainer> {
        if !self.0.is_table() {
            return None;
        }
        let minutes = self.0.from.number(&self.0.key("expected_minutes"), 1..=24 * 60);
        let schema = self.0.schema();
        let is_known = schema.is_some();
        let trainer = all!(Trainer {
            name: Some(self.0.name.to_owned()),
            training_type: self.0.from.word(&self.0.key("training_type"), TrainingType::ALL),
            endpoint: self.0.endpoint("endpoint"),
            generator: self.1.named_by(&mut self.0, "inference_endpoint"),
            expected: minutes.map(Duration::from_mins),
            retired: self.retired(),
            price: self.price(),
            output: self.output(),
            inputs: self.inputs(schema),
        });
        // Without a known schema, no input or preset can be judged.
        let is_judged = |key: &str| is_known || !(key.starts_with("inputs.") || key.starts_with("presets."));
        let is_clean = self.0.refuse_unasked(is_judged);
        trainer.filter(|trainer| self.fits_its_generator(trainer) && is_clean)
    }

    /// Checks that the generator draws with the kind of model that the trainer makes.
    fn fits_its_generator(&mut self, trainer: &Trainer) -> bool {
        let (made, taken) = (trainer.output_kind(), trainer.generator.model_kind());
        if made != taken {
            let what = format!("it draws with a {taken}, and this trainer makes a {made}");
            let key = self.0.key("inference_endpoint");
            let fix = "Name the endpoint of the trainer's own base model.";
            self.0.from.reject(&key, &what, fix);
        }
        made == taken
    }

    fn retired(&mut self) -> Option<bool> {
        Some(self.0.optional("retired", TableEntry::truth)?.unwrap_or(false))
    }

    #[expect(
        clippy::option_option,
        reason = "the outer one means refused, as in every reader"
    )]
    fn price(&mut self) -> Option<Option<Price>> {
        let run = self.0.optional("price.per_run", TableEntry::dollars);
        let step = self.0.optional("price.per_step", TableEntry::dollars);
        let steps =
            |entry: &mut TableEntry<'_, '_>, path: &str| entry.from.number(&entry.key(path), 1..=1_000_000);
        let by_step = self.0.is_set("price.per_step");
        let least = if by_step {
            self.0.optional("price.least_steps", steps)
        } else {
            Some(None)
        };
        match (run?, step?, least?) {
            (Some(_), Some(_), _) => {
                let key = self.0.key("price.per_run");
                self.0
                    .from
                    .reject(&key, "there is price.per_step as well", "Keep one of the two.");
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

    fn output(&mut self) -> Option<OutputSpec> {
        const WEIGHTS: &str = "/diffusers_lora_file";
        match self.0.from.word(&self.0.key("output.kind"), OutputKind::ALL)? {
            OutputKind::Lora => {
                let file = self.0.pointers("output.file", WEIGHTS);
                let config = self.0.optional_pointer("output.config", "/config_file/url");
                Some(OutputSpec::Lora {
                    file: file?,
                    config: config?,
                })
            }
            OutputKind::Finetune => {
                let id = self.0.pointers("output.id", "/finetune_id")?;
                Some(OutputSpec::Finetune { id })
            }
        }
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
            if self.0.is_set(&path) {
                is_whole &= self.0.set(&mut fixed, &path, input, kind);
                is_whole &= self.is_in_no_preset(input);
                continue;
            }
            for (preset, values) in Preset::ALL.iter().zip(&mut presets) {
                is_whole &= self
                    .0
                    .set(values, &format!("presets.{preset}.{input}"), input, kind);
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

    fn is_in_no_preset(&mut self, input: &str) -> bool {
        let mut is_alone = true;
        for preset in Preset::ALL {
            let key = self.0.key(&format!("presets.{preset}.{input}"));
            if self
                .0
                .from
                .optional::<String>(&key, "nothing")
                .flatten()
                .is_some()
            {
                let what = format!("inputs.{input} is set, for all presets");
                self.0.from.reject(&key, &what, "Keep one of the two.");
                is_alone = false;
            }
        }
        is_alone
    }

    fn own(&mut self) -> Option<OwnInputs> {
        let optional = |entry: &mut TableEntry<'_, '_>, path: &str| entry.text(path, "an input");
        all!(OwnInputs {
            archive: self.0.text("fills.archive", "images_data_url"),
            archive_format: self.0.optional("fills.archive_format", optional),
            trigger: self.0.text("fills.trigger", "trigger_phrase"),
            trigger_text: self.trigger_text(),
            comment: self.0.optional("fills.comment", optional),
            steps: self.0.text("steps", "steps"),
        })
    }

    fn trigger_text(&mut self) -> Option<String> {
        let read = |entry: &mut TableEntry<'_, '_>, path: &str| entry.text(path, "a photo of {trigger}");
        let Some(text) = self.0.optional("trigger_text", read)? else {
            return Some(TRIGGER_PLACEHOLDER.to_owned());
        };
        let holds_it = text.contains(TRIGGER_PLACEHOLDER);
        if !holds_it {
            let key = self.0.key("trigger_text");
            let fix = "Write {trigger} where the trigger word belongs.";
            self.0
                .from
                .reject(&key, "it has no place for the trigger word", fix);
        }
        holds_it.then_some(text)
    }

    /// Checks that inputs that we fill in are not declared as well, and that the steps are a declared input.
    fn agrees(&mut self, own: &OwnInputs, schema: &BTreeMap<String, InputKind>) -> bool {
        let filled = [
            ("fills.archive", Some(&own.archive)),
            ("fills.archive_format", own.archive_format.as_ref()),
            ("fills.trigger", Some(&own.trigger)),
            ("fills.comment", own.comment.as_ref()),
        ];
        let fits = self.0.are_apart(&filled, schema);
        let is_counted = matches!(
            schema.get(&own.steps),
            Some(InputKind::Integer(..) | InputKind::IntegerOf(_))
        );
        if !is_counted {
            let key = self.0.key("steps");
            let fix = "Name an input that schema declares as integer.";
            self.0.from.reject(&key, "that input counts nothing", fix);
        }
        fits && is_counted
    }
}
