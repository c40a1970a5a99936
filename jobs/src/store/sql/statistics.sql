with day as (
    select status from trainings where finished_at > now() - interval '1 day'
)
select (select count(*) from users) as "users!",
       (select count(*) from users where created_at > now() - interval '1 day') as "new_users!",
       (select count(*) from trainings where status not in ('completed', 'failed', 'cancelled')) as "live!",
       (select count(*) from day where status = 'completed') as "completed!",
       (select count(*) from day where status = 'failed') as "failed!",
       (select count(*) from day where status = 'cancelled') as "cancelled!",
       (select count(*) from pictures where created_at > now() - interval '1 day') as "pictures!",
       (select coalesce(extract(epoch from now() - min(run_at)), 0)::bigint
          from jobs where state = 'ready') as "oldest_job!",
       (select count(*) from jobs where state = 'dead') as "dead_jobs!"
