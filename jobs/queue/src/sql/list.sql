-- Jobs, newest first. $1: state, $2: queue, $3: kind, $4: error code, $5: ended (or enqueued, if live) at least so many
-- seconds ago, $6: id, $7: only below this id; NULL: any. $8: at most so many.
select id as "id: JobId", kind, version, queue, state as "state: JobState", attempt, snoozes, run_at, created_at,
       claimed_at, worker, finished_at, dedupe_key, superseded_by as "superseded_by: JobId", error_code, error
  from jobs
 where ($1::job_state is null or state = $1) and ($2::text is null or queue = $2) and ($3::text is null or kind = $3)
   and ($4::text is null or error_code = $4)
   and ($5::float8 is null or coalesce(finished_at, created_at) < now() - make_interval(secs => $5))
   and ($6::bigint is null or id = $6) and ($7::bigint is null or id < $7)
 order by id desc
 limit $8
