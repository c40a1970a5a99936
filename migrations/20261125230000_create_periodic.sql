-- How far each periodic entry (jobs/src/runtime/periodic.rs) has come: no leader, no scheduler process. Any worker
-- enqueues a tick in the transaction that moves last_tick to it, under the row's lock. So a tick makes its job
-- exactly once, however many workers run, and what was missed while none ran is known from the row.
-- Safe with the previous binary: it does not know the table. Locks: none (new table).

create table periodic (
    entry      text        primary key,
    last_tick  timestamptz not null,
    last_job   bigint,
    updated_at timestamptz not null default now()
);
comment on table  periodic            is 'One row a periodic entry that any worker ever knew. A row whose entry is gone from the code is left alone.';
comment on column periodic.entry      is 'Periodic::name: renaming it starts a new entry.';
comment on column periodic.last_tick  is 'Every tick up to it is enqueued or given up; later ones are not. Starts at the moment that the entry was first seen. Only grows.';
comment on column periodic.last_job   is 'The job that last_tick made. NULL before the first tick, and when a live job of the same key stood for it.';
comment on column periodic.updated_at is 'When last_tick was moved: their distance is how late the tick was.';
