//! Every route of every service on one screen, and the only place where scripted faults strike HTTP calls.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::header::CONTENT_LENGTH;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use futures::StreamExt;
use futures::stream;

use super::call::{Call, detail, json_answer, scripted_answer};
use super::faults::{Effect, Operation, Strike, Target, When};
use super::holds::Release;
use super::ledger::Event;
use super::origin::Service;
use super::queue::{self, About};
use super::requests::Request;
use super::simulation::Simulation;
use super::{cdn, control, platform, storage};

/// A call that matches a known route.
enum Route<'a> {
    Submit { endpoint: String },
    Run { endpoint: String },
    About { about: About, app: String, id: &'a str },
    Initiate { multipart: bool },
    Token,
    Jwks,
    PutSigned { id: &'a str },
    PutSignedPart { id: &'a str, number: &'a str },
    CompleteSigned { id: &'a str },
    Upload,
    StartMultipart,
    PutPart { id: &'a str, number: &'a str },
    Complete { id: &'a str },
    Download,
    Meta,
    Models,
    Pricing,
    List { search: bool },
    Erase { id: &'a str },
}

fn route<'a>(service: Service, method: &Method, segments: &[&'a str]) -> Option<Route<'a>> {
    Some(match (service, method.as_str(), segments) {
        (Service::Queue, _, segments) => return queue_route(method, segments),
        (Service::Run, "POST", [_, _, ..]) => Route::Run {
            endpoint: segments.join("/"),
        },

        (Service::Rest, "POST", ["storage", "upload", "initiate"]) => Route::Initiate { multipart: false },
        (Service::Rest, "POST", ["storage", "upload", "initiate-multipart"]) => {
            Route::Initiate { multipart: true }
        }
        (Service::Rest, "POST", ["storage", "auth", "token"]) => Route::Token,
        (Service::Rest, "GET", [".well-known", "jwks.json"]) => Route::Jwks,

        (Service::Cdn, "PUT", ["signed", id]) => Route::PutSigned { id },
        (Service::Cdn, "PUT", ["signed", id, number]) => Route::PutSignedPart { id, number },
        (Service::Cdn, "POST", ["signed", id, "complete"]) => Route::CompleteSigned { id },
        (Service::Cdn, "POST", ["files", "upload"]) => Route::Upload,
        (Service::Cdn, "POST", ["files", "upload", "multipart"]) => Route::StartMultipart,
        (Service::Cdn, "PUT", ["files", .., "multipart", id, number]) => Route::PutPart { id, number },
        (Service::Cdn, "POST", ["files", .., "multipart", id, "complete"]) => Route::Complete { id },
        (Service::Cdn, "GET" | "HEAD", ["files", ..]) => Route::Download,

        (Service::Api, "GET", ["v1", "meta"]) => Route::Meta,
        (Service::Api, "GET", ["v1", "models"]) => Route::Models,
        (Service::Api, "GET", ["v1", "models", "pricing"]) => Route::Pricing,
        (Service::Api, "GET", ["v1", "models", "requests", "by-endpoint"]) => Route::List { search: false },
        (Service::Api, "GET", ["v1", "models", "requests", "search"]) => Route::List { search: true },
        (Service::Api, "DELETE", ["v1", "models", "requests", id, "payloads"]) => Route::Erase { id },
        _ => return None,
    })
}

/// `{endpoint}` submits; `{app}/requests/{id}[/…]` is everything else. `app` may be the full endpoint id.
fn queue_route<'a>(method: &Method, segments: &[&'a str]) -> Option<Route<'a>> {
    match segments.iter().position(|segment| *segment == "requests") {
        Some(at) if at >= 2 => {
            let (id, tail) = segments[at + 1..].split_first()?;
            Some(Route::About {
                about: About::of(method, tail)?,
                app: segments[..at].join("/"),
                id,
            })
        }
        _ if method == Method::POST && segments.len() >= 2 => Some(Route::Submit {
            endpoint: segments.join("/"),
        }),
        _ => None,
    }
}

