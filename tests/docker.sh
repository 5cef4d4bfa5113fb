#!/usr/bin/env bash
# Containers, for real: builds the image, starts the cluster of docker-compose.yml, and cuts, heals, grows, drains and kills under writes.
# Checks at the end that every acknowledged write is there.
#
#   tests/docker.sh [BINARY]
#
# With a binary of `dynamokv` (as CI has) nothing is compiled and no image is pulled: the base is made of this system's own libraries.
# Without one the image is built as its users build it, which pulls two images. A Docker engine that runs is used; else Debian's
# is installed and started for the test alone. Exits with 77 where neither can be had.
set -euo pipefail
cd "$(dirname "$0")/.."

binary=${1:-}
work=$(mktemp -d)
project=dynamokv-test-$$
daemon=
export DYNAMOKV_IMAGE=$project DYNAMOKV_HTTP_PORT=0 DOCKER_BUILDKIT=1

say() { printf '%4ss  %s\n' "$SECONDS" "$*"; }
fail() { say "FAILED: $*"; exit 1; }
skip() { say "skipped: $*"; exit 77; }
as_root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi; }

compose() { docker-compose --project-name "$project" "$@"; }
containers() { docker ps --quiet --filter "label=com.docker.compose.project=$project" "$@"; }
# A command of the command line, within the container of the first node.
ask() { docker exec "$first" dynamokv "$@"; }

clean_up() {
    local code=$?
    if [ "$code" -ne 0 ] && [ "$code" -ne 77 ]; then
        for each in $(containers --all 2>/dev/null); do
            echo "-- $each"; docker logs --tail 15 "$each" 2>&1 || true
        done
    fi
    if docker info >/dev/null 2>&1; then
        compose down --volumes --timeout 2 >/dev/null 2>&1 || true
        docker image rm --force "$project" "$project-base" "$project-binaries" >/dev/null 2>&1 || true
    fi
    if [ -n "$daemon" ]; then
        as_root kill "$daemon" 2>/dev/null || true
        while as_root kill -0 "$daemon" 2>/dev/null; do sleep 0.2; done
    fi
    as_root rm -rf "$work"
}
trap clean_up EXIT

# until_so SECONDS WHAT COMMAND...: waits for a condition.
until_so() {
    local deadline=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$deadline" ] || fail "not in time: $what"
        sleep 0.3
    done
    say "$what"
}

# -- The engine

install_tools() {
    command -v dockerd >/dev/null && command -v docker-compose >/dev/null && return
    command -v apt-get >/dev/null || skip "no Docker engine here, and no apt-get to install one"
    say "installing Debian's docker.io and docker-compose"
    as_root apt-get update -qq || skip "packages cannot be had"
    as_root apt-get install -y -qq --no-install-recommends docker.io docker-compose iptables >/dev/null \
        || skip "docker.io cannot be installed"
}

start_engine() {
    export DOCKER_HOST=unix://$work/docker.sock
    as_root dockerd --host "$DOCKER_HOST" --data-root "$work/data" --exec-root "$work/exec" --pidfile "$work/pid" \
        >"$work/dockerd.log" 2>&1 &
    local deadline=$((SECONDS + 30))
    until docker info >/dev/null 2>&1; do
        if [ "$SECONDS" -ge "$deadline" ]; then
            tail -3 "$work/dockerd.log"
            skip "the engine does not start here"
        fi
        sleep 0.3
    done
    daemon=$(as_root cat "$work/pid")
}

if docker info >/dev/null 2>&1 && command -v docker-compose >/dev/null; then
    say "using the engine that runs"
else
    install_tools
    # Debian's client goes with Debian's engine.
    PATH=/usr/bin:/usr/sbin:$PATH
    start_engine
    say "an engine of its own is up"
fi

# -- The image

