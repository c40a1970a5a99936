-- Everything that is stored about the user $1, as one document. Tokens and texts for operators are not the user's.
with mine as (
    select to_jsonb(a) || jsonb_build_object(
               'photos', (select coalesce(jsonb_agg(to_jsonb(p) - 'avatar_id' order by p.position), '[]')
                            from avatar_photos p where p.avatar_id = a.id),
               'trainings', (select coalesce(jsonb_agg(to_jsonb(t) - 'failure_detail' - 'end_asked_by' order by t.created_at), '[]')
                               from trainings t where t.avatar_id = a.id)) as avatar, a.created_at
      from avatars a
     where a.user_id = $1
)
select jsonb_pretty(jsonb_build_object(
    'user', (select to_jsonb(u) from users u where u.id = $1),
    'avatars', (select coalesce(jsonb_agg(avatar order by created_at), '[]') from mine),
    'albums', (select coalesce(jsonb_agg(to_jsonb(b) order by b.created_at), '[]') from albums b where b.user_id = $1),
    'generations', (select coalesce(jsonb_agg(to_jsonb(g) - 'failure_detail' - 'end_asked_by' order by g.created_at), '[]')
                      from generations g where g.user_id = $1),
    'pictures', (select coalesce(jsonb_agg(to_jsonb(c) order by c.created_at), '[]') from pictures c where c.user_id = $1),
    'messages', (select coalesce(jsonb_agg(jsonb_build_object('at', n.created_at, 'kind', n.kind, 'message', n.message) order by n.seq), '[]')
                   from notifications n where n.user_id = $1),
    'updates', (select coalesce(jsonb_agg(t.body order by t.update_id), '[]')
                  from telegram_updates t join users u on u.telegram_id = t.chat_id where u.id = $1),
    'uses', (select coalesce(jsonb_agg(jsonb_build_object('what', q.what, 'at', q.at) order by q.at), '[]')
               from quota_uses q where q.user_id = $1)
)) as "data!"
