-- One id from a tap or a webhook through all the jobs that it causes (Q19).
-- Safe with the previous binary: it writes NULL and reads nothing of it. Locks: jobs, for an instant (no rewrite).

alter table jobs add column traceparent text;
comment on column jobs.traceparent is 'W3C trace context of what enqueued the job (jobs/src/trace.rs); its run continues it. NULL: nobody was traced. Of jobs that one job stands for, the first one''s.';
