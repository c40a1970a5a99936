//! Which of FAL's services a call is for, and how URLs in its answer must look so that the caller can reach
//! them.
//!
//! All services share one port; a path prefix names the service. A `Host` header that is one of FAL's own
//! names wins over the prefix, so that the same port works behind a TLS terminator or a hosts-file override.

use std::borrow::Cow;

use axum::http::HeaderMap;
use axum::http::header::HOST;
use serde::{Deserialize, Serialize};

/// FAL's services, and two of our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    Queue,
    /// The synchronous API.
    Run,
    /// Storage, tokens and the key set.
    Rest,
    Cdn,
    /// The platform API.
    Api,
    /// Calls of the JS client's `proxyUrl`, whose target is in a header.
    Proxy,
    /// Our own control API: ledger, faults, holds.
    Control,
}

impl Service {
    fn of_prefix(prefix: &str) -> Option<Self> {
        Some(match prefix {
            "queue" => Self::Queue,
            "run" => Self::Run,
            "rest" => Self::Rest,
            "cdn" => Self::Cdn,
            "api" => Self::Api,
            "proxy" => Self::Proxy,
            "__sim" => Self::Control,
            _ => return None,
        })
    }

    pub(super) fn of_host(host: &str) -> Option<Self> {
        Some(match host {
            "queue.fal.run" | "queue.falrun.com" => Self::Queue,
            "fal.run" | "falrun.com" => Self::Run,
            "rest.fal.ai" | "rest.alpha.fal.ai" => Self::Rest,
            "v3.fal.media" | "v3b.fal.media" | "fal.media" => Self::Cdn,
            "api.fal.ai" => Self::Api,
            _ => return None,
        })
    }

    fn prefix(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Run => "run",
            Self::Rest => "rest",
            Self::Cdn => "cdn",
            Self::Api => "api",
            Self::Proxy => "proxy",
            Self::Control => "__sim",
        }
    }

    fn host(self) -> Option<&'static str> {
        match self {
            Self::Queue => Some("queue.fal.run"),
            Self::Run => Some("fal.run"),
            Self::Rest => Some("rest.fal.ai"),
            Self::Cdn => Some("v3.fal.media"),
            Self::Api => Some("api.fal.ai"),
            Self::Proxy | Self::Control => None,
        }
    }
}

/// How the caller reaches the simulator.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Origin {
    /// Base URL without a trailing slash; services are path prefixes.
    Prefixed(String),
    /// Under FAL's own host names.
    Hosted {
        scheme: Cow<'static, str>,
        /// The port with its colon, or empty.
        port: String,
    },
}

impl Origin {
    /// URL of a path (without a leading slash) of a service.
    pub(super) fn url(&self, service: Service, path: &str) -> String {
        match (self, service.host()) {
            (Self::Hosted { scheme, port }, Some(host)) => format!("{scheme}://{host}{port}/{path}"),
            (Self::Hosted { scheme, port }, None) => format!("{scheme}://localhost{port}/{path}"),
            (Self::Prefixed(base), _) => format!("{base}/{}/{path}", service.prefix()),
        }
    }
}

/// Service, remaining path and origin of a call; `None` when neither host nor prefix names a service.
pub(super) fn locate<'a>(
    headers: &HeaderMap,
    path: &'a str,
    public_base: Option<&str>,
) -> Option<(Service, &'a str, Origin)> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let authority = headers
        .get(HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or("localhost");
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => (host, format!(":{port}")),
        _ => (authority, String::new()),
    };
    let forwarded = headers
        .get("x-forwarded-proto")
        .and_then(|proto| proto.to_str().ok());
    let configured = public_base.map(|base| Origin::Prefixed(base.trim_end_matches('/').to_owned()));

    let (prefix, rest) = path.split_once('/').unwrap_or((path, ""));
    // The control API stays reachable under any host name.
    if let Some(service) = Service::of_host(host).filter(|_| prefix != Service::Control.prefix()) {
        // FAL's host names without a port mean that a proxy in front of us terminates TLS.
        let https = forwarded.map_or(port.is_empty(), |proto| proto == "https");
        let hosted = Origin::Hosted {
            scheme: Cow::Borrowed(if https { "https" } else { "http" }),
            port,
        };
        return Some((service, path, configured.unwrap_or(hosted)));
    }
    let scheme = if forwarded == Some("https") {
        "https"
    } else {
        "http"
    };
    let prefixed = || Origin::Prefixed(format!("{scheme}://{authority}"));
    Some((
        Service::of_prefix(prefix)?,
        rest,
        configured.unwrap_or_else(prefixed),
    ))
}
