-- no-transaction
-- The newest training of each avatar, which the gallery, /start and each tap of the pictures' dialogue read; the index of live ones
-- does not serve.
-- Safe with the previous binary: it does not use it. Locks: nobody waits; it is made beside all that goes on.
create index concurrently if not exists trainings_by_avatar on trainings (avatar_id, created_at desc);
