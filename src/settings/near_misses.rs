//! Finds variables that look like settings but are none: `S3_BUCKET`, `FAL_APIKEY`, `TELEGRAM_TOKEN`,
//! `AISHA_LOG_FORMAT`.
//!
//! They cause a warning and no error, since a variable may belong to another program. Values are never looked at.

use std::collections::BTreeMap;

use super::layers::Layers;

/// A variable with such a prefix is most likely meant for us.
const FAMILIES: [&str; 4] = ["S3_", "FAL_", "TELEGRAM_", "AVATAR_"];
/// How similar a name without such a prefix must be to one of ours. `DATABASE_URI` is similar enough,
/// `DATADOG_URL` is not.
const ALIKE: f64 = 0.82;
/// How similar a name with such a prefix must be for the nearest one to be named.
const ALIKE_IN_FAMILY: f64 = 0.6;
/// Variables of ours that are not settings.
const OTHERS: [&str; 2] = ["AISHA_ENV", "AISHA_CHAOS_"];

/// A warning for each such variable, with the fix.
pub(super) fn find(layers: &Layers, environment: &BTreeMap<String, String>) -> Vec<String> {
    let given = environment.iter().filter(|(_, value)| !value.is_empty());
    given
        .filter_map(|(name, _)| {
            let hint = hint(layers, name)?;
            Some(format!("{name} is set and means nothing to aisha. {hint}"))
        })
        .collect()
}

fn hint(layers: &Layers, name: &str) -> Option<String> {
    let is_ours = |name: &str| layers.catalogue.variables().any(|(plain, _)| plain == name);
    if is_ours(name) || name.starts_with("AISHA__") || OTHERS.iter().any(|ours| name.starts_with(ours)) {
        return None;
    }
    let upper = name.to_uppercase();
    if is_ours(&upper) {
        return Some(format!("Did you mean {upper}?"));
    }
    if let Some(path) = upper.strip_prefix("AISHA_") {
        // One underscore where two are needed, or two where one is.
        let flat = |text: &str| {
            let words = text.split(['_', '.']).filter(|word| !word.is_empty());
            words.collect::<Vec<_>>().join("_").to_lowercase()
        };
        let key = layers.keys().find(|key| flat(key) == flat(path));
        return Some(
            match key.or_else(|| layers.nearest(&flat(path).replacen('_', ".", 1))) {
                Some(key) => format!("Did you mean AISHA__{}?", key.to_uppercase().replace('.', "__")),
                None => "Settings are AISHA__SECTION__KEY; config/default.toml lists every key.".to_owned(),
            },
        );
    }
    let (likeness, nearest) = layers
        .catalogue
        .variables()
        .map(|(plain, _)| (likeness(&upper, plain), plain))
        .max_by(|(one, _), (other, _)| one.total_cmp(other))?;
    let family = FAMILIES.iter().any(|family| upper.starts_with(family));
    if family {
        return Some(if likeness >= ALIKE_IN_FAMILY {
            format!("Did you mean {nearest}?")
        } else {
            "docs/settings.md lists the names it knows; any key of config/default.toml is AISHA__SECTION__KEY."
                .to_owned()
        });
    }
    (likeness >= ALIKE).then(|| format!("Did you mean {nearest}?"))
}

/// The similarity of two names. Underscores do not count, and a name is similar to one that has all its words
/// (`S3_BUCKET`).
fn likeness(name: &str, known: &str) -> f64 {
    let words = |text: &str| text.split('_').map(str::to_owned).collect::<Vec<_>>();
    let (mine, its) = (words(name), words(known));
    if mine.len() > 1 && mine.iter().all(|word| its.contains(word)) {
        return 0.95;
    }
    strsim::normalized_damerau_levenshtein(&mine.concat(), &its.concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Given;

    fn hint_for(name: &str) -> Option<String> {
        hint(&Given::default().layers(), name)
    }

    #[test]
    fn a_name_like_ours_is_told_with_the_one_that_was_meant() {
        let cases = [
            ("S3_BUCKET", "S3_BUCKET_AVATARS"),
            ("S3_ACCESS_KEY_ID", "S3_ACCESS_KEY"),
            ("S3_SECRET", "S3_SECRET_KEY"),
            ("FAL_APIKEY", "FAL_API_KEY"),
            ("FAL_TOKEN", "FAL_KEY"),
            ("TELEGRAM_TOKEN", "TELEGRAM_BOT_TOKEN"),
            ("AVATAR_TESTMODE", "AVATAR_TEST_MODE"),
            ("DATABASE_URI", "DATABASE_URL"),
            ("DATABSE_URL", "DATABASE_URL"),
            ("database_url", "DATABASE_URL"),
            ("AISHA_LOG_FORMAT", "AISHA__LOG__FORMAT"),
            ("AISHA_QUEUE__LEASE", "AISHA__QUEUE__LEASE"),
            ("AISHA_QUEUE_KEEP_DEAD", "AISHA__QUEUE__KEEP__DEAD"),
            ("aisha__queue__lease", "AISHA__QUEUE__LEASE"),
        ];
        for (name, meant) in cases {
            let hint = hint_for(name).unwrap_or_default();
            assert!(hint.contains(&format!("{meant}?")), "{name}: {hint:?}");
        }
        assert!(hint_for("S3_FORCE_PATH_STYLE").is_some());
    }

    #[test]
    fn a_stranger_and_our_own_names_are_let_be() {
        let strangers = [
            "PATH",
            "HOME",
            "AWS_ACCESS_KEY_ID",
            "DATADOG_URL",
            "POSTGRES_URL",
            "RUST_LOG",
            "PG_BIN_DIR",
        ];
        let ours = [
            "AISHA_ENV",
            "AISHA_CHAOS_CONTROL",
            "AISHA__LOG__FORMAT",
            "AISHA__NO__SUCH",
            "FAL_KEY",
        ];
        for name in strangers.into_iter().chain(ours) {
            assert_eq!(hint_for(name), None, "{name}");
        }
    }
}
