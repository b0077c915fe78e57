#!/bin/sh
# The app of deploy/compose.yaml: asks the tokend beside it for a token every five seconds, and says what it got.
trap exit TERM INT
while :; do
    answer=$(curl -sS -m 20 -w '\n%{http_code} in %{time_total} s' http://127.0.0.1:8650/client-credentials \
        -H 'content-type: application/json' -d '{"scopes": ["api://orders/.default"]}' 2>&1)
    # Everything but the token itself.
    printf '%s\n' "$answer" | tr '\n' ' ' | sed 's/"access_token":"[^"]*"/"access_token":"…"/'
    echo
    # In the background, so that the end need not wait for it.
    sleep 5 &
    wait $!
done
