-- Queues that were told to be silent (429), or some of whose keys were: for how many seconds more all are, and how many keys.
select queue, coalesce(max(greatest(extract(epoch from quiet_until - now()), 0)) filter (where key = ''), 0)::float8 as "seconds!",
       count(*) filter (where key <> '') as "keys!"
  from queue_buckets
 where quiet_until > now()
 group by queue
