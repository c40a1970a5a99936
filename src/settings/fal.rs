//! `[fal]`: which FAL, with which key, and how patiently.
//!
//! Test mode changes only where the URLs point by default. It refuses FAL's own hosts, so that the dummy key, or a
//! real one that lies about in the environment, never meets them: a demo can never start a paid training (K26).

use std::time::Duration;

use jobs::{domain::WebhookBase, fal::FileHosts};
use secrecy::SecretString;
use url::Url;

use super::{
    reader::Reader,
    risks::is_loopback,
    sections::{DAY, HOUR, MILLISECOND, MINUTE, SECOND},
};

/// How FAL's deliveries are verified: what the web role needs of `[fal]`.
#[derive(Debug, Clone)]
pub struct WebhookVerification {
    /// FAL's public keys.
    pub jwks_url: Url,
    /// Ours at FAL; a delivery for another is refused. `None`: any is taken.
    pub user_id: Option<String>,
    /// For fetching the keys.
    pub timeout: Duration,
}

impl WebhookVerification {
    pub(super) fn read(from: &mut Reader<'_>) -> Option<Self> {
        let hosts = FalHosts::read(from);
        let timeout = from.duration("fal.connect_timeout", 100 * MILLISECOND..=MINUTE);
        let user_id = from.optional_text("fal.webhook_user_id");
        if user_id.is_none() {
            refuse_open_door(from);
        }
        Some(Self {
            jwks_url: hosts?.jwks,
            user_id,
            timeout: timeout?,
        })
    }
}

/// `[fal]`, as the worker needs it.
#[derive(Debug, Clone)]
pub struct FalSettings {
    /// `FAL_KEY`, or a dummy in test mode.
    pub key: SecretString,
    /// Submit, status, result.
    pub queue_url: Url,
    /// Uploads.
    pub rest_url: Url,
    /// Files.
    pub cdn_url: Url,
    /// Hosts that may have files of FAL's.
    pub file_hosts: FileHosts,
    /// The platform API: the request list.
    pub api_url: Url,
    /// Where FAL is told to deliver. `None`: polling alone.
    pub webhook: Option<WebhookBase>,
    /// For connecting.
    pub connect_timeout: Duration,
    /// For an ordinary call.
    pub timeout: Duration,
    /// For the submit.
    pub submit_timeout: Duration,
    /// For an archive or a model.
    pub transfer_timeout: Duration,
    /// After which an unknown outcome is given up (K13).
    pub submit_decision_after: Duration,
    /// How FAL gets at the photos.
    pub archive_delivery: ArchiveDelivery,
    /// How long it can.
    pub archive_lifecycle: Duration,
    /// From submit to first status call.
    pub poll_first_after: Duration,
    /// Between status calls.
    pub poll_interval: Duration,
    /// What a webhook is still given when polling sees the end first.
    pub webhook_grace: Duration,
    /// Between looks into the request list.
    pub list_interval: Duration,
    /// Between tries whether a refused account is in order again.
    pub probe_interval: Duration,
    /// A submit that stayed unknown is posted again, once.
    pub resubmit_unknown: bool,
}

/// How an archive of photos reaches FAL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArchiveDelivery {
    /// Uploaded to FAL's storage.
    FalStorage,
    /// Fetched by FAL from our store.
    Presigned,
}

impl FalSettings {
    pub(super) fn read(from: &mut Reader<'_>) -> Option<Self> {
        let hosts = FalHosts::read(from);
        let file_hosts = from.parse("fal.file_hosts", "*.fal.media,storage.googleapis.com");
        let key = fal_key(from);
        let webhook_url = from.optional_url("fal.webhook_url", "https://aisha.example.org");
        let connect_timeout = from.duration("fal.connect_timeout", 100 * MILLISECOND..=MINUTE);
        let timeout = from.duration("fal.timeout", SECOND..=5 * MINUTE);
        let submit_timeout = from.duration("fal.submit_timeout", SECOND..=110 * SECOND);
        let transfer_timeout = from.duration("fal.transfer_timeout", SECOND..=HOUR);
        let submit_decision_after = from.duration("fal.submit_decision_after", SECOND..=7 * DAY);
        let archive_delivery = from.choice(
            "fal.archive_delivery",
            &[
                ("fal_storage", ArchiveDelivery::FalStorage),
                ("presigned", ArchiveDelivery::Presigned),
            ],
        );
        // Seven days are also the most that a presigned URL can last.
        let archive_lifecycle = from.duration("fal.archive_lifecycle", MINUTE..=7 * DAY);
        let poll_first_after = from.duration("fal.poll_first_after", 100 * MILLISECOND..=HOUR);
        let poll_interval = from.duration("fal.poll_interval", 100 * MILLISECOND..=10 * MINUTE);
        let webhook_grace = from.duration("fal.webhook_grace", Duration::ZERO..=HOUR);
        let list_interval = from.duration("fal.list_interval", 100 * MILLISECOND..=HOUR);
        let probe_interval = from.duration("fal.probe_interval", 100 * MILLISECOND..=HOUR);
        let resubmit_unknown = from.truth("fal.resubmit_unknown");
        let (hosts, webhook_url) = (hosts?, webhook_url?);
        refuse_unreachable_webhook(from, &hosts, webhook_url.as_ref());
        let webhook = webhook_url.and_then(|url| WebhookBase::from_setting(url.as_str()).ok().flatten());
        Some(Self {
            key: key?,
            queue_url: hosts.queue,
            rest_url: hosts.rest,
            cdn_url: hosts.cdn,
            file_hosts: file_hosts?,
            api_url: hosts.api,
            webhook,
            connect_timeout: connect_timeout?,
            timeout: timeout?,
            submit_timeout: submit_timeout?,
            transfer_timeout: transfer_timeout?,
            submit_decision_after: submit_decision_after?,
            archive_delivery: archive_delivery?,
            archive_lifecycle: archive_lifecycle?,
            poll_first_after: poll_first_after?,
            poll_interval: poll_interval?,
            webhook_grace: webhook_grace?,
            list_interval: list_interval?,
            probe_interval: probe_interval?,
            resubmit_unknown: resubmit_unknown?,
        })
    }
}

