-- Running jobs whose worker went silent. Locked against everybody, and skipped where a fenced transaction is still
-- open: its owner is alive after all, or its connection is about to be closed.
-- One at a time, by rising id from $3 on. $1, $2: known kinds and their max_attempts; an unknown kind is put back, whoever claims it next knows its limit.
-- A job that was claimed ahead was perhaps never started, whatever its attempt: it is not exhausted.
select id, claim_id as "claim_id!", attempt, prefetched,
       coalesce(not prefetched and attempt >= ($2::integer[])[array_position($1::text[], kind)], false) as "exhausted!",
       cancel_requested, kind, queue
  from jobs
 where state = 'running' and lease_until < now() and id > $3
 order by id
 limit 1
   for update skip locked
