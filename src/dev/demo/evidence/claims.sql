select jobs.kind, job_attempts.attempt, job_attempts.outcome::text, job_attempts.started_at, job_attempts.ended_at
  from job_attempts
  join jobs on jobs.id = job_attempts.job_id
 order by job_attempts.ended_at
