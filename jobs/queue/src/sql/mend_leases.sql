-- No lease is longer than two of ours ($1 seconds). One that is was made when the clock ran ahead, or by a worker with
-- longer ones: that one renews it with its next heartbeat.
update jobs set lease_until = now() + make_interval(secs => 2 * $1::float8)
 where id = any (array (select id from jobs
                         where state = 'running' and lease_until > now() + make_interval(secs => 2 * $1::float8)
                           for no key update skip locked))
