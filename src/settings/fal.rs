//! `[fal]`: FAL's addresses, our key, and the time limits of calls.
//!
//! Test mode changes only the default addresses. It refuses FAL's own hosts, so that the dummy key, or a real key
//! that happens to be in the environment, is never sent to them: a demo can never start a paid training (K26).

use std::time::Duration;

use jobs::{
    domain::WebhookBase,
    fal::{FalSettings, FalTimeouts, Multipart, VerifierSettings},
};
use secrecy::SecretString;
use url::Url;

use super::{
    layers::{Layers, Origin},
    reader::SettingsReader,
    risks::is_loopback,
    section::all,
    units::{HOUR, MILLISECOND, MINUTE, SECOND},
};

/// The path at which the simulator serves each of FAL's hosts.
const AT_SIMULATOR: [(&str, &str); 5] = [
    ("fal.queue_url", "/queue"),
    ("fal.rest_url", "/rest"),
    ("fal.cdn_url", "/cdn"),
    ("fal.api_url", "/api"),
    ("fal.jwks_url", "/rest/.well-known/jwks.json"),
];

/// In test mode, replaces the default addresses of FAL's hosts by the simulator's. It runs before anything is
/// read, so that every reader and listing has the values that apply.
pub(super) fn point_at_simulator(layers: &mut Layers) {
    let is_on = layers
        .get("fal.test_mode")
        .is_some_and(|value| ["true", "1"].contains(&value.text.as_str()));
    let simulator = layers.get("fal.simulator_url");
    let simulator = simulator.and_then(|value| value.text.parse::<Url>().ok());
    let Some(simulator) = simulator.filter(|_| is_on) else {
        return;
    };
    for (key, place) in AT_SIMULATOR {
        if let Some(value) = layers.values.get_mut(key)
            && value.origin == Origin::Default
            && let Ok(url) = simulator.join(place)
        {
            value.text = url.into();
            value.origin = Origin::TestMode;
        }
    }
}

/// Settings for verifying FAL's deliveries, which the web role needs.
pub(super) fn verifier(from: &mut SettingsReader<'_>) -> Option<VerifierSettings> {
    let hosts = Hosts::read(from);
    let user_id = from.optional::<String>(("fal.webhook_user_id", &["FAL_WEBHOOK_USER_ID"]), "github|1234");
    if user_id == Some(None) {
        refuse_open_door(from);
    }
    all!(VerifierSettings {
        jwks_url: hosts.map(|hosts| hosts.jwks),
        timeout: connect_timeout(from),
        user_id,
    })
}

/// Settings of FAL's client, which the worker needs.
pub(super) fn client(from: &mut SettingsReader<'_>) -> Option<FalSettings> {
    let hosts = Hosts::read(from);
    let file_hosts = from.parse("fal.file_hosts", "*.fal.media,storage.googleapis.com");
    let key = key(from);
    let timeouts = timeouts(from);
    let Hosts {
        queue,
        rest,
        cdn,
        api,
        jwks: _,
    } = hosts?;
    Some(FalSettings {
        queue_url: queue,
        rest_url: rest,
        cdn_url: cdn,
        file_hosts: file_hosts?,
        api_url: api,
        key: key?,
        timeouts: timeouts?,
        multipart: Multipart::default(),
    })
}

fn timeouts(from: &mut SettingsReader<'_>) -> Option<FalTimeouts> {
    let call = from.duration("fal.timeout", SECOND..=5 * MINUTE);
    all!(FalTimeouts {
        connect: connect_timeout(from),
        call,
        submit: from.duration("fal.submit_timeout", SECOND..=110 * SECOND),
        transfer: from.duration("fal.transfer_timeout", SECOND..=HOUR),
        stall: call,
    })
}

fn connect_timeout(from: &mut SettingsReader<'_>) -> Option<Duration> {
    from.duration("fal.connect_timeout", 100 * MILLISECOND..=MINUTE)
}

fn test_mode(from: &mut SettingsReader<'_>) -> Option<bool> {
    from.truth(("fal.test_mode", &["AVATAR_TEST_MODE"]))
}

/// Without it, any customer of FAL's who knows our URL could have a delivery sent there, with a genuine signature.
fn refuse_open_door(from: &mut SettingsReader<'_>) {
    if from.is_set("fal.webhook_url") && from.is_production() && test_mode(from) == Some(false) {
        from.refuse(
            "fal.webhook_user_id",
            "is missing, so any customer of FAL's could have deliveries sent to fal.webhook_url, and they would be accepted.",
            "Set FAL_WEBHOOK_USER_ID: our user id at FAL, the X-Fal-Webhook-User-Id of our own deliveries.",
        );
    }
}

