#!/usr/bin/env bash
# The request path on nodes of their own processes on loopback: N = 3, R = 2, W = 2, 100,000 keys of 20 bytes, values of 1 KiB.
#
#   benches/cluster.sh [--quick] [--seconds NUMBER] [--engine rocksdb|memory] [--bin FILE] [--keep FOLDER]
#   benches/cluster.sh --nodes 3,5,9 [--rate NUMBER]
#   benches/cluster.sh --nodes 3,5,9 --instructions
#   benches/cluster.sh --memory
#
# Pure put, pure get, 50/50 and 95/5; 1, 16, 64 and 256 in flight; unary and pipelined; durability `sync` and `os`: three times, each
# time on new nodes, interleaved. CPU time is the operating system's account of the nodes' processes. Writes the medians into
# docs/benchmarks.md, beside what the machine gives without a store. Takes half an hour, and nothing else should run meanwhile.
#
# With --nodes: clusters of so many nodes at equal load, so many requests a second; into docs/performance.md. With --instructions the nodes
# run under callgrind, which counts theirs, at two rates: what a request adds. With --memory: what an idle node takes, and what a key
# takes beyond the engine's own memory; both likewise.
#
#   --quick     one time, 10,000 keys, 64 in flight only, two seconds each; prints the medians and writes nothing, as with another engine
#   --seconds   measured time of each run (5)
#   --rate      requests a second with --nodes (1000)
#   --bin       a built `dynamokv`; without it the release build is made
#   --keep      keeps the results of every run as JSON in this folder
set -euo pipefail
cd "$(dirname "$0")/.."

quick=
seconds=5
nodes=3
sizes=
rate=1000
instructions=
memory=
engine=rocksdb
bin=
keep=
while [ $# -gt 0 ]; do
    case "$1" in
        --quick) quick=yes; shift; continue ;;
        --seconds) seconds=$2 ;;
        --instructions) instructions=yes; shift; continue ;;
        --memory) memory=yes; shift; continue ;;
        --nodes) sizes=${2//,/ } ;;
        --rate) rate=$2 ;;
        --engine) engine=$2 ;;
        --bin) bin=$(realpath "$2") ;;
        --keep) keep=$2 ;;
        *) sed -n '2,/^set/{s/^# \?//p}' "$0" >&2; exit 2 ;;
    esac
    shift 2
done

# As docs/operations.md has it for nodes that share cores.
batch=
under=
if command -v chrt >/dev/null; then batch="chrt --batch 0"; fi

keys=100000
value=1024
workloads=put,get,a,b
in_flight=1,16,64,256
times=3
warm_up=2
memory_keys=1000000
if [ -n "$quick" ]; then
    seconds=2 warm_up=1 in_flight=64 times=1 keys=10000 memory_keys=10000
fi

work=$(mktemp -d)
results=${keep:-$work/results}
mkdir -p "$results"
pids=()
addresses=()
admins=()

say() { printf '%5ss  %s\n' "$SECONDS" "$*" >&2; }
fail() {
    say "FAILED: $*"
    tail -n 20 "$work"/node*.err >&2 2>/dev/null || true
    exit 1
}

# until_so SECONDS WHAT COMMAND...: waits for a condition.
until_so() {
    local deadline=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$deadline" ] || fail "not in time: $what"
        sleep 0.2
    done
}

