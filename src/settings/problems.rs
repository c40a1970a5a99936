//! The problems of the settings, each with what to do about it.

use std::fmt;

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key, e.g. `s3.endpoint`.
    pub key: String,
    /// The problem and the origin of the value. Never contains a secret's value.
    pub what: String,
    /// What the operator should do.
    pub fix: String,
}

impl Problem {
    /// Makes a problem of its three parts.
    pub fn new(key: impl Into<String>, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            what: what.into(),
            fix: fix.into(),
        }
    }

    fn is_same(&self, other: &Self) -> bool {
        self.key == other.key && self.what == other.what
    }
}

/// All problems that keep a role from starting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problems {
    /// The roles that cannot start, such as `worker`.
    pub roles: Vec<&'static str>,
    /// The environment's name (`AISHA_ENV`).
    pub environment: String,
    /// The problems; at least one.
    pub list: Vec<Problem>,
}

impl Problems {
    /// The problems of several roles in one list, each problem once. `None` when there are none.
    pub fn joined(all: impl IntoIterator<Item = Self>) -> Option<Self> {
        all.into_iter().reduce(|mut joined, other| {
            joined.roles.extend(other.roles);
            let new = other
                .list
                .into_iter()
                // Two roles may give different examples for the same mistake.
                .filter(|problem| !joined.list.iter().any(|known| known.is_same(problem)))
                .collect::<Vec<_>>();
            joined.list.extend(new);
            joined
        })
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.list.len();
        let noun = if count == 1 { "problem" } else { "problems" };
        let roles = self.roles.join(", ");
        writeln!(
            f,
            "aisha {roles} cannot start: {count} {noun} in the settings (AISHA_ENV={})",
            self.environment
        )?;
        for (number, problem) in self.list.iter().enumerate() {
            write!(
                f,
                "\n{:>3}. {} {}\n     {}\n",
                number + 1,
                problem.key,
                problem.what,
                problem.fix
            )?;
        }
        Ok(())
    }
}
