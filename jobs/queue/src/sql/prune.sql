-- Deletes ended jobs that are old enough, among the next $2 jobs after id $1; their attempts go with them.
-- $3, $4, $5: ages in seconds for done, cancelled and dead jobs.
--
-- A walk along the primary key, and no index on finished_at: that would cost every ack. Ids rise with created_at, and
-- no job ends before it is enqueued; so once a whole stretch is younger than the shortest age, so is all after it.
-- A dead letter that was retried is younger than its id (its attempts are older than it is), and so is what was enqueued
-- while the clock ran ahead: neither says anything about the jobs after it.
-- Live jobs are looked at and never locked; ended ones are of no interest to claims.
with stretch as (
    select id, state, created_at, finished_at from jobs where id > $1 order by id limit $2
), doomed as (
    delete from jobs
     where id = any (array (
            select id from stretch
             where state in ('done', 'cancelled', 'dead')
               and finished_at < now() - make_interval(secs => case state when 'done' then $3::float8 when 'cancelled' then $4::float8 else $5::float8 end)))
       and state in ('done', 'cancelled', 'dead')
    returning id
)
select (select count(*) from doomed) as "pruned!", max(id) as "last",
       coalesce(bool_or(created_at < now() - make_interval(secs => least($3::float8, $4::float8, $5::float8))
                        or created_at > now()
                        or exists (select from job_attempts a where a.job_id = stretch.id and a.ended_at < stretch.created_at)),
                false) as "go_on!"
  from stretch
