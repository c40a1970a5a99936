-- Makes due jobs ready and wakes their queues; at most $1 at a time.
with due as (
    select id from jobs where state = 'scheduled' and run_at <= now()
     order by run_at limit $1 for no key update skip locked
), promoted as (
    update jobs set state = 'ready' where id = any (array (select id from due)) returning queue
), woken as (
    select queue_wake(p.queue) from (select distinct queue from promoted) as p
)
select (select count(*) from promoted) as "promoted!", (select count(*) from woken) as "queues!",
       (select extract(epoch from min(run_at) - now())::float8 from jobs where state = 'scheduled' and run_at > now()) as next_in
