-- Parks what a worker does not know among the first $4 keyless jobs of a queue ($1). $2, $3: known kinds and their highest
-- payload versions. Answers how many, and which kinds.
with front as (
    select j.id, j.kind, j.version
      from jobs j
     where j.queue = $1 and j.state = 'ready' and j.fair_key is null and j.priority > -32768
     order by j.priority desc, j.run_at, j.id
     limit $4
), unknown as (
    select id, kind, version from front
     where not coalesce(version <= ($3::smallint[])[array_position($2::text[], kind)], false)
)
select queue_park(array (select id from unknown)) as "parked!",
       (select string_agg(distinct kind || ' v' || version, ', ') from unknown) as kinds
