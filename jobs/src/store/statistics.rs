//! Numbers about everything, for administrators.

use sqlx::PgConnection;

#[derive(Debug)]
pub(crate) struct CountedToday {
    pub users: i64,
    pub new_users: i64,
    pub live: i64,
    pub completed: i64,
    pub failed: i64,
    pub cancelled: i64,
    pub pictures: i64,
    /// In seconds.
    pub oldest_job: i64,
    pub dead_jobs: i64,
}

/// What there is, and what happened within a day.
pub(crate) async fn of_a_day(db: &mut PgConnection) -> Result<CountedToday, sqlx::Error> {
    sqlx::query_file_as!(CountedToday, "src/store/sql/statistics.sql")
        .fetch_one(db)
        .await
}
