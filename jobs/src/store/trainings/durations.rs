//! How long trainings took, and how much is left of one.

use sqlx::PgConnection;

use crate::domain::TrainingId;

/// A preset, and how long the last trainings with it took.
#[derive(Debug)]
pub(crate) struct UsualDuration {
    pub preset: String,
    pub seconds: f64,
}

/// By the last 20 completed trainings of each preset; a preset without one is left out.
pub(crate) async fn usual(
    tx: &mut PgConnection,
    trainer: &str,
    presets: &[String],
) -> Result<Vec<UsualDuration>, sqlx::Error> {
    sqlx::query_file_as!(
        UsualDuration,
        "src/store/sql/usual_durations.sql",
        trainer,
        presets
    )
    .fetch_all(tx)
    .await
}

/// The clock of one training, in seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Elapsed {
    /// Expected in all. `None`: unknown.
    pub expected: Option<i32>,
    /// Since the user's request.
    pub since_request: f64,
    /// Since FAL began to train. `None`: it has not.
    pub since_start: Option<f64>,
}

pub(crate) async fn elapsed(tx: &mut PgConnection, id: TrainingId) -> Result<Option<Elapsed>, sqlx::Error> {
    sqlx::query_as!(
        Elapsed,
        r#"
        select expected_seconds as expected, extract(epoch from now() - created_at)::float8 as "since_request!",
               extract(epoch from now() - started_at)::float8 as since_start
          from trainings
         where id = $1
        "#,
        id.0
    )
    .fetch_optional(tx)
    .await
}
