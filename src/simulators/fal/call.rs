//! One HTTP call, read whole, and the shapes of answers.

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{ConnectInfo, Request};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::listener::Switch;
use super::origin::{Origin, Service, locate};
use super::simulation::Simulation;

/// An answer that ends the handling of a call early. Boxed: most calls go well.
pub(super) struct Refused(pub Box<Response>);

impl From<Response> for Refused {
    fn from(answer: Response) -> Self {
        Self(Box::new(answer))
    }
}

pub(super) type Answer = Result<Response, Refused>;

/// Largest body of a call, uploads included.
const LARGEST_BODY: usize = 1 << 30;

pub(super) struct Call {
    pub service: Service,
    pub method: Method,
    /// Path without the service's prefix and without a leading slash.
    pub path: String,
    pub query: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub origin: Origin,
    pub switch: Switch,
}

impl Call {
    /// Reads the call. Answers with an error if no service has this path, or if the body is too long.
    pub(super) async fn read(sim: &Simulation, request: Request) -> Result<Self, Refused> {
        let (parts, body) = request.into_parts();
        let switch = parts
            .extensions
            .get::<ConnectInfo<Switch>>()
            .map(|info| info.0.clone())
            .unwrap_or_default();
        let mut path = parts.uri.path().to_owned();
        let mut query = parts.uri.query().unwrap_or_default().to_owned();
        let nowhere = || {
            detail(
                StatusCode::NOT_FOUND,
                "No service here: /queue /run /rest /cdn /api /proxy /__sim",
            )
        };

        let public_base = sim.config.public_base.as_deref();
        let (mut service, rest, origin) = locate(&parts.headers, &path, public_base).ok_or_else(nowhere)?;
        path = rest.to_owned();
        if service == Service::Proxy {
            let target = proxied(&parts.headers).ok_or_else(|| {
                refusal(
                    StatusCode::BAD_REQUEST,
                    "x-fal-target-url must name a service of fal.run or fal.ai",
                )
            })?;
            service = target.0;
            target.1.path().trim_start_matches('/').clone_into(&mut path);
            target.1.query().unwrap_or_default().clone_into(&mut query);
        }
        let body = to_bytes(body, LARGEST_BODY).await.map_err(|error| {
            detail(
                StatusCode::PAYLOAD_TOO_LARGE,
                &format!("cannot read the body: {error}"),
            )
        })?;
        Ok(Self {
            service,
            method: parts.method,
            path,
            query,
            headers: parts.headers,
            body,
            origin,
            switch,
        })
    }

    pub(super) fn segments(&self) -> Vec<&str> {
        self.path
            .split('/')
            .filter(|segment| !segment.is_empty())
            .collect()
    }

    /// Path and query, against which faults are matched.
    pub(super) fn target(&self) -> String {
        if self.query.is_empty() {
            self.path.clone()
        } else {
            format!("{}?{}", self.path, self.query)
        }
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// All values of a query parameter, decoded, in order.
    pub(super) fn params(&self, name: &str) -> Vec<String> {
        url::form_urlencoded::parse(self.query.as_bytes())
            .filter(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
            .collect()
    }

    pub(super) fn param(&self, name: &str) -> Option<String> {
        self.params(name).into_iter().next()
    }

    pub(super) fn json(&self) -> Result<Value, Refused> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let body =
                json!({ "detail": format!("the body is no JSON: {error}"), "error_type": "bad_request" });
            (StatusCode::BAD_REQUEST, axum::Json(body)).into_response().into()
        })
    }

    /// Answers 403 while the account is locked. FAL then refuses all that costs or stores something, but
    /// still lets read.
    pub(super) fn unlocked(sim: &Simulation) -> Result<(), Refused> {
        match sim.settings().locked {
            None => Ok(()),
            Some(reason) => {
                let text = format!(
                    "User is locked. Reason: {reason}. Top up your balance at fal.ai/dashboard/billing."
                );
                Err(refusal(StatusCode::FORBIDDEN, &text))
            }
        }
    }

    /// The fingerprint of the API key, or a 401 answer. Any `id:secret` is accepted, unless it was revoked.
    pub(super) fn authorize(&self, sim: &Simulation) -> Result<String, Refused> {
        let refuse = |text| Err(refusal(StatusCode::UNAUTHORIZED, text));
        let Some(header) = self.header(AUTHORIZATION.as_str()) else {
            return refuse("Authorization header is required");
        };
        let key = header.strip_prefix("Key ").and_then(|key| key.split_once(':'));
        let Some((id, secret)) = key.filter(|(id, secret)| !id.is_empty() && !secret.is_empty()) else {
            return refuse("Invalid Key Authorization header format. Expected '<key_id>:<key_secret>'.");
        };
        if sim.settings().revoked_key_ids.iter().any(|revoked| revoked == id) {
            return refuse("No user found for Key ID and Secret");
        }
        Ok(hex::encode(&Sha256::digest(format!("{id}:{secret}"))[..6]))
    }
}

/// The target of a proxied call of the JS client.
fn proxied(headers: &HeaderMap) -> Option<(Service, url::Url)> {
    let target = url::Url::parse(headers.get("x-fal-target-url")?.to_str().ok()?).ok()?;
    Some((Service::of_host(target.host_str()?)?, target))
}

pub(super) fn json_answer(status: StatusCode, body: &Value) -> Response {
    (status, axum::Json(body)).into_response()
}

/// An error of the platform, in FAL's shape.
pub(super) fn detail(status: StatusCode, text: &str) -> Response {
    json_answer(status, &json!({ "detail": text }))
}

/// Like [`detail`], to end the handling of a call early.
pub(super) fn refusal(status: StatusCode, text: &str) -> Refused {
    detail(status, text).into()
}

/// The answer of a scripted fault: a string is sent as it is (HTML unless the headers say otherwise),
/// anything else as JSON.
pub(super) fn scripted_answer<'a>(
    status: u16,
    headers: impl IntoIterator<Item = (&'a String, &'a String)>,
    body: &Value,
) -> Response {
    let (bytes, content_type) = match body {
        Value::Null => (Bytes::new(), None),
        Value::String(text) => (Bytes::from(text.clone()), Some("text/html")),
        json => (Bytes::from(json.to_string()), Some("application/json")),
    };
    let mut builder = Response::builder().status(status);
    let mut typed = false;
    for (name, value) in headers {
        typed |= name.eq_ignore_ascii_case(CONTENT_TYPE.as_str());
        builder = builder.header(name, value);
    }
    if let Some(content_type) = content_type.filter(|_| !typed) {
        builder = builder.header(CONTENT_TYPE, content_type);
    }
    builder.body(Body::from(bytes)).unwrap_or_else(|error| {
        detail(
            StatusCode::INTERNAL_SERVER_ERROR,
            &format!("the scripted answer is no HTTP: {error}"),
        )
    })
}
