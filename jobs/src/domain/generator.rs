//! The generators at FAL: the endpoints that make pictures with a trained model, what input each takes, and what
//! output it gives.
//!
//! The table is `config/generators.toml`, read and checked once at start-up together with the settings
//! (`src/settings/generators.rs`). An entry of `trainers.toml` names its generator, because a LoRA fits only the base
//! model on which it was trained.
//!
//! # Must stay true
//! * a request without the avatar's model cannot be built: FAL would draw a stranger and bill it
//! * a picture that FAL flags, or whose flag cannot be read, is never taken for a clean one
//!
//! Read next: `generator/inputs.rs` (the requests), `generator/output.rs` (the results).

use std::time::Duration;

use serde_json::Value;

use super::{OutputKind, avatar::named, trainer::Dollars};

mod inputs;
mod output;

pub use inputs::{ModelInput, PictureInputs, PictureNames};
pub use output::{Generated, GeneratedPicture, NoPictureList, PicturePointers};

named!(
    /// The shape of a picture, as the user chooses it. Each generator has its own word for it.
    Aspect, "aspect", "aspect", {
        /// 3:4, the usual one for a person.
        Portrait = "portrait",
        /// 1:1.
        Square = "square",
        /// 4:3.
        Landscape = "landscape",
        /// 9:16, a phone's screen.
        Tall = "tall",
        /// 16:9, a computer's screen.
        Wide = "wide",
    }
);

impl Aspect {
    /// Width and height in lowest terms: 3 and 4 of `Portrait`.
    pub const fn ratio(self) -> (u32, u32) {
        match self {
            Self::Portrait => (3, 4),
            Self::Square => (1, 1),
            Self::Landscape => (4, 3),
            Self::Tall => (9, 16),
            Self::Wide => (16, 9),
        }
    }
}

/// Seeds that every endpoint of FAL's takes: some read them as a signed number of 32 bits.
pub const SEEDS: std::ops::Range<i64> = 0..2_147_483_647;

/// One entry of the generator table.
#[derive(Debug, Clone)]
pub struct Generator {
    /// Its key in the table: FAL's endpoint id, e.g. `fal-ai/flux-lora`.
    pub endpoint: String,
    /// Duration of a usual request, without the wait in FAL's queue.
    pub expected: Duration,
    /// What FAL bills for a picture. `None`: not published.
    pub price: Option<PicturePrice>,
    /// The most pictures of one request.
    pub most_pictures: u8,
    /// The inputs that it declares, with their values.
    pub inputs: PictureInputs,
    /// Where in FAL's result its pictures are.
    pub output: PicturePointers,
}

/// How FAL counts pictures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PicturePrice {
    /// The same for each picture.
    PerPicture(Dollars),
    /// For each megapixel of each picture. FAL rounds it up, and no picture that we ask for has more than one.
    PerMegapixel(Dollars),
}

/// A trained model, by which FAL finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelSource<'a> {
    /// Weights that FAL fetches.
    Lora {
        /// A URL that FAL can reach for as long as the request waits in its queue.
        url: &'a str,
    },
    /// A model that FAL keeps.
    Finetune {
        /// The id that the training returned.
        id: &'a str,
    },
}

/// The values of a request for pictures. The generator knows into which fields they go.
#[derive(Debug, Clone, Copy)]
pub struct PictureOrder<'a> {
    /// What FAL draws; the trigger word is in it ([`Style::prompt`](super::Style::prompt)).
    pub prompt: &'a str,
    /// What should not be drawn. Left out where the generator has no such input.
    pub negative: Option<&'a str>,
    /// The avatar's model.
    pub model: ModelSource<'a>,
    /// The shape of the pictures.
    pub aspect: Aspect,
    /// How many pictures; at least one and at most [`Generator::most_pictures`] are asked for.
    pub count: u8,
    /// The seed of an earlier request, for "more like this". `None`: FAL draws one.
    pub seed: Option<u64>,
}

/// A model of the wrong kind: a LoRA for a generator of finetunes, or a finetune for the other. The trainer's
/// entry was changed after the training.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{endpoint} draws with a {takes}, and the avatar's model is a {given}")]
pub struct UnfitModel {
    endpoint: String,
    takes: OutputKind,
    given: OutputKind,
}

impl ModelSource<'_> {
    /// Whether it is a file or an id.
    pub const fn kind(&self) -> OutputKind {
        match self {
            Self::Lora { .. } => OutputKind::Lora,
            Self::Finetune { .. } => OutputKind::Finetune,
        }
    }
}

impl Generator {
    /// The kind of model that it draws with.
    pub const fn model_kind(&self) -> OutputKind {
        self.inputs.names.model.kind()
    }

    /// The JSON body of the submit.
    ///
    /// # Errors
    /// The generator does not draw with a model of this kind.
    pub fn request(&self, order: &PictureOrder<'_>) -> Result<Value, UnfitModel> {
        let count = order.count.clamp(1, self.most_pictures.max(1));
        self.inputs.request(order, count).ok_or_else(|| UnfitModel {
            endpoint: self.endpoint.clone(),
            takes: self.model_kind(),
            given: order.model.kind(),
        })
    }

    /// Reads the pictures from a successful result. FAL may have made fewer or more than were asked for.
    ///
    /// # Errors
    /// The result has no list of pictures at all.
    pub fn output(&self, result: &Value) -> Result<Generated, NoPictureList> {
        self.output.read(result)
    }

    /// What so many pictures cost, as far as FAL publishes it.
    pub fn cost(&self, count: u8) -> Option<Dollars> {
        let (PicturePrice::PerPicture(each) | PicturePrice::PerMegapixel(each)) = self.price?;
        Some(Dollars(each.0 * f64::from(count)))
    }
}
