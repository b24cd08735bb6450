#!/bin/sh
# Installs the Debian packages of the laboratory (tests/lab), where it may and where they are missing.
# Arguments: pairs of a command and its package that are needed as well, for a benchmark.
set -eu
missing=
need() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || missing="$missing $2"; }
need ip iproute2
need nft nftables
need turnserver coturn
need miniupnpd miniupnpd-nftables # the program alone; the package miniupnpd would bring a service
need openssl openssl
need socat socat
need ssh openssh-client
need sshd openssh-server
need rsync rsync
need git git
need curl curl
need prlimit util-linux
need ping iputils-ping
need traceroute traceroute
need dig bind9-dnsutils
need prosody prosody
need pulseaudio pulseaudio
need pactl pulseaudio-utils
need espeak-ng espeak-ng
need iperf3 iperf3
need dnsmasq dnsmasq-base
ls /usr/lib/*/libportaudio.so.2 >/dev/null 2>&1 || missing="$missing libportaudio2"
while [ $# -gt 1 ]; do
    need "$1" "$2"
    shift 2
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "the laboratory's tests need root on Debian, and the packages:$missing; they will be skipped" >&2
    exit 0
fi
echo "installing$missing ..."
export DEBIAN_FRONTEND=noninteractive
# No service is started on the machine: the tests run their own, in the laboratory.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
    trap 'rm -f "$policy"' EXIT
fi
apt-get update -qq
# shellcheck disable=SC2086  # a list of names
apt-get install -y -qq --no-install-recommends $missing >/dev/null
