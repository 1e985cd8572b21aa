#!/usr/bin/env bash
# Installs the real peers of the tests into the git-ignored .peers/: Asterisk 22, SIPp 3.8 and
# baresip from Debian forky, Kamailio 5.6 from bookworm, the public ARI clients from npm, PyPI and
# the Rust registry (pinned by the lock files beside this script). Idempotent: what is there is kept.
#
# Debian packages are downloaded with a private apt state, unpacked with `dpkg -x` and run through
# their own dynamic loader, so that neither the host's packages nor its apt lists change and no
# maintainer script runs. The mirror is the one that this machine's own apt sources name.
#
# usage: install.sh [debian] [npm] [python] [rust]      (nothing named: all of them)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
peers=${PORTKEEPER_PEERS_DIR:-$top/.peers}
mkdir -p "$peers/bin" "$peers/stamps"

say() { echo "peers: $*"; }
die() { echo "peers: $*" >&2; echo "peers: at a desk, ./check.sh --no-peers goes without" >&2; exit 1; }

# fresh NAME FILE...: true while NAME was not yet installed from these very inputs.
fresh() {
    local name=$1; shift
    sum=$(cat "$@" | sha256sum | cut -c1-16)
    [ ! -e "$peers/stamps/$name-$sum" ]
}
stamp() { rm -f "$peers/stamps/$1"-*; : > "$peers/stamps/$1-$sum"; }

# retry COMMAND...: registries hiccup; three tries, then the truth.
retry() {
    local try
    for try in 1 2 3; do "$@" && return 0; sleep $((try * 3)); done
    return 1
}

# Commands that the host may lack. Only these touch the host, and only when they are missing.
host_needs() {
    local missing=()
    for pair in "$@"; do command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}"); done
    [ ${#missing[@]} -eq 0 ] && return 0
    [ "$(id -u)" = 0 ] || die "missing on this machine: ${missing[*]} (apt-get install them)"
    say "installing on this machine: ${missing[*]}"
    retry apt-get -qq update || die "this machine's apt sources do not answer"
    DEBIAN_FRONTEND=noninteractive retry apt-get -qq -y install --no-install-recommends \
        "${missing[@]}" > "$peers/apt.log" 2>&1 || { cat "$peers/apt.log" >&2; die "apt-get failed"; }
}

# What the parts need of the host, all at once and before any of them starts.
prepare() {
    local part needed=()
    for part in "$@"; do
        case $part in
            debian) needed+=(dpkg-deb:dpkg awk:gawk ip:iproute2) ;;
            npm) needed+=(node:nodejs npm:npm) ;;
            python)
                needed+=(python3:python3)
                python3 -c 'import ensurepip' 2>/dev/null || needed+=(/nowhere:python3-venv) ;;
            rust)
                command -v cargo >/dev/null || die "cargo is missing: install Rust 1.90 or newer"
                needed+=(cc:gcc pkg-config:pkg-config)
                # gcc only recommends what every link needs; one client wants OpenSSL.
                [ -e /usr/include/stdio.h ] || needed+=(/nowhere:libc6-dev)
                [ -e /usr/include/openssl/ssl.h ] || needed+=(/nowhere:libssl-dev) ;;
            *) die "no such part: $part (debian, npm, python, rust)" ;;
        esac
    done
    host_needs "${needed[@]}"
}

# The mirror of the Debian archive in the machine's own sources. A fresh machine has not fetched
# their lists yet, and apt then names none.
mirror() {
    [ -n "$(apt-get indextargets)" ] || [ "$(id -u)" != 0 ] || retry apt-get -qq update >&2
    apt-get indextargets --format '$(SITE) $(COMPONENT) $(CREATED_BY)' |
        awk '$2 == "main" && $3 == "Packages" && $1 ~ /\/debian\/?$/ { print $1; exit }'
}

