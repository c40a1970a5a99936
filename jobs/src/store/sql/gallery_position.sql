with mine as (
    select id, row_number() over walk as place, count(*) over () as total,
           coalesce(lag(id) over walk,
                    last_value(id) over (walk rows between unbounded preceding and unbounded following)) as before,
           coalesce(lead(id) over walk, first_value(id) over walk) as after
      from avatars
     where user_id = $1 and deleted_at is null
    window walk as (order by is_main desc, created_at desc, id)
)
select id as "id!: AvatarId", place as "place!", total as "total!", before as "before!: AvatarId", after as "after!: AvatarId"
  from mine
 where case when $2::uuid is null then place = 1 else id = $2 end
