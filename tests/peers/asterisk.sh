#!/usr/bin/env bash
# A real Asterisk as PBX (and as the ARI server that portkeeper is compared with), in a folder of
# its own; several may run side by side when their ports differ.
#
# usage: asterisk.sh start DIR | stop DIR | cli DIR COMMAND...
#
# `start` writes DIR/etc from the environment, starts, and returns when Asterisk is fully booted;
# DIR must be short (its control socket's path ends at 107 characters) and is wiped first.
#   SIP_PORT=15060 HTTP_PORT=18088 RTP_FIRST=20000 RTP_LAST=20999   where it listens, on 127.0.0.1
#   PORTS=30       extensions 6001.. with digest authentication, password `pw-EXTENSION`
#   PASSWORD=      one password for all of them
#   MAX_EXPIRES=60 the longest registration that it grants, in seconds
#   ALGORITHM=MD5  or SHA-256
#   SOUNDS=DIR     prompts; NAME.wav (8 kHz, 16 bit, mono) plays as sound:NAME
#   FURTHER=DIR    what to append: DIR/NAME.conf to NAME.conf (the dialplan ends in [house])
#   FLAGS=         further flags of Asterisk, as -p for real-time scheduling
#
# Extensions: 6xxx a port, 7001 to 7004 phones, 5000 a queue over all ports, 5001 a linear hunt,
# 5010 echo, 5011 an endless tone, 2001 where transfers go, app-NAME the Stasis application NAME.
# Calls from 127.0.0.1 with a From user that is no extension arrive on an unauthenticated trunk.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
peers=${PORTKEEPER_PEERS_DIR:-$top/.peers}
root=$peers/forky/root

SIP_PORT=${SIP_PORT:-15060} HTTP_PORT=${HTTP_PORT:-18088}
RTP_FIRST=${RTP_FIRST:-20000} RTP_LAST=${RTP_LAST:-20999}
PORTS=${PORTS:-30} MAX_EXPIRES=${MAX_EXPIRES:-60} ALGORITHM=${ALGORITHM:-MD5}

write_core() {
    local d=$1 name
    for name in features websocket_client ccss acl udptl cel queuerules musiconhold stasis \
        codecs dsp pjproject manager res_parking confbridge; do : > "$d/etc/$name.conf"; done
    cat > "$d/etc/asterisk.conf" <<CONF
[directories]
astetcdir => $d/etc
astmoddir => $root/usr/lib/x86_64-linux-gnu/asterisk/modules
astvarlibdir => $d/lib
astdbdir => $d/lib
astkeydir => $d/lib
astdatadir => $d/data
astagidir => $d/data/agi-bin
astspooldir => $d/spool
astrundir => $d/run
astlogdir => $d/log
astsbindir => $root/usr/sbin
[options]
transmit_silence = no
CONF
    cat > "$d/etc/logger.conf" <<CONF
[logfiles]
messages.log => notice,warning,error,verbose(3)
CONF
    cat > "$d/etc/cdr.conf" <<CONF
[general]
enable = yes
CONF
    { echo "[modules]"; echo "autoload = no"
      sed -n 's/^\([a-z].*\)$/load = \1.so/p' "$here/asterisk-modules.txt"; } > "$d/etc/modules.conf"
    printf '[general]\nstarttime=1\nrtpstart=%s\nrtpend=%s\nstrictrtp=no\n' \
        "$RTP_FIRST" "$RTP_LAST" > "$d/etc/rtp.conf"
    printf '[general]\ncountry=us\n[us]\nringcadence=2000,4000\ndial=350+440\nring=440+480/2000,0/4000\n' \
        > "$d/etc/indications.conf"
    printf '[general]\nenabled=yes\nbindaddr=127.0.0.1\nbindport=%s\n' "$HTTP_PORT" \
        > "$d/etc/http.conf"
    printf '[general]\nenabled=yes\nchannelvars=GW_CALL,GW_CHECKPOINT\n[ivr]\ntype=user\nread_only=no\npassword=secret\n' \
        > "$d/etc/ari.conf"
}

