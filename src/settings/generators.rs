//! `generators.toml`: the endpoints that make pictures, which trainers name.
//!
//! An entry is checked like one of `trainers.toml`: it declares the inputs that it sets and their allowed values, so
//! an endpoint that is new at FAL is added by a table alone.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jobs::domain::{
    Aspect, Generator,
    generator::{ModelInput, PictureInputs, PictureNames, PicturePointers, PicturePrice},
    trainer::{Dollars, InputKind},
};
use serde_json::{Map, Value};

use super::{
    reader::SettingsReader,
    section::all,
    tables::{TableEntry, TableFile, is_endpoint},
};

/// The generators of `generators.toml`, for the trainers that name them.
pub(super) struct Generators {
    entries: Vec<Arc<Generator>>,
    /// Endpoints whose tables have a mistake.
    broken: Vec<String>,
}

/// Reads all tables; those with a mistake are reported and left out.
pub(super) fn read(from: &mut SettingsReader<'_>) -> Generators {
    let mut generators = Generators {
        entries: Vec::new(),
        broken: Vec::new(),
    };
    for name in from.tables(TableFile::Generators) {
        match GeneratorTable(TableEntry::new(from, TableFile::Generators, name)).read() {
            Some(generator) => generators.entries.push(Arc::new(generator)),
            None => generators.broken.push(name.clone()),
        }
    }
    generators
}

/// As [`read`], for whoever lists them. `None`: a table has a mistake.
pub(super) fn all(from: &mut SettingsReader<'_>) -> Option<Vec<Arc<Generator>>> {
    let generators = read(from);
    generators.are_whole().then_some(generators.entries)
}

impl Generators {
    /// Whether all tables are right.
    pub(super) const fn are_whole(&self) -> bool {
        self.broken.is_empty()
    }

    /// The generator that an entry of `trainers.toml` names. One whose table has a mistake is not reported again.
    pub(super) fn named_by(&self, trainer: &mut TableEntry<'_, '_>, path: &str) -> Option<Arc<Generator>> {
        let endpoint = trainer.endpoint(path)?;
        let found = self
            .entries
            .iter()
            .find(|generator| generator.endpoint == endpoint);
        if found.is_none() && !self.broken.contains(&endpoint) {
            let known = self.entries.iter().map(|generator| generator.endpoint.as_str());
            let known = known.collect::<Vec<_>>().join(", ");
            let fix = format!("Add a table [\"{endpoint}\"] to generators.toml, or use one of {known}.");
            let key = trainer.key(path);
            trainer
                .from
                .reject(&key, "generators.toml has no such endpoint", &fix);
        }
        found.cloned()
    }
}

/// A table of `generators.toml` that is being read.
struct GeneratorTable<'r, 'a>(TableEntry<'r, 'a>);

impl GeneratorTable<'_, '_> {
    fn read(&mut self) -> Option<Generator> {
        if !self.0.is_table() || !self.is_named_by_its_endpoint() {
            return None;
        }
        let seconds = self.0.from.number(&self.0.key("expected_seconds"), 1..=60 * 60);
        let generator = all!(Generator {
            endpoint: Some(self.0.name.to_owned()),
            expected: seconds.map(Duration::from_secs),
            price: self.price(),
            most_pictures: self.0.from.number(&self.0.key("most_pictures"), 1..=10),
            inputs: self.inputs(),
            output: self.output(),
        });
        let is_clean = self.0.refuse_unasked(|_| true);
        generator.filter(|_| is_clean)
    }

    fn is_named_by_its_endpoint(&mut self) -> bool {
        let fits = is_endpoint(self.0.name);
        if !fits {
            let key = format!("{}{}", TableFile::Generators.prefix(), self.0.name);
            self.0.from.refuse(
                &key,
                "is no endpoint id.",
                "Name the table by FAL's id, such as [\"fal-ai/flux-lora\"].",
            );
        }
        fits
    }