impl Route<'_> {
    fn operation(&self) -> Operation {
        match self {
            Self::Submit { .. } => Operation::Submit,
            Self::Run { .. } => Operation::Run,
            Self::About {
                about: About::Status, ..
            } => Operation::Status,
            Self::About {
                about: About::Stream, ..
            } => Operation::Stream,
            Self::About {
                about: About::Result, ..
            } => Operation::Result,
            Self::About {
                about: About::Cancel, ..
            } => Operation::Cancel,
            Self::Initiate { .. } | Self::Token => Operation::Initiate,
            Self::PutSigned { .. }
            | Self::PutSignedPart { .. }
            | Self::CompleteSigned { .. }
            | Self::Upload
            | Self::StartMultipart
            | Self::PutPart { .. }
            | Self::Complete { .. } => Operation::Upload,
            Self::Download => Operation::Download,
            Self::Meta | Self::Models | Self::Pricing => Operation::Meta,
            Self::List { .. } => Operation::List,
            Self::Erase { .. } => Operation::Erase,
            Self::Jwks => Operation::Jwks,
        }
    }

    async fn act(&self, sim: &Arc<Simulation>, call: &Call) -> Response {
        // A submit checks the lock itself, since its refusal goes into the ledger.
        if matches!(self.operation(), Operation::Initiate | Operation::Upload)
            && let Err(refused) = Call::unlocked(sim)
        {
            return *refused.0;
        }
        let answer = match self {
            Self::Submit { endpoint } => queue::submit(sim, call, endpoint),
            Self::Run { endpoint } => queue::run(sim, call, endpoint).await,
            Self::About { about, app, id } => queue::about(sim, call, *about, app, id).await,
            Self::Initiate { multipart } => storage::initiate(sim, call, *multipart),
            Self::Token => storage::token(sim, call),
            Self::PutSigned { id } => storage::put_signed(sim, call, id),
            Self::PutSignedPart { id, number } => storage::put_signed_part(sim, call, id, number),
            Self::CompleteSigned { id } => storage::complete_signed(sim, call, id),
            Self::Upload => storage::upload(sim, call),
            Self::StartMultipart => storage::start_multipart(sim, call),
            Self::PutPart { id, number } => storage::put_part_by_token(sim, call, id, number),
            Self::Complete { id } => storage::complete_by_token(sim, call, id),
            Self::Download => Ok(cdn::download(sim, call)),
            Self::Meta => Ok(platform::meta()),
            Self::Models => platform::models(sim, call),
            Self::Pricing => platform::pricing(sim, call),
            Self::List { search } => platform::list(sim, call, *search),
            Self::Erase { id } => platform::erase(sim, call, id),
            Self::Jwks => {
                sim.ledger.record(Event::KeysFetched);
                Ok(json_answer(StatusCode::OK, &sim.keys.set()))
            }
        };
        answer.unwrap_or_else(|refused| *refused.0)
    }
}

/// The simulator as one axum router. It is a single fallback, since paths begin with endpoint ids of any
/// depth.
pub(super) fn router(sim: Arc<Simulation>) -> Router {
    Router::new().fallback(answer).with_state(sim)
}

async fn answer(State(sim): State<Arc<Simulation>>, request: axum::extract::Request) -> Response {
    let call = match Call::read(&sim, request).await {
        Ok(call) => call,
        Err(refused) => return *refused.0,
    };
    if call.service == Service::Control {
        return control::answer(&sim, &call).await;
    }
    let Some(route) = route(call.service, &call.method, &call.segments()) else {
        return detail(StatusCode::NOT_FOUND, "Not Found");
    };
    // A held answer must not delay the simulator's own stop.
    let answered = sim
        .stop
        .run_until_cancelled(answer_with_faults(&sim, &call, &route))
        .await;
    answered.unwrap_or_else(|| cut(&call))
}

