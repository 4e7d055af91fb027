# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Debian packages, for tests/run and tools/demo: `install_packages NAME...` runs apt only when one is missing.

build_packages=(gcc libc6-dev cmake ninja-build pkg-config libzmq3-dev libczmq-dev libmsgpack-dev libssl-dev
    libsqlite3-dev libutf8proc-dev libjansson-dev libedit-dev libsystemd-dev uthash-dev)

install_packages() {
    local package missing=() as_root=()
    for package in "$@"; do
        if [ "$(dpkg-query -W -f='${Status}' "$package" 2>/dev/null)" != "install ok installed" ]; then
            missing+=("$package")
        fi
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null; then
            echo "missing packages, and neither root nor sudo to install them: ${missing[*]}" >&2
            return 1
        fi
        as_root=(sudo)
    fi
    echo "installing ${missing[*]}"
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q update >&2 &&
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends \
            "${missing[@]}" >&2
}