    #[expect(
        clippy::option_option,
        reason = "the outer one means refused, as in every reader"
    )]
    fn price(&mut self) -> Option<Option<PicturePrice>> {
        let each = self.0.optional("price.per_picture", TableEntry::dollars);
        let megapixel = self.0.optional("price.per_megapixel", TableEntry::dollars);
        match (each?, megapixel?) {
            (Some(_), Some(_)) => {
                let key = self.0.key("price.per_picture");
                self.0.from.reject(
                    &key,
                    "there is price.per_megapixel as well",
                    "Keep one of the two.",
                );
                None
            }
            (Some(dollars), None) => Some(Some(PicturePrice::PerPicture(Dollars(dollars)))),
            (None, Some(dollars)) => Some(Some(PicturePrice::PerMegapixel(Dollars(dollars)))),
            (None, None) => Some(None),
        }
    }

    fn inputs(&mut self) -> Option<PictureInputs> {
        let names = self.names();
        let sizes = self.sizes();
        let schema = self.0.schema();
        let mut fixed = Map::new();
        let mut is_whole = true;
        for (input, kind) in schema.iter().flatten() {
            is_whole &= self.0.set(&mut fixed, &format!("inputs.{input}"), input, kind);
        }
        if let (Some(names), Some(schema)) = (&names, &schema) {
            is_whole &= self.are_apart(names, schema);
        }
        is_whole &= self.keeps_the_rules(&fixed);
        let inputs = all!(PictureInputs {
            names,
            sizes,
            schema,
            fixed: Some(fixed),
        });
        inputs.filter(|_| is_whole)
    }

    fn are_apart(&mut self, names: &PictureNames, schema: &BTreeMap<String, InputKind>) -> bool {
        let (model, strength) = match &names.model {
            ModelInput::Loras { list, .. } => (("fills.loras", Some(list)), None),
            ModelInput::Finetune {
                id, strength_input, ..
            } => (("fills.finetune", Some(id)), Some(strength_input)),
        };
        let filled = [
            ("fills.prompt", Some(&names.prompt)),
            ("fills.negative", names.negative.as_ref()),
            model,
            ("fills.strength", strength),
            ("fills.count", Some(&names.count)),
            ("fills.size", Some(&names.size)),
            ("fills.seed", names.seed.as_ref()),
        ];
        self.0.are_apart(&filled, schema)
    }

    /// The safety checker stays on, and pictures are fetched: in the result itself they would fill the database.
    fn keeps_the_rules(&mut self, fixed: &Map<String, Value>) -> bool {
        let rules = [
            (
                "enable_safety_checker",
                true,
                "FAL's checker is what keeps bad pictures from users",
            ),
            ("sync_mode", false, "the pictures would come inside of the result"),
        ];
        let mut keeps = true;
        for (input, wanted, why) in rules {
            let value = fixed.get(input).and_then(Value::as_bool);
            if value.is_some_and(|value| value != wanted) {
                let key = self.0.key(&format!("inputs.{input}"));
                self.0
                    .from
                    .reject(&key, why, &format!("Set it to {wanted}, or leave it out."));
                keeps = false;
            }
        }
        keeps
    }

    fn names(&mut self) -> Option<PictureNames> {
        let optional = |entry: &mut TableEntry<'_, '_>, path: &str| entry.text(path, "an input");
        all!(PictureNames {
            prompt: self.0.text("fills.prompt", "prompt"),
            negative: self.0.optional("fills.negative", optional),
            model: self.model(),
            count: self.0.text("fills.count", "num_images"),
            size: self.0.text("fills.size", "image_size"),
            seed: self.0.optional("fills.seed", optional),
        })
    }

    fn model(&mut self) -> Option<ModelInput> {
        let optional = |entry: &mut TableEntry<'_, '_>, path: &str| entry.text(path, "an input");
        let list = self.0.optional("fills.loras", optional)?;
        let id = self.0.optional("fills.finetune", optional)?;
        match (list, id) {
            (Some(list), None) => {
                let scale = self.strength("lora_scale", 4.0)?;
                Some(ModelInput::Loras { list, scale })
            }
            (None, Some(id)) => {
                let strength_input = self.0.text("fills.strength", "finetune_strength");
                let strength = self.strength("finetune_strength", 2.0);
                Some(ModelInput::Finetune {
                    id,
                    strength_input: strength_input?,
                    strength: strength?,
                })
            }
            (given, _) => {
                let what = if given.is_some() {
                    "and fills.finetune are both set."
                } else {
                    "is missing, and fills.finetune too."
                };
                let fix =
                    "Name one input for the model: fills.loras, a list of LoRAs, or fills.finetune, an id.";
                let key = self.0.key("fills.loras");
                self.0.from.refuse(&key, what, fix);
                None
            }
        }
    }

    /// How strongly a model acts; 1 if the entry does not say.
    fn strength(&mut self, path: &str, most: f64) -> Option<f64> {
        let read =
            |entry: &mut TableEntry<'_, '_>, path: &str| entry.from.fraction(&entry.key(path), 0.0..=most);
        Some(self.0.optional(path, read)?.unwrap_or(1.0))
    }

    fn sizes(&mut self) -> Option<BTreeMap<&'static str, String>> {
        let mut sizes = BTreeMap::new();
        for aspect in Aspect::ALL {
            let (width, height) = aspect.ratio();
            let example = format!("{width}:{height}");
            if let Some(size) = self.0.text(&format!("sizes.{aspect}"), &example) {
                sizes.insert(aspect.as_str(), size);
            }
        }
        (sizes.len() == Aspect::ALL.len()).then_some(sizes)
    }

    fn output(&mut self) -> Option<PicturePointers> {
        all!(PicturePointers {
            pictures: self.0.pointers("output.pictures", "/images"),
            flags: self.0.optional_pointer("output.flags", "/has_nsfw_concepts"),
            seed: self.0.optional_pointer("output.seed", "/seed"),
        })
    }
}
