#!/usr/bin/env bash
# Kamailio as a second, independent registrar with digest authentication (password `pw-USER`) and
# one of three rules for a second host that registers an extension.
#
# usage: kamailio.sh start DIR | stop DIR | contacts DIR USER | answered DIR STATUS
#
#   SIP_PORT=15160
#   MODE=replace   the newest Contact alone is kept, by Call-ID or not
#   MODE=fork      every Contact is kept; an INVITE goes to all of them
#   MODE=reject    a second Contact gets 503 with Retry-After while the first lives
#   MIN_EXPIRES=0  when larger: a shorter request gets 423 with this Min-Expires
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
peers=${PORTKEEPER_PEERS_DIR:-$(cd "$here/../.." && pwd)/.peers}
root=$peers/bookworm/root
SIP_PORT=${SIP_PORT:-15160} MODE=${MODE:-replace} MIN_EXPIRES=${MIN_EXPIRES:-0}

write_config() {
    local save max=0 min_mode=0
    case $MODE in
        replace) save='save("location", "0x04")' ;;
        fork) save='save("location")' ;;
        reject) save='save("location")'; max=1 ;;
        *) echo "kamailio: no such MODE: $MODE" >&2; exit 2 ;;
    esac
    [ "$MIN_EXPIRES" -eq 0 ] || min_mode=1
    cat <<CONF
debug=2
log_stderror=yes
children=2
tcp_children=1
listen=udp:127.0.0.1:$SIP_PORT
listen=tcp:127.0.0.1:$SIP_PORT
mpath="$root/usr/lib/x86_64-linux-gnu/kamailio/modules/"
loadmodule "kex.so"
loadmodule "ctl.so"
loadmodule "tm.so"
loadmodule "tmx.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "xlog.so"
loadmodule "auth.so"
modparam("ctl", "binrpc", "unix:$1/ctl")
modparam("usrloc", "db_mode", 0)
modparam("registrar", "max_expires", 120)
modparam("registrar", "default_expires", 60)
modparam("registrar", "min_expires", $MIN_EXPIRES)
modparam("registrar", "min_expires_mode", $min_mode)
modparam("registrar", "max_contacts", $max)
modparam("registrar", "retry_after", 5)
modparam("auth", "nonce_expire", 30)
modparam("tm", "fr_timer", 2000)
modparam("tm", "fr_inv_timer", 30000)
request_route {
    if (!mf_process_maxfwd_header("10")) { sl_send_reply("483", "Too Many Hops"); exit; }
    if (is_method("OPTIONS") && uri == myself) { sl_send_reply("200", "OK"); exit; }
    if (has_totag()) {
        if (loose_route()) { t_relay(); exit; }
        if (is_method("ACK")) { if (t_check_trans()) t_relay(); exit; }
        sl_send_reply("404", "Not Here"); exit;
    }
    if (is_method("CANCEL")) { if (t_check_trans()) t_relay(); exit; }
    t_check_trans();
    if (is_method("REGISTER")) {
        \$var(password) = "pw-" + \$tU;
        if (!pv_www_authenticate("127.0.0.1", "\$var(password)", "0")) {
            www_challenge("127.0.0.1", "1"); exit;
        }
        $save;
        exit;
    }
    if (is_method("INVITE")) record_route();
    if (!lookup("location")) { sl_send_reply("404", "Not Registered"); exit; }
    t_relay();
}
CONF
}

start() {
    local d=$1 try
    rm -rf "$d"; mkdir -p "$d"
    write_config "$d" > "$d/kamailio.cfg"
    "$peers/bin/kamailio" -f "$d/kamailio.cfg" -DD -P "$d/pidfile" -Y "$d" -m 64 -M 8 \
        > "$d/log" 2>&1 < /dev/null &
    echo $! > "$d/pid"
    for try in $(seq 100); do
        kill -0 "$(cat "$d/pid")" 2>/dev/null || break
        [ -S "$d/ctl" ] && return 0
        sleep 0.1
    done
    echo "kamailio: did not start" >&2; tail -20 "$d/log" >&2; stop "$d"; exit 1
}

stop() {
    local d=$1 pid try
    [ -e "$d/pid" ] || return 0
    pid=$(cat "$d/pid"); rm -f "$d/pid"
    kill -TERM "$pid" 2>/dev/null || return 0
    for try in $(seq 50); do kill -0 "$pid" 2>/dev/null || return 0; sleep 0.1; done
    kill -KILL "$pid" 2>/dev/null || true
}

case ${1:-} in
    start) start "$2" ;;
    stop) stop "$2" ;;
    contacts) "$peers/bin/kamcmd" -s "unix:$2/ctl" ul.lookup location "s:$3" |
        sed -n 's/^.*Address: //p' ;;
    answered) "$peers/bin/kamcmd" -s "unix:$2/ctl" sl.stats | sed -n "s/^.*\b$3: //p" ;;
    *) sed -n '2,12p' "$0"; exit 2 ;;
esac
