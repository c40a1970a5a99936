//! All settings, as the sections declare them, with the roles that read each.
//!
//! This list is not written by hand: it is what the roles' readers ask for when they are run on the defaults.
//! A test checks that they ask for exactly the keys of `config/default.toml` (proven by
//! `each_key_of_the_reference_is_declared_and_each_declaration_is_in_the_reference`).

use std::{collections::BTreeMap, fmt::Write as _};

use super::{
    declaration::Catalogue, layers::Layers, reader::SettingsReader, roles::ROLES, tables::TableFile,
};

impl Catalogue {
    /// Runs the readers of all roles and collects what they ask for.
    pub(super) fn of_all_roles() -> Self {
        let reference = Layers::reference();
        let mut all = BTreeMap::new();
        for (role, read) in ROLES {
            for declaration in SettingsReader::declarations(&reference, *read) {
                if TableFile::of(&declaration.key).is_some() {
                    continue;
                }
                let (_, roles) = all
                    .entry(declaration.key.clone())
                    .or_insert_with(|| (declaration, Vec::new()));
                if roles.last() != Some(role) {
                    roles.push(*role);
                }
            }
        }
        Self(all)
    }
}

const HEAD: &str = "\
# Settings

Written by `aisha config reference > docs/settings.md`; a test compares the two. [`config/default.toml`](../config/default.toml) says what
each setting means, [configuration.md](configuration.md) how values are given. Any key can be set by
`AISHA__SECTION__KEY` as well. \"Verbs\" are `aisha migrate` and the operators' commands.

| key | default | takes | variable | read by |
|---|---|---|---|---|
";

/// The variables that set a key, besides `AISHA__SECTION__KEY`, which exists for every key.
pub fn plain_names() -> Vec<&'static str> {
    let catalogue = Catalogue::of_all_roles();
    catalogue.variables().map(|(name, _)| name).collect()
}

/// Every setting with its default, as a page of Markdown: `docs/settings.md`.
pub fn reference_page() -> String {
    let (reference, catalogue) = (Layers::reference(), Catalogue::of_all_roles());
    let mut table = String::from(HEAD);
    for (key, (declaration, roles)) in catalogue.0 {
        let default = reference.get(&key).map(|value| format!("`{}`", value.typed()));
        let default = default.unwrap_or_else(|| "–".to_owned());
        let secret = if declaration.is_secret { "a secret: " } else { "" };
        let variables = declaration.variables.iter().map(|name| format!("`{name}`"));
        let variables = variables.collect::<Vec<_>>().join(" or ");
        let (takes, roles) = (declaration.takes.replace('|', "\\|"), readers(&roles));
        // Writing to a String cannot fail.
        let _ = writeln!(
            table,
            "| `{key}` | {default} | {secret}{takes} | {variables} | {roles} |"
        );
    }
    table
}

/// The readers of a setting as the page names them: operators' commands are not started as roles, so they
/// share a name.
fn readers(roles: &[&str]) -> String {
    let mut named = Vec::new();
    for role in roles {
        let name = match *role {
            "migrate" | "avatars" | "operator" => "verbs",
            "simulator" => "simulators",
            role => role,
        };
        if !named.contains(&name) {
            named.push(name);
        }
    }
    named.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_that_share_a_setting_read_it_in_the_same_way() {
        let reference = Layers::reference();
        let mut first = BTreeMap::new();
        for (_, read) in ROLES {
            for declaration in SettingsReader::declarations(&reference, *read) {
                let known = first
                    .entry(declaration.key.clone())
                    .or_insert_with(|| declaration.clone());
                assert_eq!(*known, declaration);
            }
        }
        assert!(first.contains_key("queue.lease"));
    }
}