/// The key. The dummy key is sent only to a simulator, since test mode refuses FAL's own hosts.
fn key(from: &mut SettingsReader<'_>) -> Option<SecretString> {
    const EXAMPLE: &str =
        "KEY_ID:KEY_SECRET (or set AVATAR_TEST_MODE=true to train at the simulator without a key)";
    let test_mode = test_mode(from)?;
    let key = from.when(!test_mode || from.is_set("fal.key"), |from| {
        from.secret(
            ("fal.key", &["FAL_KEY", "FAL_API_KEY"]),
            EXAMPLE,
            |key| match key.split_once(':') {
                Some((id, secret)) if !id.is_empty() && !secret.is_empty() => Ok(()),
                _ => Err("it is not of the form KEY_ID:KEY_SECRET"),
            },
        )
    })?;
    Some(key.unwrap_or_else(|| SecretString::from("test:test")))
}

/// The addresses of FAL's four hosts and of its key set.
struct Hosts {
    queue: Url,
    rest: Url,
    cdn: Url,
    api: Url,
    jwks: Url,
}

impl Hosts {
    fn read(from: &mut SettingsReader<'_>) -> Option<Self> {
        let test_mode = test_mode(from);
        let simulator = from.url("fal.simulator_url", "http://127.0.0.1:9700");
        let (test_mode, _) = (test_mode?, simulator?);
        all!(Self {
            queue: host(
                from,
                test_mode,
                ("fal.queue_url", &["FAL_QUEUE_URL"]),
                "https://queue.fal.run"
            ),
            rest: host(
                from,
                test_mode,
                ("fal.rest_url", &["FAL_REST_URL"]),
                "https://rest.fal.ai"
            ),
            cdn: host(
                from,
                test_mode,
                ("fal.cdn_url", &["FAL_CDN_URL"]),
                "https://v3.fal.media"
            ),
            api: host(
                from,
                test_mode,
                ("fal.api_url", &["FAL_API_URL"]),
                "https://api.fal.ai"
            ),
            jwks: host(
                from,
                test_mode,
                ("fal.jwks_url", &["FAL_JWKS_URL"]),
                "https://rest.fal.ai/.well-known/jwks.json",
            ),
        })
    }
}

fn host(
    from: &mut SettingsReader<'_>,
    test_mode: bool,
    key: (&str, &'static [&'static str; 1]),
    example: &str,
) -> Option<Url> {
    let url = from.url(key, example)?;
    let (key, _) = key;
    if is_fal(&url) && url.scheme() != "https" {
        from.refuse(
            key,
            format!("is {url}: FAL's key would go there unencrypted, and FAL only redirects."),
            "Write https://.",
        );
    }
    let is_clear = url.scheme() == "http" && !is_loopback(&url) && !is_fal(&url);
    if is_clear && from.is_production() && !test_mode {
        from.refuse(
            key,
            format!("is {url}: FAL's key, or answers that we trust, would go there unencrypted."),
            "Write https://, or set AISHA_ENV if this is not production.",
        );
    }
    if test_mode && is_fal(&url) {
        from.refuse(
            key,
            format!("is {url}, FAL itself, while fal.test_mode is on."),
            "Turn AVATAR_TEST_MODE off to train at FAL for money, or point the key at the simulator.",
        );
    }
    Some(url)
}

fn is_fal(url: &Url) -> bool {
    let ours = ["fal.run", "falrun.com", "fal.ai", "fal.media"];
    url.host_str().is_some_and(|host| {
        ours.iter()
            .any(|name| host == *name || host.ends_with(&format!(".{name}")))
    })
}

/// The URL that FAL delivers to. `Some(None)`: FAL does not deliver, and polling alone finishes trainings.
#[expect(
    clippy::option_option,
    reason = "the outer one means refused, as in every reader"
)]
pub(super) fn webhook(from: &mut SettingsReader<'_>) -> Option<Option<WebhookBase>> {
    let hosts = Hosts::read(from);
    let webhook = from.optional_url(
        ("fal.webhook_url", &["FAL_WEBHOOK_URL"]),
        "https://aisha.example.org",
    )?;
    if let (Some(hosts), Some(webhook)) = (hosts, &webhook) {
        refuse_unreachable_webhook(from, &hosts, webhook);
    }
    Some(webhook.and_then(|url| WebhookBase::from_setting(url.as_str()).ok().flatten()))
}

/// FAL silently drops deliveries to private addresses; it is better to learn that at the start than from a
/// missing webhook.
fn refuse_unreachable_webhook(from: &mut SettingsReader<'_>, hosts: &Hosts, webhook: &Url) {
    if !is_fal(&hosts.queue) {
        return;
    }
    let private = match webhook.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(ip)) => {
            ip.is_loopback() || ip.is_private() || ip.is_link_local() || ip.is_unspecified()
        }
        Some(url::Host::Ipv6(ip)) => ip.is_loopback() || ip.is_unspecified(),
        None => true,
    };
    if private {
        from.refuse(
            "fal.webhook_url",
            format!("is {webhook}, which FAL cannot reach."),
            "Give the public https URL of `aisha web`, or leave it empty, and polling alone finishes trainings.",
        );
    }
}
