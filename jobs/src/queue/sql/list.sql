-- Jobs, newest first. $1: state, $2: kind, $4: id; NULL: any.
select id as "id: JobId", kind, version, queue, state as "state: JobState", attempt, snoozes, run_at, created_at,
       claimed_at, worker, finished_at, dedupe_key, superseded_by as "superseded_by: JobId", error_code, error
  from jobs
 where ($1::job_state is null or state = $1) and ($2::text is null or kind = $2) and ($4::bigint is null or id = $4)
 order by id desc
 limit $3
