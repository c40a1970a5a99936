-- FAL repeats a webhook for two hours, and one about pictures may be late. After a deletion it is about a request that no row
-- names any more: it was stored again, with the addresses of the pictures, and became a dead letter ten minutes later. Hashes
-- of the request's id and of the token in the webhook's URL tell such deliveries from those that overtake their submit, and say
-- nothing else. They are kept for a week, longer than FAL repeats itself.
-- Safe with the previous binary: it neither reads nor writes it, and does as before. Locks: none (a new table).

create table erased_requests (
    sha256    text        primary key check (sha256 ~ '^[0-9a-f]{64}$'),
    erased_at timestamptz not null default now()
);
comment on column erased_requests.sha256 is 'Of fal_deliveries.request_id or fal_deliveries.token, in hex.';
create index erased_requests_by_age on erased_requests (erased_at);
