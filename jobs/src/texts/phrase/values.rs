//! The phrases for values of the domain: names, times, stages, prices.

use std::time::Duration;

use super::{Phrase, none};
use crate::domain::{Gender, Locale, Preset, Stage, Style, TrainingType, trainer::Dollars};

impl Phrase {
    /// The reason why a photo was refused.
    pub fn photo_problem(code: String, detail: Option<String>) -> Box<Self> {
        Box::new(Self::PhotoProblem {
            code,
            detail: detail.unwrap_or_else(none),
        })
    }

    /// An avatar's name, or words for an avatar without one.
    pub fn avatar(name: Option<&str>) -> Box<Self> {
        Box::new(match name {
            Some(name) => Self::AvatarNamed {
                name: name.to_owned(),
            },
            None => Self::AvatarUnnamed {},
        })
    }

    /// The word for a training type.
    pub fn kind(kind: TrainingType) -> Box<Self> {
        Box::new(match kind {
            TrainingType::Portrait => Self::KindPortrait {},
            TrainingType::Style => Self::KindStyle {},
        })
    }

    /// The word for a preset.
    pub fn preset(preset: Preset) -> Box<Self> {
        Box::new(match preset {
            Preset::Fast => Self::PresetFast {},
            Preset::Balanced => Self::PresetBalanced {},
            Preset::Quality => Self::PresetQuality {},
        })
    }

    /// A price as texts have it; `none` if it is not known.
    pub(crate) fn cost(dollars: Option<Dollars>) -> String {
        dollars.map_or_else(none, |dollars| dollars.to_string())
    }

    /// A language, called in itself.
    pub fn language(locale: Locale) -> Box<Self> {
        Box::new(match locale {
            Locale::Ru => Self::ButtonRussian {},
            Locale::En => Self::ButtonEnglish {},
            Locale::Kk => Self::ButtonKazakh {},
        })
    }

    /// The name of a style, which the table has in each language.
    pub fn style(style: &Style) -> Self {
        Self::StyleName {
            ru: style.title(Locale::Ru),
            en: style.title(Locale::En),
            kk: style.title(Locale::Kk),
        }
    }

    /// The word for a gender.
    pub fn gender(gender: Gender) -> Box<Self> {
        Box::new(match gender {
            Gender::Male => Self::GenderMale {},
            Gender::Female => Self::GenderFemale {},
        })
    }

    /// A waiting time in whole hours or minutes, never too short.
    pub fn in_time(wait: Duration) -> Box<Self> {
        let minutes = u32::try_from(wait.as_secs().div_ceil(60).max(1)).unwrap_or(u32::MAX);
        Box::new(if minutes < 60 {
            Self::InMinutes { minutes }
        } else {
            Self::InHours {
                hours: minutes.div_ceil(60),
            }
        })
    }

    /// The line of the progress message. A training that ended has one of the three `Stage…` phrases without a stage.
    pub fn stage(stage: Stage) -> Self {
        match stage {
            Stage::Requested => Self::StageRequested {},
            Stage::Archived => Self::StageArchived {},
            Stage::Booked { wait } => Self::StageBooked {
                wait: Self::in_time(wait),
            },
            Stage::Submitted => Self::StageSubmitted {},
            Stage::Queued { position } => Self::StageQueued {
                position: u32::try_from(position).unwrap_or(0),
            },
            Stage::Running { percent } => Self::running(percent),
            Stage::Trained => Self::StageTrained {},
            Stage::Sampling => Self::StageSampling {},
            Stage::Stopping => Self::StageStopping {},
        }
    }

    /// `percent`, with a bar of ten small squares.
    fn running(percent: u8) -> Self {
        let full = usize::from(percent.min(100)) / 10;
        let bar = format!("{}{}", "▰".repeat(full), "▱".repeat(10 - full));
        Self::StageRunning {
            bar,
            percent: u32::from(percent.min(100)),
        }
    }
}
