//! The URL to which FAL delivers: `FAL_WEBHOOK_URL` with the training type, or `product=pictures`, and the attempt's token
//! (K15).

use std::str::FromStr;

use url::Url;

use super::TrainingType;

/// The path at which our web role takes deliveries, unless the setting has a path of its own.
pub const WEBHOOK_PATH: &str = "/api/v1/avatar/status_update";

/// The value of the parameter `product` in the URLs of generations.
pub const PICTURES: &str = "pictures";

/// The public base of webhook URLs. Without it no delivery is requested, and trainings advance by polling alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookBase(Url);

/// A value of `FAL_WEBHOOK_URL` that cannot be a base.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no webhook URL ({why}): write a public http(s) URL, e.g. https://bot.example.org, or leave it empty to poll only"
)]
pub struct BadWebhookUrl {
    text: String,
    why: String,
}

impl WebhookBase {
    /// Reads the setting. Empty means no webhook.
    ///
    /// # Errors
    /// The text is neither empty nor an absolute http(s) URL.
    pub fn from_setting(text: &str) -> Result<Option<Self>, BadWebhookUrl> {
        let text = text.trim();
        if text.is_empty() {
            Ok(None)
        } else {
            text.parse().map(Some)
        }
    }

    /// The webhook URL of one attempt at a training. A base with a path keeps its path and its query.
    pub fn url_for(&self, training_type: TrainingType, token: &str) -> Url {
        let mut url = self.0.clone();
        url.query_pairs_mut()
            .append_pair("training_type", training_type.as_str())
            .append_pair("token", token);
        url
    }

    /// The webhook URL of one attempt at pictures. It names no training type: its delivery is left to workers that know
    /// pictures.
    pub fn url_for_pictures(&self, token: &str) -> Url {
        let mut url = self.0.clone();
        url.query_pairs_mut()
            .append_pair("product", PICTURES)
            .append_pair("token", token);
        url
    }
}

impl FromStr for WebhookBase {
    type Err = BadWebhookUrl;

    fn from_str(text: &str) -> Result<Self, BadWebhookUrl> {
        let bad = |why: &str| BadWebhookUrl {
            text: text.to_owned(),
            why: why.to_owned(),
        };
        let mut url = Url::parse(text).map_err(|error| bad(&error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(bad("not http or https"));
        }
        if matches!(url.path(), "" | "/") {
            url.set_path(WEBHOOK_PATH);
        }
        url.set_fragment(None);
        // Without this, `?a=1&` would become `?a=1&&training_type=…`.
        let query = url
            .query()
            .map(|query| query.trim_end_matches('&').to_owned())
            .filter(|query| !query.is_empty());
        url.set_query(query.as_deref());
        Ok(Self(url))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn url(base: &str) -> String {
        let base: WebhookBase = base.parse().expect("a base");
        base.url_for(TrainingType::Style, "00ff").to_string()
    }

    #[test]
    fn a_base_without_a_path_gets_ours_and_a_base_with_one_keeps_it() {
        for (base, expected) in [
            (
                "https://bot.test",
                "https://bot.test/api/v1/avatar/status_update?training_type=style&token=00ff",
            ),
            (
                "https://bot.test/",
                "https://bot.test/api/v1/avatar/status_update?training_type=style&token=00ff",
            ),
            (
                "https://bot.test:8443/?a=1",
                "https://bot.test:8443/api/v1/avatar/status_update?a=1&training_type=style&token=00ff",
            ),
            (
                "https://bot.test/hook",
                "https://bot.test/hook?training_type=style&token=00ff",
            ),
            (
                "https://bot.test/hook/",
                "https://bot.test/hook/?training_type=style&token=00ff",
            ),
            (
                "https://bot.test/hook?",
                "https://bot.test/hook?training_type=style&token=00ff",
            ),
            (
                "https://bot.test/hook?key=a%20b",
                "https://bot.test/hook?key=a%20b&training_type=style&token=00ff",
            ),
            (
                "https://bot.test/hook?key=a&",
                "https://bot.test/hook?key=a&training_type=style&token=00ff",
            ),
            (
                "http://bot.test/hook#top",
                "http://bot.test/hook?training_type=style&token=00ff",
            ),
        ] {
            assert_eq!(url(base), expected, "{base}");
        }
    }

    #[test]
    fn an_empty_setting_means_no_webhook() {
        assert_eq!(WebhookBase::from_setting("  "), Ok(None));
        assert!(matches!(
            WebhookBase::from_setting("https://bot.test"),
            Ok(Some(_))
        ));
    }

    #[test]
    fn a_setting_that_is_no_web_url_is_refused_with_the_fix() {
        for text in ["bot.test", "ftp://bot.test", "/hook", "https://"] {
            let error = WebhookBase::from_setting(text).expect_err(text);
            assert!(error.to_string().contains("https://bot.example.org"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn whatever_the_token_it_comes_back_whole(token in ".{0,64}") {
            let base: WebhookBase = "https://bot.test/hook?training_type2=x".parse().expect("a base");
            let url = base.url_for(TrainingType::Portrait, &token);
            let found: Vec<_> = url.query_pairs().filter(|(key, _)| key == "token").map(|(_, value)| value).collect();
            prop_assert_eq!(found, vec![token]);
        }
    }
}
