# shellcheck shell=bash disable=SC2012
# Shell functions that bin/test, bin/demo, bin/prepare-queries and .ci/run share; sourced, never run.
# Supported: Debian 12 and newer, Ubuntu 24.04 and newer, macOS with Homebrew. Bash 3.2, since macOS has no newer.

oldest_postgres=15
homebrew_postgres=postgresql@17

say() { printf '%s\n' "==> $*" >&2; }

# A skip with a visible message; an error under CI, where nothing may be skipped.
skip() {
    printf '\n%s\n%s\n\n' "!!! SKIPPED: $1" "!!! $2" >&2
    if [ "${CI:-}" = true ]; then
        printf '%s\n' "CI=true: a skip is a failure" >&2
        return 1
    fi
}

fail() {
    printf '%s\n' "error: $*" >&2
    exit 1
}

# Runs a command as root: directly, or by sudo without a password. 127: neither is possible.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        sudo -n "$@"
    else
        return 127
    fi
}

# Installs Debian packages, or prints the one command that would.
apt_install() {
    local status=0
    say "Installing with apt: $*"
    as_root env DEBIAN_FRONTEND=noninteractive sh -c '
        apt-get -qq -o DPkg::Lock::Timeout=300 update &&
        apt-get -qq -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "$@"
    ' apt "$@" </dev/null >&2 || status=$?
    case $status in
    0) ;;
    127) fail "this needs root. Run: sudo apt-get update && sudo apt-get install -y $*" ;;
    *) fail "apt could not install: $*" ;;
    esac
}

# Major version of the server in a directory; nothing when there is none.
postgres_major() {
    [ -x "$1/initdb" ] && [ -x "$1/postgres" ] || return 0
    "$1/postgres" --version 2>/dev/null | sed -n 's/^postgres (PostgreSQL) \([0-9]*\).*/\1/p'
}

# Prints the directory of usable server binaries. Looks where src/dev/postgres/binaries.rs looks.
find_postgres() {
    local candidate major
    if [ -n "${PG_BIN_DIR:-}" ]; then
        major=$(postgres_major "$PG_BIN_DIR")
        [ "${major:-0}" -ge "$oldest_postgres" ] || return 1
        printf '%s\n' "$PG_BIN_DIR"
        return
    fi
    local candidates
    candidates=$(
        printf '%s\n' "$PATH" | tr ':' '\n'
        pg_config --bindir 2>/dev/null || true
        ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -t/ -k5 -rn || true
        # PGDG on Fedora and RHEL, openSUSE, Alpine.
        ls -d /usr/pgsql-*/bin 2>/dev/null | sort -t- -k2 -rn || true
        ls -d /usr/lib/postgresql[0-9]*/bin /usr/libexec/postgresql[0-9]* 2>/dev/null | sort -rV || true
        ls -d /opt/homebrew/opt/postgresql@*/bin /usr/local/opt/postgresql@*/bin 2>/dev/null | sort -t@ -k2 -rn || true
        ls -d /Applications/Postgres.app/Contents/Versions/*/bin 2>/dev/null || true
    )
    while IFS= read -r candidate; do
        major=$(postgres_major "$candidate")
        if [ "${major:-0}" -ge "$oldest_postgres" ]; then
            # A symlink in /usr/local/bin leads to where the server's other programs are.
            (cd "$(dirname "$(readlink "$candidate/initdb" || printf '%s' "$candidate/initdb")")" && pwd -P)
            return
        fi
    done <<CANDIDATES
$candidates
CANDIDATES
    return 1
}

# Debian's package creates a cluster, and starts it at every boot on port 5432, unless it is configured otherwise beforehand.
# We need only the binaries. An existing configuration is kept.
only_postgres_binaries() {
    if [ -e /etc/postgresql-common/createcluster.conf ]; then
        return
    fi
    # Without root the installation itself says what to do.
    as_root sh -c 'mkdir -p /etc/postgresql-common/createcluster.d &&
        echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.d/aisha.conf' || true
}

# PostgreSQL server binaries, from the distribution when there are none.
ensure_postgres() {
    if find_postgres >/dev/null; then
        return
    fi
    if [ -n "${PG_BIN_DIR:-}" ]; then
        fail "PG_BIN_DIR=$PG_BIN_DIR holds no PostgreSQL server of version $oldest_postgres or newer"
    fi
    say "No PostgreSQL server binaries of version $oldest_postgres or newer were found"
    if command -v apt-get >/dev/null; then
        only_postgres_binaries
        apt_install postgresql
    elif command -v brew >/dev/null; then
        say "Installing $homebrew_postgres with Homebrew"
        brew install --quiet "$homebrew_postgres" >&2
    elif [ "$(uname)" = Darwin ]; then
        fail "install Homebrew (https://brew.sh), then run: brew install $homebrew_postgres"
    else
        fail "install your distribution's PostgreSQL server, $oldest_postgres or newer, or set PG_BIN_DIR to its binaries"
    fi
    find_postgres >/dev/null || fail "the distribution's PostgreSQL is older than $oldest_postgres: set PG_BIN_DIR to a newer one"
}

# cargo, and a C compiler for the one dependency that needs it.
ensure_cargo() {
    # HOME is not set everywhere: containers, cron, some service managers.
    local cargo_home=${CARGO_HOME:-${HOME:-}/.cargo}
    if ! command -v cargo >/dev/null && [ -r "$cargo_home/env" ]; then
        # It uses HOME itself.
        set +u
        # shellcheck disable=SC1091
        . "$cargo_home/env"
        set -u
    fi
    command -v cargo >/dev/null || fail "Rust is missing: install it with rustup (https://rustup.rs)"
    command -v cc >/dev/null || fail "a C compiler is missing: sudo apt-get install -y gcc libc6-dev (macOS: xcode-select --install)"
    local wanted
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    # `cargo --version` says "cargo 1.95.0 (…)".
    if [ "$(printf '%s\n' "$wanted" "$(cargo --version | cut -d' ' -f2)" | sort -t. -k1,1n -k2,2n | head -1)" != "$wanted" ]; then
        fail "Rust $wanted or newer is needed, $(cargo --version | cut -d' ' -f2) is here: rustup update stable"
    fi
}

# A cargo subcommand of the toolchain (fmt, clippy), added when it can be.
has_component() {
    cargo "$1" --version >/dev/null 2>&1 || { command -v rustup >/dev/null && rustup component add "$2" >&2; }
}