write_pjsip() {
    cat <<CONF
[global]
type=global
endpoint_identifier_order=username,ip,anonymous
[udp]
type=transport
protocol=udp
bind=127.0.0.1:$SIP_PORT
[tcp]
type=transport
protocol=tcp
bind=127.0.0.1:$SIP_PORT
[trunk]
type=endpoint
context=house
disallow=all
allow=ulaw,alaw
dtmf_mode=rfc4733
direct_media=no
timers=yes
[trunk]
type=identify
endpoint=trunk
match=127.0.0.1
[port](!)
type=endpoint
context=house
disallow=all
allow=ulaw,alaw
dtmf_mode=rfc4733
direct_media=no
timers=always
[auth](!)
type=auth
auth_type=digest
supported_algorithms_uas=$ALGORITHM
[aor](!)
type=aor
max_contacts=1
remove_existing=yes
minimum_expiration=10
maximum_expiration=$MAX_EXPIRES
qualify_frequency=10
qualify_timeout=3
CONF
    local n
    for n in $(seq 6001 $((6000 + PORTS))) $(seq 7001 7004); do
        printf '[%s](port)\nauth=%s\naors=%s\ncallerid=%s <%s>\n' $n $n $n $n $n
        printf '[%s](auth)\nusername=%s\npassword=%s\n[%s](aor)\n' \
            $n $n "${PASSWORD:-pw-$n}" $n
    done
}

write_queue() {
    printf '[general]\npersistentmembers=no\n[ports]\nstrategy=rrmemory\nringinuse=no\n'
    printf 'timeout=10\nretry=1\njoinempty=yes\n'
    local n
    for n in $(seq 6001 $((6000 + PORTS))); do echo "member => PJSIP/$n,0,Port $n,PJSIP/$n"; done
}

write_dialplan() {
    cat <<'CONF'
[house]
exten => _6XXX,1,Dial(PJSIP/${EXTEN},30)
 same => n,Hangup()
exten => _700[1-4],1,Dial(PJSIP/${EXTEN},30)
 same => n,Hangup()
exten => 5000,1,Queue(ports,,,,60)
 same => n,Hangup()
exten => 5001,1,Set(PORT=6001)
 same => n(try),Dial(PJSIP/${PORT},10)
 same => n,Set(PORT=$[${PORT} + 1])
 same => n,GotoIf($["${DIALSTATUS}" = "ANSWER" | ${PORT} > 6030]?done:try)
 same => n(done),Hangup()
exten => 5010,1,Answer()
 same => n,Echo()
exten => 5011,1,Answer()
 same => n,Playtones(440)
 same => n,Wait(3600)
exten => 2001,1,Answer()
 same => n,Playtones(660)
 same => n,Wait(3600)
exten => _app-.,1,Stasis(${EXTEN:4},from-pbx)
 same => n,Hangup()
CONF
}

cli() { local d=$1; shift; "$peers/bin/asterisk" -C "$d/etc/asterisk.conf" -rx "$*"; }

start() {
    local d=$1
    [ ${#d} -le 80 ] || { echo "asterisk: the path $d is too long" >&2; exit 1; }
    rm -rf "$d"; mkdir -p "$d"/{etc,lib,data,spool,run,log}
    for name in documentation rest-api static-http; do
        ln -s "$root/usr/share/asterisk/$name" "$d/data/$name"
    done
    mkdir -p "$d/data/sounds" "$d/lib/keys"
    ln -s "${SOUNDS:-$root/usr/share/asterisk/sounds/en_US_f_Allison}" "$d/data/sounds/en"
    write_core "$d"
    write_pjsip > "$d/etc/pjsip.conf"
    write_queue > "$d/etc/queues.conf"
    write_dialplan > "$d/etc/extensions.conf"
    local more
    for more in ${FURTHER:+"$FURTHER"/*.conf}; do cat "$more" >> "$d/etc/${more##*/}"; done
    # shellcheck disable=SC2086 # several flags
    "$peers/bin/asterisk" ${FLAGS:-} -f -C "$d/etc/asterisk.conf" > "$d/log/stdout" 2>&1 < /dev/null &
    echo $! > "$d/pid"
    local try
    for try in $(seq 200); do
        kill -0 "$(cat "$d/pid")" 2>/dev/null || break
        cli "$d" core waitfullybooted 2>/dev/null | grep -q 'fully booted' && return 0
        sleep 0.1
    done
    echo "asterisk: did not start" >&2; tail -20 "$d/log/stdout" "$d/log/messages.log" >&2
    stop "$d"; exit 1
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
    cli) shift; cli "$@" ;;
    *) sed -n '2,20p' "$0"; exit 2 ;;
esac
