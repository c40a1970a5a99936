//! Decides which URLs may receive the key.
//!
//! FAL asks its clients to store and use the URLs in the submit's answer. They are kept if they lie under the
//! configured queue URL; otherwise they are built from the request's owner, app and id, as both official clients do.

use url::Url;

use super::{Error, FalClient, Result};
use crate::domain::FalRequest as Request;

const REQUESTS: &str = "requests";
/// Longest URL that is kept. FAL's have about a hundred characters.
const LONGEST: usize = 2000;

impl FalClient {
    /// The URLs of a request of which only the id is known, adopted from a delivery or from the list.
    pub fn request_urls(&self, endpoint: &str, request_id: &str) -> Request {
        let url = |tail: Option<&str>| {
            let app = app_of(endpoint).chain([REQUESTS, request_id]).chain(tail);
            under(&self.queue_url, app).into()
        };
        Request {
            request_id: request_id.to_owned(),
            status_url: url(Some("status")),
            response_url: url(None),
            cancel_url: url(Some("cancel")),
        }
    }

    /// Replaces each URL that lies elsewhere, or belongs to another request, by one that we build.
    pub(super) fn vetted(&self, endpoint: &str, given: &Request) -> Request {
        let built = self.request_urls(endpoint, &given.request_id);
        let choose = |url: &str, built: String| {
            let is_ours =
                is_under(&self.queue_url, url) && url.len() <= LONGEST && is_about(url, &given.request_id);
            // The parsed form of the URL, in which invalid characters are escaped.
            let read = Url::parse(url).ok().filter(|_| is_ours);
            read.map_or(built, String::from)
        };
        Request {
            request_id: given.request_id.clone(),
            status_url: choose(&given.status_url, built.status_url),
            response_url: choose(&given.response_url, built.response_url),
            cancel_url: choose(&given.cancel_url, built.cancel_url),
        }
    }

    /// A stored URL, checked again, since the configuration may have changed. The URL of another host is moved to the
    /// configured queue, where the key belongs.
    pub(super) fn on_our_queue(&self, stored: &str) -> Result<Url> {
        let foreign = || Error::ForeignUrl(stored.chars().take(200).collect());
        let url = Url::parse(stored).map_err(|_| foreign())?;
        if is_under(&self.queue_url, stored) {
            return Ok(url);
        }
        let path: Vec<_> = url.path_segments().ok_or_else(foreign)?.collect();
        let at = path
            .iter()
            .position(|segment| *segment == REQUESTS)
            .filter(|at| *at >= 2)
            .ok_or_else(foreign)?;
        let owner = if at >= 3 && is_three_segmented(path[at - 3]) {
            at - 3
        } else {
            at - 2
        };
        Ok(under(&self.queue_url, path[owner..].iter().copied()))
    }

    pub(super) fn at(base: &Url, path: &str) -> Url {
        under(base, path.split('/'))
    }
}

/// All calls after the submit name only `owner/app`, not the rest of the
/// endpoint; in two namespaces, one segment more.
fn app_of(endpoint: &str) -> impl Iterator<Item = &str> {
    let segments = if endpoint.split('/').next().is_some_and(is_three_segmented) {
        3
    } else {
        2
    };
    endpoint.split('/').take(segments)
}

fn is_three_segmented(namespace: &str) -> bool {
    matches!(namespace, "workflows" | "comfy")
}

/// `base` with more segments, each escaped, so that an id cannot leave its place.
fn under<'a>(base: &Url, path: impl Iterator<Item = &'a str>) -> Url {
    let mut url = base.clone();
    url.set_query(None);
    url.set_fragment(None);
    // Only URLs like `data:` have no path; the settings accept http(s) only.
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(path);
    }
    url
}

/// Guards against the URL of another request, which would make us take that request's model for this one's.
fn is_about(url: &str, request_id: &str) -> bool {
    Url::parse(url).is_ok_and(|url| {
        url.path_segments()
            .is_some_and(|mut segments| segments.any(|segment| segment == request_id))
    })
}

