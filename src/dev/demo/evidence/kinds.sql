select jobs.kind,
       count(*) filter (where jobs.state = 'done') as done,
       count(*) filter (where jobs.state = 'dead') as dead,
       count(*) filter (where jobs.state in ('scheduled', 'ready', 'running')) as live,
       coalesce(sum(history.lost), 0)::bigint as lost,
       count(*) filter (where history.lost > 0 and history.done_later) as recovered
  from jobs
  left join lateral (
        select count(*) filter (where outcome = 'lost') as lost,
               -- A claim after the lost one that ended well.
               bool_or(outcome = 'done') as done_later
          from job_attempts
         where job_attempts.job_id = jobs.id
       ) history on true
 group by jobs.kind
 order by min(jobs.id)
