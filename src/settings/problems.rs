//! What is wrong with the settings, in a form that tells the reader what to do next.

use std::fmt;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key, e.g. `s3.endpoint`.
    pub key: String,
    /// What is wrong with it and where it came from. Never holds a secret's value.
    pub what: String,
    /// What to do.
    pub fix: String,
}

impl Problem {
    /// Joins the three.
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

/// Everything that keeps a role from starting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problems {
    /// Who cannot start, e.g. `worker`.
    pub roles: Vec<&'static str>,
    /// `AISHA_ENV`.
    pub environment: String,
    /// At least one.
    pub list: Vec<Problem>,
}

impl Problems {
    /// Those of several roles as one, each named once. `None` when there are none.
    pub fn joined(all: impl IntoIterator<Item = Self>) -> Option<Self> {
        all.into_iter().reduce(|mut joined, other| {
            joined.roles.extend(other.roles);
            let new = other
                .list
                .into_iter()
                // Two roles may give different examples for one mistake.
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
