//! The accept loop of every listener: HTTP/1.1, with a deadline for each wait.
//!
//! `axum::serve` waits for a request's head for ever, has no largest number of connections, and at a stop
//! waits for every connected client: a thousand silent connections kept FAL and the probes out
//! (tokio-rs/axum#2741), and one of them delayed a stop by the whole grace. Here a head, an idle connection
//! and a stop each have a deadline; the routes' own timeout bounds bodies.
//!
//! Read next: [`super::connections`].

use std::{convert::Infallible, io, pin::pin, time::Duration};

use axum::{Router, extract::Request, response::Response};
use hyper::{body::Incoming, server::conn::http1, service::Service};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use metrics::counter;
use tokio::{
    net::{TcpListener, TcpStream},
    time::{Instant, sleep_until, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::debug;

use super::connections::{Admitted, Connections};

/// The largest head of a request, and the most that is read of a body at once. Nginx allows as much for a
/// head.
const BUFFER_BYTES: usize = 32 << 10;
/// How long a request may go on sending after the stop. A client that is cut off sends again, to another
/// process.
const LAST_BODY: Duration = Duration::from_secs(1);
/// Pause after a failed `accept`, in which the connection that makes room is closed.
const BREATH: Duration = Duration::from_millis(20);

/// Serves until `stop`, then until each request that has begun is answered.
pub async fn serve(listener: TcpListener, router: Router, connections: Connections, stop: CancellationToken) {
    let conversations = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, _)) => {
                // Otherwise the stream is dropped, which closes it.
                if let Some(admitted) = connections.admit() {
                    let conversation = converse(
                        stream,
                        router.clone(),
                        admitted,
                        connections.clone(),
                        stop.clone(),
                    );
                    conversations.spawn(conversation);
                }
            }
            Err(error) if is_the_callers(&error) => {}
            Err(error) => {
                connections.accept_failed(&error);
                tokio::time::sleep(BREATH).await;
            }
        }
    }
    drop(listener);
    conversations.close();
    conversations.wait().await;
}

/// Whether the caller disconnected before we accepted, which is no problem of ours.
fn is_the_callers(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}

/// Serves one connection until it ends.
async fn converse(
    stream: TcpStream,
    router: Router,
    admitted: Admitted,
    connections: Connections,
    stop: CancellationToken,
) {
    // An answer is one small packet, which should not wait for more.
    if let Err(error) = stream.set_nodelay(true) {
        debug!("Nagle's algorithm cannot be switched off on a connection: {error}");
    }
    let connection = &admitted.connection;
    let answering = TowerToHyperService::new(router);
    let service = hyper::service::service_fn(|mut request: Request<Incoming>| {
        connection.request_began();
        request.extensions_mut().insert(connection.clone());
        let answer = answering.call(request);
        async move {
            let answer: Result<Response, Infallible> = answer.await;
            connection.request_ended();
            answer
        }
    });
    let mut http = http1::Builder::new();
    http.max_buf_size(BUFFER_BYTES);
    let mut conversation = pin!(http.serve_connection(TokioIo::new(stream), service));
    let mut cut_off = None;
    loop {
        let deadline = connection.deadline(connections.limits()).map(Instant::from_std);
        // During a request only its own limits apply, so there is no deadline; but the answer may change that
        // at any moment.
        let look_again = cut_off.or(deadline).unwrap_or_else(|| Instant::now() + LAST_BODY);
        tokio::select! {
            ended = &mut conversation => return said(ended),
            () = connection.evicted() => {
                conversation.as_mut().graceful_shutdown();
                if !connection.is_arriving() && !connection.is_sending() {
                    // Its last answer may still be on the way.
                    let _ = timeout(BREATH, conversation).await;
                }
                return;
            }
            () = stop.cancelled(), if cut_off.is_none() => {
                if connection.is_arriving() {
                    return;
                }
                cut_off = Some(Instant::now() + LAST_BODY);
                conversation.as_mut().graceful_shutdown();
            }
            () = sleep_until(look_again) => {
                // A request that waits for our answer gets it, within the limits of its route.
                let is_late = if cut_off.is_some() {
                    !connection.is_answered()
                } else {
                    connection.deadline(connections.limits()).is_some_and(|deadline| deadline <= std::time::Instant::now())
                };
                if is_late {
                    counter!("aisha_connections_closed_total", "reason" => "timeout").increment(1);
                    return;
                }
                cut_off = cut_off.map(|_| Instant::now() + LAST_BODY);
            }
        }
    }
}

fn said(ended: Result<(), hyper::Error>) {
    if let Err(error) = ended {
        debug!("A connection ended badly: {error}");
    }
}
