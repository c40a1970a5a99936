-- Of these jobs ($1), those whose training has ended and awaits nothing more from FAL. Such a job, run again, finds nothing to
-- do. An ended training whose model may still come (`late_model`) has jobs with something to do. A dead letter's payload may
-- be anything: what is no id names nothing.
select j.id as "job!", t.id as "training!: TrainingId", t.status as "status!: TrainingStatus"
  from jobs j
  left join fal_deliveries d
         on d.id = case when j.payload ->> 'delivery_id' ~ '^[0-9]{1,18}$' then (j.payload ->> 'delivery_id')::bigint end
  join trainings t
    on t.id = case when j.payload ->> 'training_id' ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
                   then (j.payload ->> 'training_id')::uuid else d.training_id end
 where j.id = any ($1)
   and t.status in ('completed', 'failed', 'cancelled') and coalesce(t.late_model = 'settled', true)