/// Any customer of FAL's can have a delivery sent to a URL that is known, with a genuine signature.
fn refuse_open_door(from: &mut Reader<'_>) {
    let is_open = from.optional_text("fal.webhook_url").is_some();
    if is_open && from.is_production() && from.truth("fal.test_mode") == Some(false) {
        from.refuse(
            "fal.webhook_user_id",
            "is missing, so any customer of FAL's could have deliveries sent to fal.webhook_url that are taken for ours.",
            "Set FAL_WEBHOOK_USER_ID: our user id at FAL, the X-Fal-Webhook-User-Id of our own deliveries.",
        );
    }
}

/// The dummy is only ever sent to a simulator: test mode refuses FAL's own hosts.
fn fal_key(from: &mut Reader<'_>) -> Option<SecretString> {
    const EXAMPLE: &str =
        "KEY_ID:KEY_SECRET (or set AVATAR_TEST_MODE=true to train at the simulator without a key)";
    let test_mode = from.truth("fal.test_mode")?;
    if test_mode && from.optional_text("fal.key").is_none() {
        return Some(SecretString::from("test:test"));
    }
    from.secret("fal.key", EXAMPLE, |key| match key.split_once(':') {
        Some((id, secret)) if !id.is_empty() && !secret.is_empty() => Ok(()),
        _ => Err("it is not of the form KEY_ID:KEY_SECRET"),
    })
}

/// FAL's four hosts and its key set.
struct FalHosts {
    queue: Url,
    rest: Url,
    cdn: Url,
    api: Url,
    jwks: Url,
}

impl FalHosts {
    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let test_mode = from.truth("fal.test_mode");
        let simulator = from.url("fal.simulator_url", "http://127.0.0.1:9700");
        let (test_mode, _) = (test_mode?, simulator?);
        let is_production = from.is_production();
        let mut host = |key: &str, example: &str| {
            let url = from.url(key, example)?;
            if is_fal(&url) && url.scheme() != "https" {
                from.refuse(
                    key,
                    format!("is {url}: FAL's key would go there in clear, and FAL only redirects."),
                    "Write https://.",
                );
            }
            let is_clear = url.scheme() == "http" && !is_loopback(&url) && !is_fal(&url);
            if is_clear && is_production && !test_mode {
                from.refuse(
                    key,
                    format!("is {url}: FAL's key, or what is believed of FAL, would go there in clear."),
                    "Write https://, or say by AISHA_ENV that this is no production.",
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
        };
        let queue = host("fal.queue_url", "https://queue.fal.run");
        let rest = host("fal.rest_url", "https://rest.fal.ai");
        let cdn = host("fal.cdn_url", "https://v3.fal.media");
        let api = host("fal.api_url", "https://api.fal.ai");
        let jwks = host("fal.jwks_url", "https://rest.fal.ai/.well-known/jwks.json");
        Some(Self {
            queue: queue?,
            rest: rest?,
            cdn: cdn?,
            api: api?,
            jwks: jwks?,
        })
    }
}

fn is_fal(url: &Url) -> bool {
    let ours = ["fal.run", "falrun.com", "fal.ai", "fal.media"];
    url.host_str().is_some_and(|host| {
        ours.iter()
            .any(|name| host == *name || host.ends_with(&format!(".{name}")))
    })
}

/// FAL drops deliveries to private addresses without a word; better to learn it now than from a silent webhook.
fn refuse_unreachable_webhook(from: &mut Reader<'_>, hosts: &FalHosts, webhook: Option<&Url>) {
    let Some(webhook) = webhook.filter(|_| is_fal(&hosts.queue)) else {
        return;
    };
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
            "Give the public https URL of `aisha web`, or leave it empty and let polling carry the trainings.",
        );
    }
}
