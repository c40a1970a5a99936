//! Decides which URLs that an answer names may be downloaded from or uploaded to.
//!
//! A result names the model's URL, and the start of an upload names the URL to which people's photos are sent. An
//! attacker who invents these must not make our workers call hosts inside our network, or send the photos elsewhere:
//!
//! * only https, and only the hosts in `fal.file_hosts`; a redirect is followed to such a host only
//!   — `a_file_of_another_host_is_neither_fetched_nor_filled`
//! * such a host must have public addresses; that is checked when the connection is made, so a name that resolves
//!   differently between check and use gains nothing — `a_name_of_fals_that_leads_inside_is_not_connected_to`
//! * the origins of `fal.cdn_url` and `fal.rest_url` are the operator's own choice: they may also be
//!   http and loopback, for a simulator.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
    sync::Arc,
};

use reqwest::{
    dns::{Addrs, Name, Resolve, Resolving},
    redirect,
};
use url::{Host, Origin, Url};

use super::{Call, Error, Result};

const REDIRECTS: usize = 5;

/// Names of hosts that have FAL's files: `v3.fal.media`, or `*.fal.media` for `fal.media` and every name below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileHosts(Vec<String>);

impl FileHosts {
    fn have(&self, name: &str) -> bool {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        self.0.iter().any(|pattern| match pattern.strip_prefix("*.") {
            Some(parent) => {
                name == *parent
                    || name
                        .strip_suffix(parent)
                        .is_some_and(|below| below.ends_with('.'))
            }
            None => name == *pattern,
        })
    }
}

/// A text that cannot be a pattern for hosts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no name of a host, such as v3.fal.media or *.fal.media")]
pub struct NotAHost(String);

impl FromStr for FileHosts {
    type Err = NotAHost;

    fn from_str(text: &str) -> Result<Self, NotAHost> {
        let patterns = text.split(',').map(str::trim).map(|pattern| {
            let name = pattern.strip_prefix("*.").unwrap_or(pattern);
            // A name of one part would be a whole top-level domain, or a machine of our own network.
            let is_name = matches!(Host::parse(name), Ok(Host::Domain(parsed)) if parsed == name.to_ascii_lowercase())
                && name.trim_matches('.').contains('.');
            let lower = pattern.to_ascii_lowercase();
            is_name.then_some(lower).ok_or_else(|| NotAHost(pattern.to_owned()))
        });
        patterns.collect::<Result<Vec<_>, _>>().map(Self)
    }
}

#[derive(Debug, Clone)]
pub(super) struct FileRule {
    hosts: FileHosts,
    /// The origins of the URLs that the operator has set.
    own: Vec<Origin>,
}

impl FileRule {
    pub(super) fn new(hosts: FileHosts, own: &[&Url]) -> Arc<Self> {
        Arc::new(Self {
            hosts,
            own: own.iter().map(|url| url.origin()).collect(),
        })
    }

    /// Parses a URL from an answer, if it may be called.
    pub(super) fn vetted(&self, call: Call, text: &str) -> Result<Url> {
        let url = Url::parse(text)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| Error::Garbled {
                call,
                why: "a URL is not http(s)".to_owned(),
            })?;
        if self.allows(&url) {
            Ok(url)
        } else {
            Err(foreign(call, Some(&url)))
        }
    }

    fn allows(&self, url: &Url) -> bool {
        let is_clean = url.username().is_empty() && url.password().is_none();
        let is_named = matches!(url.host(), Some(Host::Domain(name)) if self.hosts.have(name));
        let is_fals = is_named && url.scheme() == "https" && url.port().is_none();
        is_clean && (is_fals || self.own.contains(&url.origin()))
    }

    /// Follows a redirect only to a URL that the first request could have had; otherwise the redirect is the answer.
    pub(super) fn redirects(self: &Arc<Self>) -> redirect::Policy {
        let rule = Arc::clone(self);
        redirect::Policy::custom(move |attempt| {
            if !rule.allows(attempt.url()) {
                attempt.stop()
            } else if attempt.previous().len() > REDIRECTS {
                attempt.error("too many redirects")
            } else {
                attempt.follow()
            }
        })
    }
}

/// The error for operators, who may have to add the host to the setting.
pub(super) fn foreign(call: Call, url: Option<&Url>) -> Error {
    let origin = url.map_or_else(
        || "(nowhere)".to_owned(),
        |url| url.origin().ascii_serialization(),
    );
    Error::ForeignHost {
        call,
        origin: origin.chars().take(100).collect(),
    }
}

impl Resolve for FileRule {
    /// A name that the rule does not list is the operator's own, or that of a proxy.
    fn resolve(&self, name: Name) -> Resolving {
        let must_be_public = self.hosts.have(name.as_str());
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let usable: Vec<SocketAddr> = found
                .filter(|address| !must_be_public || is_public(address.ip()))
                .collect();
            if usable.is_empty() {
                let what = format!("{} has no public address", name.as_str());
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, what).into());
            }
            Ok(Box::new(usable.into_iter()) as Addrs)
        })
    }
}

