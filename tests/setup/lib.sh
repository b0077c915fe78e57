# Shared by the set-up scripts beside it; source it, do not run it.
#
# The scripts make the real parts that the tests talk to: an npm package, a Python environment, Redis and Valkey, a Keycloak.
# Everything they fetch lands in `.tools/` or `node_modules/`, both ignored by git, so that deleting those folders undoes a set-up.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
tools="$root/.tools"
stamps="$tools/stamps"
mkdir -p "$stamps"

# One set-up at a time: two `make` runs in one clone would otherwise unpack into the same folder. Held until the script ends.
lock_set_up() {
    if command -v flock >/dev/null 2>&1; then
        exec 9>"$tools/set-up.lock"
        flock 9
    fi
}

say() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; }

# A digest of the given files and of the text on stdin: what a stamp is compared with.
digest() {
    {
        cat
        [ $# -eq 0 ] || cat -- "$@"
    } | { if command -v sha256sum >/dev/null 2>&1; then sha256sum; else shasum -a 256; fi } | cut -d ' ' -f 1
}

# is_done NAME DIGEST: true if the step NAME was finished for exactly these inputs.
is_done() { [ -f "$stamps/$1" ] && [ "$(cat "$stamps/$1")" = "$2" ]; }

# Written last, and by rename, so that an interrupted step is never taken for a finished one.
mark_done() {
    printf '%s\n' "$2" >"$stamps/$1.new"
    mv "$stamps/$1.new" "$stamps/$1"
}

missing_packages=()
missing_reasons=()

# need "what it is for" PACKAGE TEST…: remembers PACKAGE unless the command TEST… succeeds.
need() {
    local reason=$1 package=$2
    shift 2
    "$@" >/dev/null 2>&1 && return 0
    case " ${missing_packages[*]-} " in *" $package "*) return 0 ;; esac
    missing_packages+=("$package")
    missing_reasons+=("$package ($reason)")
}

# A package that brings a server would start it, on the port that everybody knows. The tests start their own; so until this script
# ends a policy says no, unless the machine has one that already decides.
start_no_services() {
    local policy=/usr/sbin/policy-rc.d
    [ ! -e "$policy" ] || return 0
    trap "rm -f $policy" EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
}

# Installs what `need` remembered; where that is not for us to do, says what is missing and how to get it, and ends.
install_needed() {
    [ ${#missing_packages[@]} -gt 0 ] || return 0
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        say "installing ${missing_packages[*]}"
        export DEBIAN_FRONTEND=noninteractive
        start_no_services
        apt-get update -qq
        apt-get install -y -qq --no-install-recommends "${missing_packages[@]}" >/dev/null
        return 0
    fi
    say "missing on this machine:"
    printf '  - %s\n' "${missing_reasons[@]}" >&2
    say "on Debian or Ubuntu: sudo apt-get install ${missing_packages[*]}"
    exit 1
}
