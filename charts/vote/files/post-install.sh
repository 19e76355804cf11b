#!/bin/sh
# What the release does once its content is on the volume: edit the page, then wait until the application answers.
#   CONTENT   where the volume is mounted (default /data)
#   VOTE_URL  the application (default http://vote:5000)
# It may wait for ever: the runner's --timeout is the limit.
set -eu

content=${CONTENT:-/data}
url=${VOTE_URL:-http://vote:5000}
page=$content/templates/index.html

# One request with whatever the image has; each succeeds on status 200 only.
with_curl() { [ "$(curl -s -o /dev/null -m 5 -w '%{http_code}' "$url")" = 200 ]; }
with_python3() {
    python3 -c 'import sys, urllib.request as r; sys.exit(r.urlopen(sys.argv[1], timeout=5).status != 200)' "$url"
}
with_wget() { wget -q -T 5 -O /dev/null "$url"; }
with_nc() {
    authority=${url#http://} && authority=${authority%%/*}
    printf 'GET / HTTP/1.0\r\nHost: %s\r\n\r\n' "$authority" |
        nc -w 5 "${authority%:*}" "${authority##*:}" | head -n 1 | grep -q '^HTTP/[0-9.]* 200'
}

# A client that is there but does not work (a static busybox's wget) must not hide the next one: each is tried.
answers() {
    clients=0
    for client in curl python3 wget nc; do
        command -v "$client" >/dev/null 2>&1 || continue
        clients=1
        ("with_$client") >/dev/null 2>&1 && return 0
    done
    [ "$clients" = 1 ] && return 1
    echo "post-install: the image has none of curl, python3, wget, nc to ask $url with" >&2
    exit 127
}

until [ -f "$page" ]; do sleep 1; done
echo "post-install: found $page"

sed -i 's/vs/or/g' "$page"
echo "post-install: replaced vs by or in $page"

echo "post-install: waiting for $url to answer 200"
until answers; do sleep 1; done
echo "post-install: $url answers 200"
