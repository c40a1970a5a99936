//! `[training]` and `trainers.toml`: the available trainers, and which of them a new training uses.
//!
//! The ranges are those of FAL's schemas. A default that names an entry with a mistake is not judged any
//! further: the mistake may be in the very field that a default must match.

use std::{fmt::Display, ops::RangeInclusive, time::Duration};

use jobs::domain::{
    OutputKind, Preset, Trainer, Trainers, TrainingType,
    trainer::{
        Fast, FastPreset, FinetuneType, FluxPro, FluxProMode, FluxProPreset, FluxProPriority, Inputs,
        OutputSpec, Portrait, PortraitPreset, Schema, Turbo, TurboPreset, TurboStyle,
    },
};

use super::{layers::TRAINERS_PREFIX, reader::Reader, section::all};

/// The trainers, for the bot, which chooses one, and for the worker, which submits to it.
pub(super) fn read(from: &mut Reader<'_>) -> Option<Trainers> {
    let mut entries = Vec::new();
    let mut broken = Vec::new();
    for name in from.trainers() {
        match Entry::new(from, name).read() {
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
struct Entry<'r, 'a> {
    from: &'r mut Reader<'a>,
    name: &'r str,
}

/// Reads the inputs and presets of one schema.
type ReadSchema<'r, 'a> = fn(&mut Entry<'r, 'a>) -> Option<Schema>;

impl<'r, 'a> Entry<'r, 'a> {
    const fn new(from: &'r mut Reader<'a>, name: &'r str) -> Self {
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
        let schemas: [(&str, ReadSchema<'r, 'a>); 4] = [
            ("portrait", |entry| {
                entry
                    .inputs(Self::portrait, Self::portrait_preset)
                    .map(Schema::Portrait)
            }),
            ("fast", |entry| {
                entry.inputs(Self::fast, Self::fast_preset).map(Schema::Fast)
            }),
            ("flux_pro", |entry| {
                entry
                    .inputs(Self::flux_pro, Self::flux_pro_preset)
                    .map(Schema::FluxPro)
            }),
            ("turbo", |entry| {
                entry.inputs(Self::turbo, Self::turbo_preset).map(Schema::Turbo)
            }),
        ];
        let schema = self.from.choice(&self.key("schema"), &schemas);
        let is_known = schema.is_some();
        let minutes = self.from.number(&self.key("expected_minutes"), 1..=24 * 60);
        let trainer = all!(Trainer {
            name: Some(self.name.to_owned()),
            training_type: self.from.word(&self.key("training_type"), TrainingType::ALL),
            endpoint: self.endpoint("endpoint"),
            inference_endpoint: self.endpoint("inference_endpoint"),
            expected: minutes.map(Duration::from_mins),
            retired: self.retired(),
            output: self.output(),
            schema: schema.and_then(|schema| schema(self)),
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

    /// Reads the inputs that are the same in all presets, and those of each preset.
    fn inputs<F, P>(
        &mut self,
        fixed: fn(&mut Self) -> Option<F>,
        preset: fn(&mut Self, Preset) -> Option<P>,
    ) -> Option<Inputs<F, P>> {
        all!(Inputs {
            fixed: fixed(self),
            fast: preset(self, Preset::Fast),
            balanced: preset(self, Preset::Balanced),
            quality: preset(self, Preset::Quality),
        })
    }

    fn portrait(&mut self) -> Option<Portrait> {
        all!(Portrait {
            multiresolution_training: self.truth("multiresolution_training"),
            subject_crop: self.truth("subject_crop"),
            create_masks: self.truth("create_masks"),
        })
    }

    fn portrait_preset(&mut self, preset: Preset) -> Option<PortraitPreset> {
        all!(PortraitPreset {
            steps: self.number(preset, "steps", 1..=10_000),
            learning_rate: self.learning_rate(preset, 1e-3),
        })
    }

    fn fast(&mut self) -> Option<Fast> {
        all!(Fast {
            is_style: self.truth("is_style"),
            create_masks: self.truth("create_masks"),
        })
    }

    fn fast_preset(&mut self, preset: Preset) -> Option<FastPreset> {
        all!(FastPreset {
            steps: self.number(preset, "steps", 1..=10_000),
        })
    }

    fn flux_pro(&mut self) -> Option<FluxPro> {
        let rank = self.key("inputs.lora_rank");
        all!(FluxPro {
            mode: self.word("mode", FluxProMode::ALL),
            finetune_type: self.word("finetune_type", FinetuneType::ALL),
            lora_rank: self.from.choice(&rank, &[("16", 16), ("32", 32)]),
            captioning: self.truth("captioning"),
        })
    }

    fn flux_pro_preset(&mut self, preset: Preset) -> Option<FluxProPreset> {
        let priority = Self::of_preset(preset, "priority");
        all!(FluxProPreset {
            iterations: self.number(preset, "iterations", 100..=1000),
            learning_rate: self.learning_rate(preset, 1e-2),
            priority: self.from.word(&self.key(&priority), FluxProPriority::ALL),
        })
    }

    fn turbo(&mut self) -> Option<Turbo> {
        all!(Turbo {
            training_style: self.word("training_style", TurboStyle::ALL),
            face_crop: self.truth("face_crop"),
        })
    }

    fn turbo_preset(&mut self, preset: Preset) -> Option<TurboPreset> {
        all!(TurboPreset {
            steps: self.number(preset, "steps", 1..=10_000),
            learning_rate: self.learning_rate(preset, 1e-2),
        })
    }

    fn truth(&mut self, input: &str) -> Option<bool> {
        let key = self.key(&format!("inputs.{input}"));
        self.from.truth(&key)
    }

    fn word<T: Copy + Display>(&mut self, input: &str, all: &[T]) -> Option<T> {
        let key = self.key(&format!("inputs.{input}"));
        self.from.word(&key, all)
    }

    fn number(&mut self, preset: Preset, input: &str, range: RangeInclusive<u32>) -> Option<u32> {
        let key = self.key(&Self::of_preset(preset, input));
        self.from.number(&key, range)
    }

    fn learning_rate(&mut self, preset: Preset, most: f64) -> Option<f64> {
        let key = self.key(&Self::of_preset(preset, "learning_rate"));
        self.from.fraction(&key, 1e-6..=most)
    }

    fn of_preset(preset: Preset, input: &str) -> String {
        format!("presets.{preset}.{input}")
    }
}