/// Whether an address is a public one of the internet, not one of a machine, a private network or a cloud's inside.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let is_special = match address.octets() {
        // "This" network; carrier and protocol ranges; benchmarks; multicast, reserved and broadcast.
        [0 | 224.., ..] | [100, 64..=127, ..] | [192, 0, 0, _] | [198, 18 | 19, ..] => true,
        _ => false,
    };
    !(is_special
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation())
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let of_v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match address.segments() {
        // An IPv4 address inside an IPv6 one: mapped, translated (NAT64), 6to4.
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => of_v4(high, low),
        // Documentation.
        [0x2001, 0xdb8, ..] => false,
        // The only range that the internet assigns.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).expect("a URL")
    }

    fn hosts() -> FileHosts {
        "*.fal.media,*.fal.ai,*.fal.run,storage.googleapis.com"
            .parse()
            .expect("names of hosts")
    }

    fn rule() -> Arc<FileRule> {
        FileRule::new(
            hosts(),
            &[&url("http://127.0.0.1:9700/cdn"), &url("https://rest.fal.ai")],
        )
    }

    #[test]
    fn a_file_of_another_host_is_neither_fetched_nor_filled() {
        for fine in [
            "https://v3.fal.media/files/a/b.safetensors",
            "https://V3B.fal.media./files",
            "https://fal.media/files",
            "https://storage.googleapis.com/fal-flux-lora/a.safetensors?X-Goog-Signature=a",
            "http://127.0.0.1:9700/cdn/files/a",
        ] {
            assert!(rule().vetted(Call::Download, fine).is_ok(), "{fine}");
        }
        for foreign in [
            "http://v3.fal.media/files/a",
            "https://v3.fal.media:8443/files/a",
            "https://me:secret@v3.fal.media/files/a",
            "https://fal.media.evil.test/a",
            "https://evilfal.media/a",
            "https://storage.googleapis.com.evil.test/a",
            "http://127.0.0.1:9701/a",
            "http://127.0.0.1/a",
            "http://localhost:9700/a",
            "https://169.254.169.254/latest/meta-data",
            "https://[::1]/a",
            "https://[::ffff:127.0.0.1]/a",
            "https://2130706433/a",
            "https://0x7f.1/a",
        ] {
            assert!(
                matches!(
                    rule().vetted(Call::Download, foreign),
                    Err(Error::ForeignHost { .. })
                ),
                "{foreign}"
            );
        }
        for garbage in ["file:///etc/passwd", "data:text/plain,a", "", "v3.fal.media/a"] {
            assert!(
                matches!(rule().vetted(Call::Download, garbage), Err(Error::Garbled { .. })),
                "{garbage}"
            );
        }
    }

    #[test]
    fn only_addresses_of_the_internet_are_public() {
        for public in [
            "8.8.8.8",
            "100.128.0.1",
            "172.32.0.1",
            "2606:4700::1111",
            "64:ff9b::808:808",
        ] {
            assert!(is_public(public.parse().expect("an address")), "{public}");
        }
        for inside in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.1.2.3",
            "169.254.169.254",
            "172.16.0.1",
            "192.0.0.8",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2002:7f00:1::",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "ff02::1",
            "2001:db8::1",
        ] {
            assert!(!is_public(inside.parse().expect("an address")), "{inside}");
        }
    }

    #[tokio::test]
    async fn a_name_of_fals_that_leads_inside_is_not_connected_to() {
        let resolve = async |hosts| {
            let name = "localhost".parse().expect("a name");
            FileRule::new(hosts, &[]).resolve(name).await.map(drop)
        };
        assert!(resolve(hosts()).await.is_ok(), "the operator's own");
        let refused = resolve(FileHosts(vec!["localhost".to_owned()])).await;
        assert!(
            refused
                .expect_err("refused")
                .to_string()
                .contains("no public address")
        );
    }

    #[test]
    fn a_setting_names_hosts_and_nothing_else() {
        let parsed: Result<FileHosts, _> = "v3.fal.media, *.Example.org".parse();
        let hosts = parsed.expect("hosts");
        assert!(hosts.have("v3.fal.media") && hosts.have("a.b.example.org") && hosts.have("example.org"));
        assert!(!hosts.have("v3b.fal.media") && !hosts.have("badexample.org"));
        for wrong in [
            "",
            "*",
            "*.media",
            "media",
            "https://v3.fal.media",
            "v3.fal.media/files",
            "127.0.0.1",
            "a.b,",
            "a b.c",
        ] {
            assert!(wrong.parse::<FileHosts>().is_err(), "{wrong:?}");
        }
    }
}
