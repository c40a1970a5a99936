//! The user that runs the server: ourselves or, if we are root, an ordinary user, because PostgreSQL refuses
//! to run as root.

use super::PostgresError;
use crate::dev::parent::Identity;

/// The user to drop to; `None`: we are an ordinary user already. It must have an entry in the password file,
/// because the server looks itself up and refuses to start without one.
pub(super) fn to_drop_to() -> Result<Option<Identity>, PostgresError> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let passwd = std::fs::read_to_string("/etc/passwd").map_err(PostgresError::io("reading /etc/passwd"))?;
    let found = ["postgres", "nobody"]
        .iter()
        .find_map(|name| named(name, &passwd));
    found.map(Some).ok_or(PostgresError::NoUser)
}

/// Looks `name` up in the text of a password file: `name:password:uid:gid:…`.
fn named(name: &str, passwd: &str) -> Option<Identity> {
    let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut ids = line.split(':').skip(2).map(str::parse);
    match (ids.next()?, ids.next()?) {
        (Ok(uid), Ok(gid)) if uid != 0 => Some(Identity { uid, gid }),
        _ => None,
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
            named("nobody", PASSWD),
            Some(Identity {
                uid: 65534,
                gid: 65534
            })
        );
        assert_eq!(named("postgres", PASSWD), None);
        assert_eq!(named("root", PASSWD), None);
        assert_eq!(named("odd", PASSWD), None);
    }
}
