-- $1: the call that FAL refused, $2: what it said, $3: seconds until somebody tries again.
insert into fal_account (parked_at, call, reason, probe_at, upload_probe_at)
values (
    now(), $1, $2,
    case when $1 in ('submit', 'upload') then now() + make_interval(secs => $3) else now() end,
    case $1 when 'submit' then null when 'upload' then now() + make_interval(secs => $3) else now() end
)
on conflict (only_row) do update
   set call            = case when $1 in ('submit', 'upload') then $1 else fal_account.call end,
       reason          = case when $1 in ('submit', 'upload') then $2 else fal_account.reason end,
       probe_at        = case when $1 = 'submit' then excluded.probe_at else fal_account.probe_at end,
       upload_probe_at = case when $1 = 'upload' then excluded.upload_probe_at else fal_account.upload_probe_at end
returning (xmax = 0) as "is_new!"
