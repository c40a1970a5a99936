-- Deletes dead letters ($1), with their attempts. Any that is retried meanwhile stays.
delete from jobs where id = any ($1) and state = 'dead'
