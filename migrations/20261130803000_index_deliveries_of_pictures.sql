-- no-transaction
-- The same for a request of pictures.
-- Safe with the previous binary: it does not use it. Locks: nobody waits; it is made beside all that goes on.
create index concurrently if not exists fal_deliveries_of_generation on fal_deliveries (generation_id) where generation_id is not null;
