//! How long a training takes, and how much of it is left: by the last ones like it, and without any by the trainer's entry.
//!
//! An estimate is said to users in whole minutes, never less than one. It decides nothing.

use std::time::Duration;

use sqlx::PgConnection;

use crate::{
    domain::{Preset, Stage, Trainer, TrainingId},
    store::trainings,
};

/// From this percentage on the pace of the training itself says more than the last ones.
const PACE_COUNTS_FROM: u8 = 25;

/// The usual duration with each preset, from the request to the finished avatar, in the order of [`Preset::ALL`].
pub(crate) async fn of_presets(
    tx: &mut PgConnection,
    trainer: &Trainer,
) -> Result<Vec<(Preset, Duration)>, sqlx::Error> {
    let words: Vec<_> = Preset::ALL.iter().map(ToString::to_string).collect();
    let seen = trainings::usual(tx, &trainer.name, &words).await?;
    let estimate = |preset: Preset| {
        let seen = seen.iter().find(|seen| seen.preset == preset.as_str());
        let seen = seen.and_then(|seen| Duration::try_from_secs_f64(seen.seconds).ok());
        seen.unwrap_or_else(|| trainer.expected_with(preset))
    };
    Ok(Preset::ALL
        .iter()
        .map(|preset| (*preset, estimate(*preset)))
        .collect())
}

/// How long a training in this stage still takes. `None`: unknown, over, or longer than expected.
pub(crate) async fn left(
    tx: &mut PgConnection,
    training: TrainingId,
    stage: Stage,
) -> Result<Option<Duration>, sqlx::Error> {
    if !stage.is_training() {
        return Ok(None);
    }
    let Some(elapsed) = trainings::elapsed(tx, training).await? else {
        return Ok(None);
    };
    let by_pace = match (stage, elapsed.since_start) {
        (Stage::Running { percent }, Some(running)) if percent >= PACE_COUNTS_FROM => {
            let percent = f64::from(percent.min(100));
            Some(running * (100.0 - percent) / percent)
        }
        _ => None,
    };
    let by_others = || Some(f64::from(elapsed.expected?) - elapsed.since_request);
    let seconds = by_pace.or_else(by_others);
    Ok(seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|left| !left.is_zero()))
}

/// In whole minutes, as users read it.
pub(crate) fn minutes(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs().div_ceil(60).max(1)).unwrap_or(u32::MAX)
}
