//! Finds the PostgreSQL server binaries on the systems we support, and chooses among them.
//!
//! The first usable directory wins. It is usable if `postgres` and `initdb` lie side by side and are version
//! 15 or newer. If the operator names a directory, that one is used or refused, never silently replaced.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::PostgresError;

/// The oldest major version on which the migrations and the queue's statements are tested.
const OLDEST: u32 = 15;

/// How to install a server: one line for the system that this binary was built for.
pub const INSTALL_HINT: &str = if cfg!(target_os = "macos") {
    "Install it with: brew install postgresql@17"
} else {
    "Install it with: sudo apt-get install postgresql (or your distribution's server package), or set PG_BIN_DIR"
};

/// A directory with server binaries of one version.
#[derive(Clone, Debug)]
pub struct ServerBinaries {
    /// The directory of `postgres` and `initdb`, without symlinks: a server finds its libraries relative to
    /// its real place.
    pub directory: PathBuf,
    /// The major version, 15 or more.
    pub major: u32,
}

impl ServerBinaries {
    /// The path of one program.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

/// Finds server binaries. `chosen` is the directory that the operator named (`PG_BIN_DIR`).
pub(super) fn find(chosen: Option<&Path>) -> Result<ServerBinaries, PostgresError> {
    let candidates = chosen.map_or_else(usual_places, |directory| vec![directory.to_owned()]);
    let mut refused = BTreeSet::new();
    for candidate in candidates {
        match inspect(&candidate) {
            Ok(binaries) => return Ok(binaries),
            Err(Some(reason)) => drop(refused.insert(reason)),
            Err(None) => {}
        }
    }
    let looked = match (chosen, refused.is_empty()) {
        (Some(directory), true) => format!("PG_BIN_DIR={} has no postgres and initdb", directory.display()),
        (None, true) => "looked at PATH, pg_config and the usual directories".to_owned(),
        (_, false) => refused.into_iter().collect::<Vec<_>>().join("; "),
    };
    Err(PostgresError::NotFound { looked })
}

/// The searched directories in order: the shell's PATH, the distribution's newest version, Homebrew,
/// Postgres.app.
fn usual_places() -> Vec<PathBuf> {
    // PATH is the system's variable, not one of our settings.
    let mut places: Vec<PathBuf> = std::env::var_os("PATH")
        .map(|path| std::env::split_paths(&path).collect())
        .unwrap_or_default();
    if let Ok(output) = Command::new("pg_config").arg("--bindir").output()
        && output.status.success()
    {
        places.push(String::from_utf8_lossy(&output.stdout).trim().into());
    }
    for (parent, below) in [
        // Debian, PGDG's packages for it, Arch.
        ("/usr/lib/postgresql", "bin"),
        // PGDG on Fedora and RHEL (pgsql-17), openSUSE (postgresql17), Alpine (postgresql17).
        ("/usr", "bin"),
        ("/usr/lib", "bin"),
        ("/usr/libexec", ""),
        ("/opt/homebrew/opt", "bin"),
        ("/usr/local/opt", "bin"),
        ("/Applications/Postgres.app/Contents/Versions", "bin"),
    ] {
        places.extend(
            newest_first(Path::new(parent))
                .into_iter()
                .map(|directory| directory.join(below)),
        );
    }
    places
}

/// The sub-directories that belong to a PostgreSQL version (`15`, `postgresql@17`, `pgsql-17`, `postgresql17`, `latest`),
/// highest version first.
fn newest_first(parent: &Path) -> Vec<PathBuf> {
    let Ok(entries) = parent.read_dir() else {
        return Vec::new();
    };
    let mut versions: Vec<(u32, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let version = ["postgresql", "pgsql"]
                .iter()
                .find_map(|prefix| name.strip_prefix(prefix))
                .map_or(name.as_str(), |rest| rest.trim_start_matches(['@', '-']));
            let major = if version.is_empty() || version == "latest" {
                Some(0)
            } else {
                major_in(version)
            };
            Some((major?, entry.path()))
        })
        .collect();
    versions.sort_by_key(|(major, _)| std::cmp::Reverse(*major));
    versions.into_iter().map(|(_, directory)| directory).collect()
}

/// `Err(None)`: there is no server. `Err(Some(_))`: there is one that cannot be used, and why.
fn inspect(candidate: &Path) -> Result<ServerBinaries, Option<String>> {
    // A symlink in /usr/local/bin leads to the directory where both programs and their libraries are.
    let initdb = candidate.join("initdb").canonicalize().map_err(|_| None)?;
    let directory = initdb.parent().ok_or(None)?.to_owned();
    let unusable = |why: &str| Some(format!("{}: {why}", directory.display()));
    let output = Command::new(directory.join("postgres")).arg("--version").output();
    let output = output.map_err(|error| unusable(&format!("initdb without a usable postgres ({error})")))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    // "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", "postgres (PostgreSQL) 18beta1"
    let major = text.split_whitespace().nth(2).and_then(major_in);
    match major {
        Some(major) if major >= OLDEST => Ok(ServerBinaries { directory, major }),
        Some(major) => Err(unusable(&format!("version {major} is too old"))),
        None => Err(unusable(&format!("`postgres --version` said {text:?}"))),
    }
}

/// The number at the beginning of a version.
fn major_in(version: &str) -> Option<u32> {
    let digits = version.len() - version.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    version[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_from_its_leading_digits() {
        assert_eq!(major_in("15.18"), Some(15));
        assert_eq!(major_in("18beta1"), Some(18));
        assert_eq!(major_in("beta"), None);
    }

    #[test]
    fn the_newest_installed_version_comes_first() {
        let parent = tempfile::tempdir().unwrap();
        for name in [
            "postgresql@9",
            "postgresql@17",
            "pgsql-18",
            "postgresql14",
            "16",
            "redis",
            "bin",
        ] {
            std::fs::create_dir(parent.path().join(name)).unwrap();
        }
        let found = newest_first(parent.path());
        let names: Vec<_> = found
            .iter()
            .map(|path| path.file_name().unwrap().to_str().unwrap())
            .collect();
        assert_eq!(
            names,
            ["pgsql-18", "postgresql@17", "16", "postgresql14", "postgresql@9"]
        );
    }

    #[test]
    fn a_named_directory_without_a_server_is_refused_with_the_fix() {
        let empty = tempfile::tempdir().unwrap();
        let error = find(Some(empty.path())).unwrap_err().to_string();
        assert!(
            error.contains("PG_BIN_DIR=") && error.contains("Install it with"),
            "{error}"
        );
    }
}
