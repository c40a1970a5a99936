-- Claims from a governed queue; see queue_claim_step() in migrations/*_bound_governed_claims.sql, which says what and why.
-- $1: queue. $2: fencing token of the claims. $3: worker. $4: lease in seconds. $5, $6: known kinds and their highest
-- payload versions. $7: free slots. $8: a job of this worker ended since the last claim. $9, $10: the queue's rate a
-- second and its burst, $11, $12: a key's; NULL: none. $13: how far it may walk. $14-$16: where the walk is; NULL: begin.
-- Claims of the queue wait for each other as long as they must; behind a pooler the acks before it, in the same
-- transaction, had a limit.
select claimed as "claimed!", paused as "paused!", next_in, walk_at, walk_mark, walk_wrapped
  from queue_claim_step(case when set_config('lock_timeout', '0', true) is not null then $1 end, $2, $3, $4, $5, $6, $7, $8,
                        $9, $10, $11, $12, $13, $14, $15, $16)
