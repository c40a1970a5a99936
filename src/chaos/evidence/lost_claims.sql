-- Each claim whose worker went silent: when the job was taken back, and when it was claimed again.
select l.worker, l.ended_at as rescued_at,
       (select min(c.at) from chaos.reclaims c where c.job_id = l.job_id and c.at >= l.ended_at) as reclaimed_at
  from job_attempts l
 where l.outcome = 'lost'
