-- The other side took something from queue $1: if that was the probe, its silence is over. What was saved up before it is
-- not granted now. An answer to what was sent before the silence proves nothing.
update queue_buckets
   set full_at = '-infinity', quiet_until = now()
 where queue = $1 and key = '' and full_at = 'infinity' and (taken_at > held_at or quiet_until < now())
