-- Dead letters by reason and kind, most first. Parameters as in list.sql: $1 queue, $2 kind, $3 error code, $4 age.
select error_code as "reason!", kind, count(*) as "jobs!", min(finished_at) as "oldest!", max(finished_at) as "newest!"
  from jobs
 where state = 'dead' and ($1::text is null or queue = $1) and ($2::text is null or kind = $2)
   and ($3::text is null or error_code = $3) and ($4::float8 is null or finished_at < now() - make_interval(secs => $4))
 group by error_code, kind
 order by count(*) desc, error_code, kind
