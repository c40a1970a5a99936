-- Whatever is counted from a moment keeps that moment, so that a database clock which ran ahead for a while is found out:
-- a mark made in the future is not believed (jobs/src/queue/clock.rs).
--
-- And a silence of a whole queue (429) ends with a probe: one start is let through, and what becomes of it decides. Such a
-- bucket is marked by full_at = 'infinity'.
--
-- Safe with the previous binary: it leaves the new columns alone, and what it puts off is believed. Locks: jobs and
-- queue_buckets, for an instant (no rewrite).

alter table jobs add column put_off_at timestamptz;
comment on column jobs.put_off_at is 'When a retry or a snooze last moved run_at. NULL: never.';

alter table queue_buckets add column taken_at timestamptz;
comment on column queue_buckets.taken_at is 'When a start was last granted. NULL: never.';
comment on column queue_buckets.full_at is 'When the bucket is full again if nothing more is taken. infinity: the queue was told to be silent, and is probed when the silence is over.';

-- As before; from a bucket that is probed, one start when its silence is over.
create or replace function queue_bucket_grants(full_at timestamptz, quiet_until timestamptz, moment timestamptz,
                                               per_second float8, burst integer, out starts integer, out next_in float8)
language sql stable as $$
    select case when owed > 0 then 0
                when full_at = 'infinity' then 1
                when per_second is null then 1000000
                else floor(-owed * per_second + 1e-6)::integer + 1 end,
           greatest(owed, 0)
      from (select case when per_second is null or moment < quiet_until or full_at = 'infinity'
                        then extract(epoch from greatest(quiet_until, to_timestamp(0)) - moment)
                        else extract(epoch from greatest(full_at, quiet_until + make_interval(secs => (burst - 1) / per_second),
                                                         moment) - moment) - (burst - 1) / per_second
                   end::float8 as owed) as bucket
$$;

-- As before; while a probe is out nothing else starts, for a minute at most: its worker may have died.
create or replace function queue_bucket_take(of_queue text, of_key text, n integer, moment timestamptz, per_second float8, burst integer)
returns void language sql as $$
    insert into queue_buckets as b (queue, key, full_at, taken_at)
    values (of_queue, of_key, moment + make_interval(secs => n / per_second), moment)
    on conflict (queue, key) do update
       set taken_at = moment,
           quiet_until = case when b.full_at = 'infinity' then moment + interval '1 min' else b.quiet_until end,
           full_at = greatest(b.full_at, b.quiet_until + make_interval(secs => (burst - 1) / per_second), moment)
                     + make_interval(secs => n / per_second)
$$;