stop_cluster() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
    pids=()
    addresses=()
    admins=()
    rm -rf "$work"/node*
}
clean_up() {
    stop_cluster
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

joined() { local IFS=,; echo "$*"; }
ask() { "$bin" --output json "$@"; }

# -- Nodes

start_node() { # DURABILITY ARGUMENT...
    local node=$work/node${#pids[@]}
    TOKIO_WORKER_THREADS=$threads $batch $under "$bin" serve --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 --engine "$engine" \
        --durability "$1" --data-dir "$node.data" \
        --name "n${#pids[@]}" "${@:2}" >"$node.out" 2>"$node.err" &
    pids+=($!)
    until_so 30 "a node listens" grep -q ' listens on ' "$node.out"
    addresses+=("$(sed -n 's/.* listens on \([^ ,]*\).*/\1/p' "$node.out")")
    admins+=("$(sed -n "s/.* for operators' tools on \([^ ,]*\).*/\1/p" "$node.out")")
}

# Every node sees all of them live, and no membership change is open.
is_settled() {
    local address
    for address in "${addresses[@]}"; do
        ask ring --node "$address" | python3 benches/cluster_table.py settled "$nodes" || return 1
    done
}

start_cluster() { # DURABILITY
    # The nodes share the machine: more threads than cores would measure how they get in each other's way.
    threads=$(($(nproc) / nodes))
    [ "$threads" -ge 1 ] || threads=1
    start_node "$1" --bootstrap
    until_so 30 "the first node is a member" ask ring --node "${addresses[0]}"
    while [ "${#pids[@]}" -lt "$nodes" ]; do
        start_node "$1" --seed "${addresses[0]}"
    done
    until_so 300 "all $nodes nodes are members" is_settled
}

# -- Measuring requests

bench() { # NAME ARGUMENT...
    "$bin" bench --node "$(joined "${addresses[@]}")" --watch-pids "$(joined "${pids[@]}")" --records "$keys" --value "$value" \
        --pattern uniform --duration "$seconds" --warm-up "$warm_up" --save "$results/$1.json" "${@:2}" >>"$work/log"
}

measure() { # DURABILITY TIME
    local mode rate workload
    say "time $2 of $times, durability $1"
    start_cluster "$1"
    seconds=1 bench "$1-fill" get --mode pipelined
    for mode in unary pipelined; do
        bench "$1-$mode-$2" "$workloads" --mode "$mode" --in-flight "$in_flight"
    done
    [ -z "$quick" ] || { stop_cluster; return; }
    # Half of what the closed loops reached.
    for workload in put get; do
        rate=$(python3 benches/cluster_table.py half "$workload" "$results/$1-unary-$2.json")
        bench "$1-half-$workload-$2" "$workload" --rate "$rate"
    done
    stop_cluster
}

# -- Measuring nodes

# CPU and memory of the nodes while nobody asks them anything.
idle() { # NAME
    python3 benches/cluster_table.py idle "$seconds" "$(joined "${pids[@]}")" "$(joined "${admins[@]}")" >"$results/$1.json"
}

measure_scale() { # TIME
    for nodes in $sizes; do
        say "time $1 of $times, $nodes nodes"
        start_cluster sync
        idle "idle-$nodes-$1"
        seconds=1 bench "fill-$nodes" get --mode pipelined
        bench "scale-$nodes-$1" put,get,a --rate "$rate"
        stop_cluster
    done
}

# Instructions of all nodes since they were counted last.
counted() {
    local pid files=()
    dumps=$((dumps + 1))
    for pid in "${pids[@]}"; do
        callgrind_control --dump "$pid" >/dev/null
        files+=("$work/callgrind.$pid.$dumps")
        until_so 30 "instructions are counted" grep -s '^totals:' "${files[-1]}"
    done
    awk '/^totals:/ { all += $2 } END { printf "%d\n", all }' "${files[@]}"
}

# Two rates, so that what the nodes do anyhow, and what the load tool asks before it begins, cancels out.
measure_instructions() {
    local workload
    strip --strip-debug -o "$work/dynamokv" "$bin" # valgrind would read it for minutes
    for nodes in $sizes; do
        say "$nodes nodes under callgrind"
        under="valgrind --tool=callgrind --callgrind-out-file=$work/callgrind.%p"
        bin=$work/dynamokv start_cluster sync
        seconds=1 bench "fill-$nodes" get --mode pipelined
        dumps=0
        for workload in put get a; do
            for rate in 50 250; do
                counted >/dev/null
                bench "instructions-$nodes-$workload-$rate" "$workload" --rate "$rate"
                counted >"$results/counted-$nodes-$workload-$rate"
            done
        done
        stop_cluster
    done
}

# Keys of 20 bytes with values of 10.
measure_memory() { # TIME
    say "time $1 of $times, memory"
    start_cluster os
    idle "memory-0-$1"
    keys=$memory_keys value=10 seconds=1 bench fill-memory get --mode pipelined
    idle "memory-$memory_keys-$1"
    stop_cluster
}

if [ -n "$instructions" ] && [ -z "$sizes" ]; then
    say "--instructions wants --nodes"
    exit 2
fi
if [ -z "$bin" ]; then
    cargo build --release -p dynamokv-cli
    bin=$(realpath "${CARGO_TARGET_DIR:-target}/release/dynamokv")
fi
what=matrix page=docs/benchmarks.md
if [ -n "$instructions" ]; then
    scripts/setup.sh valgrind
    what=instructions page=docs/performance.md
    times=1 keys=200 warm_up=0 seconds=15
elif [ -n "$sizes" ]; then
    what=scale page=docs/performance.md
elif [ -n "$memory" ]; then
    what=memory page=docs/performance.md
else
    cargo build --release -p dynamokv-loadgen --example baseline
    baseline=$(realpath "${CARGO_TARGET_DIR:-target}/release/examples/baseline")
fi

for time in $(seq "$times"); do
    case "$what" in
        scale) measure_scale "$time" ;;
        instructions) measure_instructions ;;
        memory) measure_memory "$time" ;;
        matrix)
            "$baseline" "$work" "$seconds" >"$results/baseline-$time.json"
            for durability in sync os; do
                measure "$durability" "$time"
            done
            ;;
    esac
done
if [ -n "$quick" ] || [ "$engine" != rocksdb ]; then
    python3 benches/cluster_table.py print "$what" "$results"
else
    python3 benches/cluster_table.py write "$what" "$results" "$page"
fi
