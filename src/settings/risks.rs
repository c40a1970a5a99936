//! Settings that are allowed but dangerous in production: each start and `aisha config check` warn of them.
//!
//! Settings that nobody can want are refused where the key is read: an unprotected webhook (`fal.rs`), FAL's key in
//! clear (`fal.rs`), a webhook secret that can be guessed (`telegram.rs`), a password in a URL (`layers.rs`).

use url::{Host, Url};

use super::layers::Layers;

/// A warning for each, with the fix. There are none outside production.
pub(super) fn find(layers: &Layers) -> Vec<String> {
    if layers.environment_name != "production" {
        return Vec::new();
    }
    let text = |key: &str| layers.get(key).map(|value| value.text.as_str());
    let is_test = text("fal.test_mode").is_some_and(|text| matches!(text, "true" | "1"));
    let test_mode = is_test.then(|| {
        "fal.test_mode is on in production: nothing is trained, and deliveries signed by the keys at fal.simulator_url are accepted. \
         Unset AVATAR_TEST_MODE."
            .to_owned()
    });
    let is_open = !is_test && text("fal.webhook_user_id").is_none();
    let open_door = is_open.then(|| {
        "fal.webhook_user_id is not set: `aisha web` accepts deliveries that any customer of FAL's has sent to it. \
         Set FAL_WEBHOOK_USER_ID to the X-Fal-Webhook-User-Id of our own deliveries."
            .to_owned()
    });
    let in_clear = [
        ("s3.endpoint", "S3's signatures and all photos"),
        ("s3.public_endpoint", "all photos"),
        ("telegram.api_url", "the bot's token"),
    ];
    let in_clear = in_clear.into_iter().filter_map(|(key, what)| {
        let url = text(key)?.parse::<Url>().ok()?;
        let can_be_read = url.scheme() == "http" && !is_loopback(&url);
        can_be_read.then(|| {
            format!("{key} is plain http: {what} can be read in transit. Use https in {}, or use a private network.", layers.names_of(key))
        })
    });
    let database = text("database.url").filter(|url| may_be_in_clear(url)).map(|_| {
        "database.url does not demand TLS (sslmode), so the server, or an attacker in between, may leave the connection unencrypted. \
         Add sslmode=verify-full, or =require where its certificate cannot be checked."
            .to_owned()
    });
    test_mode
        .into_iter()
        .chain(open_door)
        .chain(in_clear)
        .chain(database)
        .collect()
}

/// Whether the URL's host is this machine.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn may_be_in_clear(url: &str) -> bool {
    let Ok(url) = url.parse::<Url>() else { return false };
    let find = |wanted: &str| {
        url.query_pairs()
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| value)
    };
    // A path is a Unix socket of this machine.
    let is_near = match find("host") {
        Some(host) => host.starts_with('/') || matches!(&*host, "localhost" | "127.0.0.1" | "::1"),
        // The URL parser does not know the scheme, so the host may be part of another field.
        None => url
            .host_str()
            .is_none_or(|host| matches!(host, "" | "localhost" | "127.0.0.1" | "[::1]")),
    };
    let mode = find("sslmode").or_else(|| find("ssl-mode"));
    let is_demanded = mode.is_some_and(|mode| matches!(&*mode, "require" | "verify-ca" | "verify-full"));
    !is_near && !is_demanded
}
