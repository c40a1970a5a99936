//! Receives the NOTIFYs that `queue_wake` sends, and checks that it still could.
//!
//! A LISTEN connection only waits, so its death goes unnoticed: a half-open TCP connection (a firewall forgot
//! it, a host vanished) stays silent for ever, just as a queue without jobs does; and a server that a failover
//! has left behind answers every ping and receives no job. So each beat asks on this connection whether its
//! server is there and can be written to. While no connection listens, no sleep is announced: enqueues pay for
//! no useless NOTIFY, and polling finds the jobs.
//!
//! # Must stay true
//! * a connection that went silent is replaced within two beats — `q25_a_listener_that_went_silent_is_replaced`
//! * `aisha_listening` is 1 while a connection listens, else 0

use std::{
    io, mem,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use sqlx::{
    Acquire as _, ConnectOptions as _,
    postgres::{PgListener, PgPoolOptions},
};
use tokio::time::{Instant, interval_at, sleep, timeout};
use tracing::{debug, info, warn};

use crate::{
    Engine,
    backoff::Backoff,
    claim::connection::timed_out,
    database::{can_write, words_of},
    outage::Outage,
};

/// The channel of `queue_wake`. The payload is the name of the queue.
const CHANNEL: &str = "aisha_jobs";

#[derive(Debug, thiserror::Error)]
enum Deaf {
    /// Its connection does not answer.
    #[error("its connection went silent")]
    Silent,
    /// Its connection leads to a server that a failover has left behind.
    #[error("its server can no longer be written to")]
    LeftBehind,
    #[error("its connection was lost")]
    Lost,
    #[error("{}", words_of(.0))]
    Database(#[from] sqlx::Error),
}

/// Wakes the queues' pumps, and reconnects for ever.
pub(crate) async fn listen_forever(engine: Arc<Engine>) {
    let mut backoff = Backoff::new();
    let mut outage = Outage::none();
    loop {
        match begin(&engine).await {
            Ok(mut listener) => {
                if let Some(lasted) = outage.over() {
                    info!("Listening for new jobs works again, after {lasted}");
                }
                set_listening(&engine, true);
                let began = Instant::now();
                let deaf = hear(&engine, &mut listener).await;
                set_listening(&engine, false);
                if let Some(so_far) = outage.failed() {
                    warn!("Listening for new jobs failed: {deaf}; polling until it works again{so_far}");
                }
                if matches!(deaf, Deaf::Silent) {
                    discard(&engine, listener).await;
                }
                if began.elapsed() > engine.timing.beat {
                    backoff.reset();
                }
            }
            Err(error) => {
                if let Some(so_far) = outage.failed() {
                    let error = words_of(&error);
                    warn!("Listening for new jobs does not begin: {error}; polling until it does{so_far}");
                }
            }
        }
        sleep(backoff.next()).await;
    }
}

async fn begin(engine: &Engine) -> Result<PgListener, sqlx::Error> {
    // A pool of its own that ends with the listener: a silent connection must not occupy a place in the engine's
    // pool.
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(engine.timing.lease)
        .connect_lazy_with(engine.database.options());
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.eager_reconnect(false);
    timeout(engine.timing.lease, listener.listen(CHANNEL))
        .await
        .map_err(|_| timed_out())??;
    Ok(listener)
}

/// Receives until the connection is lost, silent or useless. Returns why.
async fn hear(engine: &Engine, listener: &mut PgListener) -> Deaf {
    // Wakes all queues first: a NOTIFY may have been sent while nothing listened.
    for queue in engine.queues() {
        engine.signals(queue).look.notify_one();
    }
    let mut beats = interval_at(Instant::now() + engine.timing.beat, engine.timing.beat);
    loop {
        let step = tokio::select! {
            heard = listener.try_recv() => match heard {
                Ok(Some(notification)) => {
                    if let Some(queue) = engine.queue_named(notification.payload()) {
                        engine.signals(queue).look.notify_one();
                    }
                    Ok(())
                }
                Ok(None) => Err(Deaf::Lost),
                Err(error) => Err(error.into()),
            },
            _ = beats.tick() => check(listener, engine.timing.beat).await,
        };
        if let Err(deaf) = step {
            return deaf;
        }
    }
}

/// Notifications that arrive meanwhile wait in the listener's buffer.
async fn check(listener: &mut PgListener, limit: Duration) -> Result<(), Deaf> {
    match can_write(listener.acquire().await?, limit).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(Deaf::LeftBehind),
        Err(sqlx::Error::Io(error)) if error.kind() == io::ErrorKind::TimedOut => Err(Deaf::Silent),
        Err(error) => Err(error.into()),
    }
}

/// Ends a listener whose connection is silent. Dropped as it is, it would say goodbye to a server that does not
/// answer and wait for ever; so another connection takes the place of the silent one first.
async fn discard(engine: &Engine, mut listener: PgListener) {
    let mut backoff = Backoff::new();
    loop {
        let fresh = timeout(engine.timing.lease, engine.options.connect()).await;
        match fresh.map_err(|_| timed_out()).flatten() {
            Ok(fresh) => {
                // The listener has a connection, so this does not wait.
                if let Ok(silent) = listener.acquire().await {
                    drop(mem::replace(silent, fresh));
                }
                return;
            }
            Err(error) => {
                debug!("The database cannot be reached: {error}");
                sleep(backoff.next()).await;
            }
        }
    }
}

/// Sets the flag and the gauge. While nothing listens no queue counts as asleep;
/// rows in the table expire within a lease.
fn set_listening(engine: &Engine, listening: bool) {
    engine.listening.store(listening, Ordering::Release);
    if !listening {
        for queue in engine.queues() {
            engine.signals(queue).announced.store(false, Ordering::Release);
        }
    }
    metrics::gauge!("aisha_listening").set(f64::from(u8::from(listening)));
}
