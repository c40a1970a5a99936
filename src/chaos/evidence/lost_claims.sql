-- Each claim whose worker went silent, with the job's next claim.
select l.worker,
       (select min(c.at) from chaos.reclaims c where c.job_id = l.job_id and c.at >= l.ended_at) as reclaimed_at
  from job_attempts l
 where l.outcome = 'lost'
