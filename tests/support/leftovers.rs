//! Jobs that are live when a test ends: the product would still do something that the test has not looked at.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use jobs::job::Job;
use sqlx::{Connection as _, PgConnection};

use super::Db;
use super::db::wait_apart;

/// Live jobs, without those that are there wherever a test stops: the job that takes a training's next step; its poll,
/// which is enqueued by a submit and ends at its own next look; and what the clock of a real worker enqueues. A run of the
/// test's own worker that nobody ended is never left out.
const UNEXPLAINED: &str = "
    select jobs.kind || ' (' || jobs.state || ') ' || jobs.payload
      from jobs left join trainings on trainings.id::text = jobs.payload->>'training_id'
     where jobs.state in ('scheduled', 'ready', 'running') and jobs.kind <> all($1)
       and (jobs.state = 'running' and jobs.worker = 'test' or not coalesce(case jobs.kind
                when 'build_archive' then trainings.status = 'requested'
                when 'submit_training' then trainings.status = 'archived'
                when 'poll_status' then exists (select from training_attempts where training_id = trainings.id)
                when 'store_model' then trainings.status = 'trained' or trainings.late_model = 'kept'
                else exists (select from periodic where entry = jobs.kind)
            end, false))
     order by jobs.id";

/// The kinds of which a test says that it leaves some.
#[derive(Default)]
pub struct Leftovers(Mutex<BTreeSet<&'static str>>);

impl Leftovers {
    pub fn allow<J: Job>(&self) {
        self.kinds().insert(J::NAME);
    }

    /// What is live at the end and was not said to be, one line each. For destructors.
    pub fn unexplained(&self, db: &Db) -> Vec<String> {
        let kinds: Vec<&str> = self.kinds().iter().copied().collect();
        wait_apart(async {
            let mut connection = PgConnection::connect(db.url()).await.expect("connect");
            let left = sqlx::query_scalar(UNEXPLAINED)
                .bind(kinds)
                .fetch_all(&mut connection);
            let left = left.await.expect("look for jobs");
            connection.close().await.expect("close");
            left
        })
    }

    fn kinds(&self) -> std::sync::MutexGuard<'_, BTreeSet<&'static str>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
