//! Who runs the server: us, or, when we are root, an ordinary user, because PostgreSQL refuses to run as root.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use super::PostgresError;

/// The user that a root process drops to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    /// User id, never 0.
    pub uid: u32,
    /// The user's primary group.
    pub gid: u32,
}

impl Identity {
    /// `None`: we are an ordinary user already. The user must have an entry in the password file: the server looks
    /// itself up and refuses to start without one.
    pub(super) fn to_drop_to() -> Result<Option<Self>, PostgresError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let passwd =
            std::fs::read_to_string("/etc/passwd").map_err(PostgresError::io("reading /etc/passwd"))?;
        ["postgres", "nobody"]
            .iter()
            .find_map(|name| Self::named(name, &passwd))
            .map(Some)
            .ok_or(PostgresError::NoUser)
    }

    /// Looks `name` up in the text of a password file: `name:password:uid:gid:…`.
    fn named(name: &str, passwd: &str) -> Option<Self> {
        let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut ids = line.split(':').skip(2).map(str::parse);
        match (ids.next()?, ids.next()?) {
            (Ok(uid), Ok(gid)) if uid != 0 => Some(Self { uid, gid }),
            _ => None,
        }
    }

    /// Makes `path` ours to write for the server.
    pub(super) fn own(self, path: &Path) -> Result<(), PostgresError> {
        std::os::unix::fs::chown(path, Some(self.uid), Some(self.gid)).map_err(PostgresError::io(format!(
            "giving {} to the server's user",
            path.display()
        )))
    }

    /// Runs `command` as this user, without root's groups.
    pub(super) fn run_as(self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\nodd:x:many:1::/:\n";

    #[test]
    fn a_user_is_found_by_name_and_root_or_garbage_never_is() {
        assert_eq!(
            Identity::named("nobody", PASSWD),
            Some(Identity {
                uid: 65534,
                gid: 65534
            })
        );
        assert_eq!(Identity::named("postgres", PASSWD), None);
        assert_eq!(Identity::named("root", PASSWD), None);
        assert_eq!(Identity::named("odd", PASSWD), None);
    }
}