/// Same scheme, host and port, and the base's path is a prefix in whole segments.
fn is_under(base: &Url, url: &str) -> bool {
    let Ok(url) = Url::parse(url) else { return false };
    let clean = url.username().is_empty() && url.password().is_none();
    let prefix = base.path().trim_end_matches('/');
    let below = url
        .path()
        .strip_prefix(prefix)
        .is_some_and(|rest| rest.starts_with('/'));
    clean && url.origin() == base.origin() && below
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::tests::client, *};

    #[test]
    fn a_request_is_asked_about_by_owner_and_app_alone() {
        let fal = client("https://queue.fal.run");
        let request = fal.request_urls("fal-ai/flux-pro/v1.1-ultra-finetuned", "id-1");
        assert_eq!(
            request.response_url,
            "https://queue.fal.run/fal-ai/flux-pro/requests/id-1"
        );
        assert_eq!(
            request.status_url,
            "https://queue.fal.run/fal-ai/flux-pro/requests/id-1/status"
        );
        assert_eq!(
            request.cancel_url,
            "https://queue.fal.run/fal-ai/flux-pro/requests/id-1/cancel"
        );
        let workflow = fal.request_urls("workflows/me/mine", "id-1");
        assert_eq!(
            workflow.response_url,
            "https://queue.fal.run/workflows/me/mine/requests/id-1"
        );
    }

    #[test]
    fn an_id_cannot_climb_out_of_its_place() {
        let request = client("http://127.0.0.1:9700/queue").request_urls("fal-ai/flux-lora", "../../x?y#z");
        assert_eq!(
            request.response_url,
            "http://127.0.0.1:9700/queue/fal-ai/flux-lora/requests/..%2F..%2Fx%3Fy%23z"
        );
    }

    #[test]
    fn a_returned_url_is_kept_only_under_the_queue() {
        let fal = client("http://127.0.0.1:9700/queue");
        let given = Request {
            request_id: "id-1".into(),
            status_url: "http://127.0.0.1:9700/queue/fal-ai/x/requests/id-1/status/as-given".into(),
            response_url: "http://127.0.0.1:9700/cdn/fal-ai/x/requests/id-1".into(),
            cancel_url: "https://evil.test/queue/fal-ai/x/requests/id-1/cancel".into(),
        };
        let vetted = fal.vetted("fal-ai/x/y", &given);
        assert_eq!(vetted.status_url, given.status_url);
        assert_eq!(
            vetted.response_url,
            "http://127.0.0.1:9700/queue/fal-ai/x/requests/id-1"
        );
        assert_eq!(
            vetted.cancel_url,
            "http://127.0.0.1:9700/queue/fal-ai/x/requests/id-1/cancel"
        );
    }

    #[test]
    fn a_returned_url_of_another_request_or_without_end_is_built_anew() {
        let fal = client("http://127.0.0.1:9700/queue");
        let base = "http://127.0.0.1:9700/queue/fal-ai/x/requests";
        let given = Request {
            request_id: "id-1".into(),
            status_url: format!("{base}/id-2/status"),
            response_url: format!("{base}/id-1?{}", "x".repeat(3000)),
            cancel_url: format!("{base}/id-1/cancel?a=\0\u{7}b"),
        };
        let vetted = fal.vetted("fal-ai/x/y", &given);
        assert_eq!(vetted.status_url, format!("{base}/id-1/status"));
        assert_eq!(vetted.response_url, format!("{base}/id-1"));
        assert_eq!(vetted.cancel_url, format!("{base}/id-1/cancel?a=%00%07b"));
    }

    #[test]
    fn look_alikes_are_not_under_the_queue() {
        let base = Url::parse("https://queue.fal.run/").expect("a URL");
        assert!(is_under(&base, "https://queue.fal.run/a/b/requests/c"));
        for other in [
            "http://queue.fal.run/a",
            "https://queue.fal.run.evil.test/a",
            "https://queue.fal.run:444/a",
            "https://me:secret@queue.fal.run/a",
            "https://evil.test/https://queue.fal.run/a",
            "queue.fal.run/a",
            "",
        ] {
            assert!(!is_under(&base, other), "{other}");
        }
        let prefixed = Url::parse("http://sim.test/queue").expect("a URL");
        assert!(!is_under(&prefixed, "http://sim.test/queue-of-others/a"));
        assert!(!is_under(&prefixed, "http://sim.test/queue/../cdn/a"));
    }

    #[test]
    fn a_stored_url_of_another_host_is_moved_to_the_configured_queue() {
        let fal = client("https://queue.falrun.com");
        let moved = |stored: &str| {
            fal.on_our_queue(stored)
                .map(String::from)
                .map_err(|error| error.to_string())
        };
        assert_eq!(
            moved("https://queue.fal.run/fal-ai/flux-lora/requests/id-1/status"),
            Ok("https://queue.falrun.com/fal-ai/flux-lora/requests/id-1/status".into())
        );
        assert_eq!(
            moved("http://127.0.0.1:9700/queue/workflows/me/mine/requests/id-1"),
            Ok("https://queue.falrun.com/workflows/me/mine/requests/id-1".into())
        );
        assert!(moved("https://evil.test/secret").is_err());
        assert!(moved("no URL").is_err());
    }

    proptest! {
        #[test]
        fn no_stored_url_leads_the_key_away_from_the_queue(stored in ".{0,80}|https?://[a-z./@:?#]{1,40}/a/b/requests/.{0,20}") {
            let queue = Url::parse("https://queue.fal.run/base").expect("a URL");
            if let Ok(url) = client(queue.as_str()).on_our_queue(&stored) {
                prop_assert!(is_under(&queue, url.as_str()), "{}", url);
            }
        }
    }
}
