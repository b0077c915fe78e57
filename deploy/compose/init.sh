#!/bin/sh
# Makes what the services of deploy/compose.yaml must have before they start: a CA with certificates for Redis and the emulator, the ACL
# file, the key ring. Once: what is there stays.
set -eu
umask 077
made=/made

# certificate NAME: a key and a certificate for the service of that name, in its volume.
certificate() {
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" -keyout "$made/$1/$1.key" -out "$1.csr" 2>/dev/null
    printf 'subjectAltName=DNS:%s\nextendedKeyUsage=serverAuth\n' "$1" >"$1.ext"
    openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days 825 -extfile "$1.ext" -out "$made/$1/$1.pem" 2>/dev/null
}

if [ ! -e "$made/tokend/key-ring" ]; then
    cd /tmp
    # Its key goes with this container.
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj '/CN=tokend compose CA' \
        -addext 'keyUsage=critical,keyCertSign,cRLSign' -keyout ca.key -out ca.pem 2>/dev/null
    certificate redis
    certificate emulator
    cp ca.pem "$made/tokend/"
    cp ca.pem "$made/redis/"

    password=$(openssl rand -hex 32)
    printf '%s\n' "$password" >"$made/tokend/redis-password"
    # The rights that docs/cache.md lists; the default user has none.
    cat >"$made/redis/users.acl" <<ACL
user default off
user tokend on >$password resetkeys resetchannels -@all ~tokend:* &tokend:events +get +mget +set +del +pttl +pexpire +zadd +zrem +zrevrange +zrangebyscore +zremrangebyscore +zremrangebyrank +eval +evalsha +publish +subscribe +ping
ACL

    # The emulator's own, for tests only.
    printf 'daemon-secret-for-tests-only\n' >"$made/tokend/client-secret"
    # As `tokend key-ring new` makes it; this image has a shell to write it to a file. Last: it says that all is done.
    printf 'name:%s\nk1:%s\n' "$(openssl rand -base64 32)" "$(openssl rand -base64 32)" >key-ring
    cp key-ring "$made/tokend/key-ring"
fi

# Numbers: who reads them has no name here.
chown -R 65532:65532 "$made/tokend" "$made/emulator"
chown -R 999:999 "$made/redis"
echo 'certificates, passwords and keys are in their volumes'
