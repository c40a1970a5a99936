-- Whether to vacuum `jobs` now: autovacuum would if it looked (by the scale factor of the migration), $1 rows are dead
-- and nobody is at it. A role that may not is spared the server's warning.
select (s.n_dead_tup > greatest($1, 0.02 * c.reltuples)
        and pg_has_role(c.relowner, 'usage')
        and not exists (select from pg_stat_progress_vacuum v where v.relid = s.relid)) as "due!"
  from pg_stat_user_tables s
  join pg_class c on c.oid = s.relid
 where s.relid = 'jobs'::regclass