# What the binary is linked to, and nothing else.
make_base() {
    local root=$work/root
    mkdir -p "$root/etc" "$root/tmp"
    ldd "$1" | grep -o '/[^ ]*' | while read -r library; do
        mkdir -p "$root$(dirname "$library")"
        cp --dereference "$library" "$root$library"
    done
    # Names are looked up through these, which no binary names.
    for library in libnss_dns.so.2 libnss_files.so.2 libresolv.so.2; do
        found=$(ldconfig -p | grep -m1 -o "/.*x86-64.*/$library\|/.*/$library" | head -1)
        [ -z "$found" ] || { mkdir -p "$root$(dirname "$found")"; cp --dereference "$found" "$root$found"; }
    done
    echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
    tar -C "$root" -c . | docker import - "$project-base" >/dev/null
    mkdir -p "$work/binaries/out/data"
    strip --strip-debug -o "$work/binaries/out/dynamokv" "$1" 2>/dev/null || cp "$1" "$work/binaries/out/dynamokv"
    tar -C "$work/binaries" -c . | docker import - "$project-binaries" >/dev/null
}

if [ -n "$binary" ]; then
    make_base "$binary"
    docker build --quiet --tag "$project" --build-arg BINARIES="$project-binaries" \
        --build-arg BASE_IMAGE="$project-base" . >/dev/null
else
    docker build --tag "$project" .
fi
say "the image has $(docker image inspect --format '{{.Size}}' "$project" | numfmt --to=iec)"

# -- The cluster

members() { ask members --output json | grep -c '"in_ring": true'; }
has_members() { [ "$(members)" -eq "$1" ]; }
nothing_moves() { ask ring --output json | grep -q '"open": null'; }

compose up --detach --no-build --scale node=4 2>/dev/null
first=$(containers --filter label=com.docker.compose.service=first)
mapfile -t others < <(containers --filter label=com.docker.compose.service=node)
[ "${#others[@]}" -eq 4 ] || fail "there are ${#others[@]} containers of the service node"
until_so 90 "five members" has_members 5
until_so 60 "no change is open" nothing_moves
until_so 60 "all are healthy" bash -c \
    "[ \$(docker ps --quiet --filter label=com.docker.compose.project=$project --filter health=healthy | wc -l) -ge 5 ]"

# -- Writes, all of which must be there at the end

written=0
# Writes so many keys; an error ends the test, for no fault here may be seen by clients.
write() {
    local until=$((written + $1))
    while [ "$written" -lt "$until" ]; do
        ask put "key-$written" "value-$written" >/dev/null || fail "key-$written was not taken"
        written=$((written + 1))
    done
    say "$written keys are written"
}
agrees() { ask locate "$1" --output json | grep -q '"agreed": true'; }
all_agree() { for ((key = 0; key < written; key++)); do agrees "key-$key" || return 1; done; }
no_hints() { ! ask hints --all --output json | grep -q '"objects": [1-9]'; }
all_there() {
    for ((key = 0; key < written; key++)); do
        [ "$(ask get "key-$key")" = "value-$key" ] || fail "key-$key is not what was written"
    done
    say "all $written keys are there"
}

write 40
network=${project}_cluster
docker network disconnect "$network" "${others[0]}"
say "one node is cut off"
write 40
docker network connect "$network" "${others[0]}"
until_so 90 "all copies are equal again, without a read" all_agree
until_so 60 "nobody holds anything for others" no_hints

compose up --detach --no-build --no-recreate --scale node=5 2>/dev/null
until_so 90 "a sixth member" has_members 6
write 10

drained=${others[1]}
docker exec "$drained" dynamokv leave --yes >/dev/null
until_so 120 "a member is drained" has_members 5
docker rm --force --volumes "$drained" >/dev/null
write 10

docker kill --signal KILL "${others[2]}" >/dev/null
say "one node is killed"
write 20
all_there

gateway=$(containers --filter label=com.docker.compose.service=gateway)
port=$(docker port "$gateway" 8080/tcp | head -1)
for ((key = 0; key < written; key += 10)); do
    [ "$(curl --silent --fail "http://$port/v1/keyspaces/default/keys/key-$key")" = "value-$key" ] \
        || fail "the gateway does not have key-$key"
done
say "the gateway has them too"
say "passed"