async fn answer_with_faults(sim: &Arc<Simulation>, call: &Call, route: &Route<'_>) -> Response {
    let request = match route {
        Route::About { id, .. } => sim.requests.find(id),
        _ => None,
    };
    let endpoint = match route {
        Route::Submit { endpoint } | Route::Run { endpoint } => Some(endpoint.as_str()),
        _ => request.as_ref().map(|request| request.order.endpoint.id.as_str()),
    };
    let text = call.target();
    let target = Target {
        endpoint,
        request_id: request.as_ref().map(|it| it.order.id),
        text: &text,
    };
    let Some(strike) = sim.faults.strike(route.operation(), &target) else {
        return route.act(sim, call).await;
    };
    sim.ledger.record(Event::FaultStruck {
        fault: strike.id,
        operation: route.operation(),
        effect: strike.effect.name(),
    });
    let faulted = FaultedCall {
        sim,
        call,
        operation: route.operation(),
        endpoint,
    };
    match strike.when {
        When::After => {
            let response = route.act(sim, call).await;
            // A submit returns the request it has just accepted.
            let request = response
                .extensions()
                .get::<Arc<Request>>()
                .cloned()
                .or_else(|| request.clone());
            faulted
                .apply(strike, request.as_deref(), Some(response))
                .await
                .unwrap_or_else(|| cut(call))
        }
        When::Before => match faulted.apply(strike, request.as_deref(), None).await {
            Some(response) => response,
            None => route.act(sim, call).await,
        },
    }
}

fn cut(call: &Call) -> Response {
    call.switch.cut();
    Response::default()
}

/// The context in which a fault strikes one call.
struct FaultedCall<'a> {
    sim: &'a Simulation,
    call: &'a Call,
    operation: Operation,
    endpoint: Option<&'a str>,
}

impl FaultedCall<'_> {
    /// The answer that replaces `response`. Before the operation, `None` means: continue with the operation.
    async fn apply(
        &self,
        strike: Strike,
        request: Option<&Request>,
        response: Option<Response>,
    ) -> Option<Response> {
        match strike.effect {
            Effect::Hold { until_delivered } => {
                let endpoint = self.endpoint.map(str::to_owned);
                let held = self
                    .sim
                    .holds
                    .hold(self.operation, endpoint, request.map(|it| it.order.id));
                let released = match request.filter(|_| until_delivered) {
                    None => held.await,
                    Some(request) => tokio::select! {
                        released = held => released,
                        () = request.reach(|progress| progress.delivered) => Release::Answer,
                    },
                };
                if released == Release::Close {
                    Some(cut(self.call))
                } else {
                    response
                }
            }
            Effect::Delay { ms } => {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                response
            }
            Effect::Answer {
                status,
                headers,
                body,
            } => Some(scripted_answer(status, &headers, &body)),
            Effect::Truncate { bytes } => truncate(response?, bytes).await,
            // No other effect can strike an HTTP operation (`Effect::suits`).
            _ => Some(cut(self.call)),
        }
    }
}

/// Announces the whole length, sends the beginning, then breaks the connection.
async fn truncate(response: Response, bytes: usize) -> Option<Response> {
    let (mut parts, body) = response.into_parts();
    let whole = to_bytes(body, usize::MAX).await.ok()?;
    parts.headers.insert(CONTENT_LENGTH, whole.len().into());
    let start = whole.slice(..bytes.min(whole.len()));
    let beginning = stream::iter([Ok::<_, Infallible>(start)]).map(|chunk| chunk.map_err(io::Error::other));
    let end = stream::once(async {
        // Yield once, so that the beginning is on the wire before the connection breaks.
        tokio::task::yield_now().await;
        Err(io::Error::new(
            io::ErrorKind::ConnectionAborted,
            "cut by a scripted fault",
        ))
    });
    Some(Response::from_parts(
        parts,
        Body::from_stream(beginning.chain(end)),
    ))
}
