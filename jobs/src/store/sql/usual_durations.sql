-- The median duration of the last 20 completed trainings of trainer $1, for each of the presets $2 that has some.
select preset as "preset!",
       percentile_cont(0.5) within group (order by seconds) as "seconds!"
  from unnest($2::text[]) wanted (preset)
 cross join lateral (select extract(epoch from finished_at - created_at)::float8 as seconds
                       from trainings
                      where trainer = $1 and trainings.preset = wanted.preset and status = 'completed'
                      order by finished_at desc
                      limit 20) last
 group by preset