# tree SUITE PACKAGE...: unpacks the packages and all that they need below $peers/SUITE/root.
tree() {
    local suite=$1; shift
    local d=$peers/$suite key site
    site=$(mirror); [ -n "$site" ] || die "no Debian mirror in this machine's apt sources (apt-get update?)"
    key=$(dpkg -L debian-archive-keyring 2>/dev/null |
        grep -m1 'keyrings/debian-archive-keyring\.\(gpg\|pgp\)$') || die "no debian-archive-keyring"
    rm -rf "$d"; mkdir -p "$d"/apt/{lists/partial,cache/archives/partial,log} "$d/root"
    : > "$d/apt/status"
    echo "deb [signed-by=$key] $site $suite main" > "$d/apt/sources.list"
    cat > "$d/apt/apt.conf" <<CONF
Dir::Etc::sourcelist "$d/apt/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::State "$d/apt";
Dir::State::lists "$d/apt/lists";
Dir::State::status "$d/apt/status";
Dir::State::extended_states "$d/apt/extended_states";
Dir::Cache "$d/apt/cache";
Dir::Log "$d/apt/log";
APT::Install-Recommends "false";
APT::Sandbox::User "";
APT::Architecture "amd64";
APT::Architectures { "amd64"; };
Acquire::Languages "none";
Acquire::Check-Valid-Until "false";
Acquire::Retries "3";
Debug::NoLocking "true";
CONF
    say "$suite: downloading $*"
    APT_CONFIG=$d/apt/apt.conf retry apt-get -qq update || die "$suite: the mirror does not answer"
    APT_CONFIG=$d/apt/apt.conf retry apt-get -qq -y --download-only install "$@" ||
        die "$suite: cannot download $*"
    for deb in "$d"/apt/cache/archives/*.deb; do dpkg -x "$deb" "$d/root"; done
    rm -rf "$d/apt/cache/archives" "$d/apt/lists"
}

# wrapper NAME SUITE PATH: $peers/bin/NAME runs PATH with the tree's own loader and libraries.
wrapper() {
    local r=$peers/$2/root
    cat > "$peers/bin/$1" <<RUN
#!/bin/sh
exec "$r/lib64/ld-linux-x86-64.so.2" --library-path "$r/usr/lib/x86_64-linux-gnu:$r/lib/x86_64-linux-gnu:$r/usr/lib/x86_64-linux-gnu/kamailio" "$r/$3" "\$@"
RUN
    [ -e "$r/lib64/ld-linux-x86-64.so.2" ] ||
        sed -i "s|/root/lib64/|/root/usr/lib64/|" "$peers/bin/$1"
    chmod +x "$peers/bin/$1"
}

install_debian() {
    fresh debian "$here/install.sh" || return 0
    tree forky asterisk asterisk-core-sounds-en-wav sip-tester baresip-core
    wrapper asterisk forky usr/sbin/asterisk
    wrapper sipp forky usr/bin/sipp
    wrapper baresip forky usr/bin/baresip
    tree bookworm kamailio
    wrapper kamailio bookworm usr/sbin/kamailio
    wrapper kamcmd bookworm usr/sbin/kamcmd
    "$peers/bin/asterisk" -V || die "asterisk does not start"
    { "$peers/bin/sipp" -v || true; } | grep -m1 SIPp || die "sipp does not start"
    "$peers/bin/kamailio" -v | grep version || die "kamailio does not start"
    stamp debian
}

install_npm() {
    # Node looks for packages upwards from the program's own folder. The link lies outside the cache,
    # so a clone that was given an older one's cache still needs it.
    ln -sfn "$peers/node/node_modules" "$top/node_modules"
    fresh npm "$here/clients/package-lock.json" || return 0
    rm -rf "$peers/node"; mkdir -p "$peers/node"
    cp "$here"/clients/package{,-lock}.json "$peers/node"
    (cd "$peers/node" && retry npm ci --silent --no-audit --no-fund) || die "npm ci failed"
    stamp npm
}

install_python() {
    fresh python "$here/clients/requirements.txt" || return 0
    rm -rf "$peers/venv"
    python3 -m venv "$peers/venv" || die "python3 -m venv failed"
    retry "$peers/venv/bin/pip" install -q --disable-pip-version-check \
        -r "$here/clients/requirements.txt" || die "pip install failed"
    stamp python
}

install_rust() {
    local package packages=("$here/rust-clients" "$top/examples/rust")
    fresh rust $(find "${packages[@]}" -type f) || return 0
    for package in "${packages[@]}"; do
        retry cargo fetch -q --locked --manifest-path "$package/Cargo.toml" ||
            die "the Rust registry does not answer"
        # Nobody debugs the clients, and symbols take a third of the time.
        CARGO_PROFILE_DEV_DEBUG=0 CARGO_TARGET_DIR=$peers/rust-clients cargo build -q --offline \
            --locked --manifest-path "$package/Cargo.toml" || die "$package does not build"
    done
    stamp rust
}

[ $# -gt 0 ] || set -- debian npm python rust
prepare "$@"
# Three of them wait for the network and one for the processor.
running=()
for part in "$@"; do
    (start=$(date +%s); "install_$part"; say "$part is there ($(($(date +%s) - start)) s)") &
    running+=($!)
done
failed=0
for pid in "${running[@]}"; do wait "$pid" || failed=1; done
exit $failed
