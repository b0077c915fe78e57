#!/bin/sh
# Makes what the services of deploy/compose.yaml must have before they start: a CA and a certificate for Redis, its ACL file, the key ring.
# Once: what is there stays.
set -eu
umask 077
made=/made

if [ ! -e "$made/tokend/key-ring" ]; then
    cd /tmp
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj '/CN=tokend compose CA' \
        -addext 'keyUsage=critical,keyCertSign,cRLSign' -keyout ca.key -out ca.pem 2>/dev/null
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=redis -keyout redis.key -out redis.csr 2>/dev/null
    printf 'subjectAltName=DNS:redis\nextendedKeyUsage=serverAuth\n' >redis.ext
    openssl x509 -req -in redis.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 825 -extfile redis.ext -out redis.pem 2>/dev/null
    cp ca.pem redis.pem redis.key "$made/redis/"
    cp ca.pem "$made/tokend/redis-ca.pem"

    password=$(openssl rand -hex 32)
    printf '%s\n' "$password" >"$made/tokend/redis-password"
    # The rights that docs/cache.md lists; the default user has none.
    cat >"$made/redis/users.acl" <<ACL
user default off
user tokend on >$password resetkeys resetchannels -@all ~tokend:* &tokend:events +get +mget +set +del +pttl +pexpire +zadd +zrem +zrevrange +zremrangebyscore +zremrangebyrank +zscan +eval +evalsha +publish +subscribe +ping
ACL

    # The emulator's own, for tests only.
    printf 'daemon-secret-for-tests-only\n' >"$made/tokend/client-secret"
    # As `tokend key-ring new` makes it; this image has a shell to write it to a file. Last: it says that all is done.
    printf 'name:%s\nk1:%s\n' "$(openssl rand -base64 32)" "$(openssl rand -base64 32)" >/tmp/key-ring
    cp /tmp/key-ring "$made/tokend/key-ring"
fi

# Numbers: who reads them has no name here. The emulator writes its CA for tokend.
chown -R 65532:65532 "$made/tokend" "$made/authority"
chown -R 999:999 "$made/redis"
echo 'certificates, passwords and keys are in their volumes'
