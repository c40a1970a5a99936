//! A setting as its section declares it, and all of them.

use std::collections::BTreeMap;

/// One setting, as its section declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declaration {
    /// E.g. `s3.endpoint`.
    pub key: String,
    /// The variables that set it beside `AISHA__SECTION__KEY`.
    pub variables: &'static [&'static str],
    /// Which values it takes, in words; of a secret, its form.
    pub takes: String,
    /// Comes from the environment only and is never shown.
    pub is_secret: bool,
}

/// All settings by key, each with the names of the roles that read it.
#[derive(Debug, Clone, Default)]
pub struct Catalogue(pub(super) BTreeMap<String, (Declaration, Vec<&'static str>)>);

impl Catalogue {
    /// In the order of their keys.
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

    /// The names that operators use beside `AISHA__SECTION__KEY`, each with the key that it sets.
    pub(super) fn variables(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.declarations().flat_map(|declaration| {
            let names = declaration.variables.iter();
            names.map(|name| (*name, declaration.key.as_str()))
        })
    }

    /// The variables that set a key, for messages.
    pub(super) fn names_of(&self, key: &str) -> String {
        match self.0.get(key) {
            Some((Declaration { variables, .. }, _)) if !variables.is_empty() => variables.join(" or "),
            _ => format!("AISHA__{}", key.to_uppercase().replace('.', "__")),
        }
    }
}
