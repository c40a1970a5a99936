-- no-transaction
-- A training that is deleted must not be named by a delivery: the foreign key looks for it.
-- Safe with the previous binary: it does not use it. Locks: nobody waits; it is made beside all that goes on.
create index concurrently if not exists fal_deliveries_of_training on fal_deliveries (training_id) where training_id is not null;
