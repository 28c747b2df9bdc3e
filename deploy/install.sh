#!/usr/bin/env bash
# Installs Aerial on a machine with systemd, upgrades it in place, or takes it away again. Safe to run again at any time.
#
#   sudo deploy/install.sh               install, or upgrade to the files of this directory
#   sudo deploy/install.sh --uninstall   take programs and units away; data and configuration stay
#
# What goes where:
#   /opt/aerial/releases/ID   the programs with their own Python environment; ID is made from their content
#   /opt/aerial/current       a link to the release in use; an upgrade moves it in one step, the last two releases stay
#   /etc/aerial/config.yaml   yours: put there once, never overwritten
#   /var/lib/aerial           all data, owned by the user `aerial`
#   /etc/systemd/system       aerial-epg.service, aerial-stream.service
set -euo pipefail
umask 022

SOURCE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly SOURCE
readonly PACKAGES=(epg_service stream_service servicekit tvkit pair)
readonly FILES=(requirements.txt constraints.txt config.yaml systemd deploy)
readonly UNITS=(aerial-epg.service aerial-stream.service)

ROOT=
PYTHON=
ACTION=install
START=yes

usage() {
    cat <<'END'
Usage: deploy/install.sh [--uninstall] [--python PROGRAM] [--no-start] [--root DIR]
  --uninstall       stop and remove programs and units; /var/lib/aerial and /etc/aerial stay
  --python PROGRAM  the Python to use (3.11 to 3.13, with venv); found by itself otherwise
  --no-start        put everything in place, start nothing
  --root DIR        put everything below DIR instead of /: for packages and trials; no user is made, nothing is started
END
}

say() { printf '%s\n' "$*"; }
fail() { printf 'install.sh: %s\n' "$*" >&2; exit 1; }

read_arguments() {
    while [ $# -gt 0 ]; do
        case $1 in
            --uninstall) ACTION=uninstall ;;
            --no-start) START=no ;;
            --python) [ $# -gt 1 ] || fail "--python needs a program"; PYTHON=$2; shift ;;
            --root) [ $# -gt 1 ] || fail "--root needs a directory"; ROOT=${2%/}; shift ;;
            -h | --help) usage; exit 0 ;;
            *) usage >&2; fail "unknown argument: $1" ;;
        esac
        shift
    done
    if [ -n "$ROOT" ]; then
        case $ROOT in /*) ;; *) ROOT=$PWD/$ROOT ;; esac
        START=no
    elif [ "$(id -u)" != 0 ]; then
        fail "this needs root: sudo deploy/install.sh (or --root DIR to try it out)"
    elif ! command -v systemctl >/dev/null || [ ! -d /run/systemd/system ]; then
        # Inside a container or a chroot the units can still be put in place.
        say "systemd does not run here: units are installed, but not started"
        START=no
    fi
    readonly ROOT ACTION
    readonly BASE=$ROOT/opt/aerial ETC=$ROOT/etc/aerial DATA=$ROOT/var/lib/aerial UNIT_DIR=$ROOT/etc/systemd/system
}

# Runs a command that changes users or services; nothing to do below another root.
on_machine() { [ -n "$ROOT" ] || "$@"; }

# Sets PYTHON to the first Python that the services can use. They see no home directory, so none from there will do.
find_python() {
    local try told='' found='' candidates=(
        python3.13 python3.12 python3.11 python3
        /usr/bin/python3.13 /usr/bin/python3.12 /usr/bin/python3.11 /usr/bin/python3
    )
    [ -z "$PYTHON" ] || candidates=("$PYTHON")
    for try in "${candidates[@]}"; do
        command -v "$try" >/dev/null || continue
        told=$("$try" -c 'import sys; print("%d.%d" % sys.version_info[:2], sys.base_prefix)' 2>/dev/null) || continue
        case $told in
            *' /root'* | *' /home'*) found="$try in a home directory, which the services cannot see"; continue ;;
            '3.11 '* | '3.12 '* | '3.13 '*) ;;
            *) found="$try ${told%% *}"; continue ;;
        esac
        "$try" -c 'import venv, ensurepip' 2>/dev/null ||
            fail "$try has no venv module. Install it: apt-get install python3-venv"
        PYTHON=$try
        return
    done
    fail "Python 3.11, 3.12 or 3.13 is needed${found:+; found $found}. Install it: apt-get install python3 python3-venv"
}

# The release's name: twelve digits made from every file that belongs to it, and from the Python it is built for.
release_id() {
    (
        cd "$SOURCE"
        "$PYTHON" -c 'import sys; print(sys.version)'
        find "${PACKAGES[@]}" "${FILES[@]}" -type f ! -name '*.pyc' -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
    ) | sha256sum | cut -c1-12
}

build_release() { # id
    local release=$BASE/releases/$1
    if [ -e "$release/.complete" ]; then
        say "release $1 is already there"
        return
    fi
    say "building release $1"
    rm -rf "$release"
    install -d -m 755 "$BASE" "$BASE/releases" "$release"
    tar -C "$SOURCE" --exclude=__pycache__ --exclude='*.pyc' -cf - "${PACKAGES[@]}" "${FILES[@]}" |
        tar -C "$release" --no-same-owner -xf -
    "$PYTHON" -m venv "$release/.venv"
    "$release/.venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-cache-dir \
        -r "$release/requirements.txt" -c "$release/constraints.txt"
    # The services may not write here, so what Python would keep between starts is made now.
    "$release/.venv/bin/python" -m compileall -q "${PACKAGES[@]/#/$release/}"
    touch "$release/.complete"
}

make_user() {
    if ! getent passwd aerial >/dev/null; then
        say "making the user aerial"
        useradd --system --user-group --home-dir /var/lib/aerial --no-create-home --shell /usr/sbin/nologin aerial
    fi
}

place_configuration() {
    install -d -m 755 "$ETC"
    if [ -e "$ETC/config.yaml" ]; then
        say "keeping $ETC/config.yaml"
    else
        install -m 640 "$SOURCE/config.yaml" "$ETC/config.yaml"
        on_machine chgrp aerial "$ETC/config.yaml"
    fi
    install -d -m 750 "$DATA"
    on_machine chown aerial:aerial "$DATA"
}

place_units() {
    local unit
    install -d -m 755 "$UNIT_DIR"
    for unit in "${UNITS[@]}"; do
        install -m 644 "$SOURCE/systemd/$unit" "$UNIT_DIR/$unit"
    done
    [ "$START" = no ] || systemctl daemon-reload
}

# One rename: at no moment is there no release, or half of one.
switch_to() { # id
    ln -sfn "releases/$1" "$BASE/current.new"
    mv -T "$BASE/current.new" "$BASE/current"
}

start_units() { # id, id before (may be empty)
    [ "$START" = yes ] || return 0
    systemctl enable --quiet "${UNITS[@]}"
    # `Type=notify`: this returns when the services are up, or when they failed.
    if systemctl restart "${UNITS[@]}"; then
        return
    fi
    systemctl --no-pager --lines=20 status "${UNITS[@]}" >&2 || true
    if [ -n "$2" ] && [ "$2" != "$1" ]; then
        switch_to "$2"
        systemctl restart "${UNITS[@]}" || true
        fail "release $1 did not start; release $2 is in use again. Its log: journalctl -u aerial-epg -u aerial-stream"
    fi
    fail "the services did not start. Their log: journalctl -u aerial-epg -u aerial-stream"
}

# The one in use and the one before it stay.
remove_old_releases() { # id, id before (may be empty)
    local release
    for release in "$BASE"/releases/*/; do
        release=$(basename "$release")
        [ "$release" = "$1" ] || [ "$release" = "$2" ] || rm -rf "${BASE:?}/releases/$release"
    done
}

