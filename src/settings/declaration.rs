//! One declared setting, and the catalogue of all.

use std::collections::BTreeMap;

/// A setting as its section declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declaration {
    /// The key, such as `s3.endpoint`.
    pub key: String,
    /// The variables that set it, besides `AISHA__SECTION__KEY`.
    pub variables: &'static [&'static str],
    /// The values it accepts, in words; for a secret, its form.
    pub takes: String,
    /// Whether it comes only from the environment and is never shown.
    pub is_secret: bool,
}

/// All settings by key, each with the names of the roles that read it.
#[derive(Debug, Clone, Default)]
pub struct Catalogue(pub(super) BTreeMap<String, (Declaration, Vec<&'static str>)>);

impl Catalogue {
    /// All declarations, in the order of their keys.
    pub fn declarations(&self) -> impl Iterator<Item = &Declaration> {
        self.0.values().map(|(declaration, _)| declaration)
    }

    pub(super) fn secrets(&self) -> impl Iterator<Item = &str> {
        let secrets = self.declarations().filter(|declaration| declaration.is_secret);
        secrets.map(|declaration| declaration.key.as_str())
    }

    pub(super) fn is_secret(&self, key: &str) -> bool {
        self.0
            .get(key)
            .is_some_and(|(declaration, _)| declaration.is_secret)
    }

    /// The variables that set a key, besides `AISHA__SECTION__KEY`, each with its key.
    pub(super) fn variables(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.declarations().flat_map(|declaration| {
            let names = declaration.variables.iter();
            names.map(|name| (*name, declaration.key.as_str()))
        })
    }

    /// Names of the variables that set the key, for messages.
    pub(super) fn names_of(&self, key: &str) -> String {
        match self.0.get(key) {
            Some((Declaration { variables, .. }, _)) if !variables.is_empty() => variables.join(" or "),
            _ => format!("AISHA__{}", key.to_uppercase().replace('.', "__")),
        }
    }
}