install_all() {
    local id before=
    [ -e "$SOURCE/config.yaml" ] || fail "$SOURCE is no complete copy of Aerial: config.yaml is missing"
    find_python
    if [ -L "$BASE/current" ]; then before=$(basename "$(readlink "$BASE/current")"); fi
    id=$(release_id)
    on_machine make_user
    build_release "$id"
    place_configuration
    place_units
    switch_to "$id"
    start_units "$id" "$before"
    # Run again without a change, `before` is the release itself: then nothing is old.
    [ "$before" = "$id" ] || remove_old_releases "$id" "$before"
    say "Aerial $id is installed in $BASE"
    say "  configuration  $ETC/config.yaml (then: systemctl restart aerial-epg aerial-stream)"
    say "  addresses      http://HOST:8080/ (guide) and http://HOST:8081/ (channels)"
    say "  from outside the home network: Authorization: Bearer, with the token in $DATA/admin.token"
    command -v ffprobe >/dev/null || say "  ffprobe is missing; it is needed to probe channels: apt-get install ffmpeg"
}

uninstall_all() {
    local unit
    for unit in "${UNITS[@]}"; do
        if [ -e "$UNIT_DIR/$unit" ]; then
            [ "$START" = no ] || systemctl disable --quiet --now "$unit"
            rm -f "$UNIT_DIR/$unit"
        fi
    done
    [ "$START" = no ] || systemctl daemon-reload
    rm -rf "$BASE"
    say "Aerial is removed. Kept: $DATA (data), $ETC (configuration) and the user aerial, who owns the data."
    say "To remove these too: rm -r $DATA $ETC; userdel aerial"
}

main() {
    read_arguments "$@"
    case $ACTION in
        install) install_all ;;
        uninstall) uninstall_all ;;
    esac
}

main "$@"
