# For the tests between two machines (each is a program of its own beside this file): scripts/soft-roce pair runs the
# program on both, in the role a or b. To be sourced.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."
programs=$(dirname "${VERBENA_SERVER:-target/debug/verbena-server}")
port=6379
export PATH="$PATH:/usr/sbin:/sbin"

fail() { echo "FAILED: $*" >&2; exit 1; }

# Runs "$1" on both machines, with the options of `scripts/soft-roce pair` that follow; ends this program.
on_both() {
    local program=$1
    shift
    exec scripts/soft-roce pair --timeout 300 "$@" -- "$program" -- "$program"
}

# await SECONDS COMMAND...: until it succeeds.
await() {
    local limit=$1 deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS < deadline)) || fail "not within $limit s: $*"
        sleep 0.2
    done
}

# What one machine tells the other: say NAME, and await SECONDS heard NAME.
say() { touch "$VERBENA_PAIR_DIR/said-$1"; }
heard() { [[ -e $VERBENA_PAIR_DIR/said-$1 ]]; }

# Starts a server on this machine's address, over TCP and RDMA; its log is server.log, its process $server.
start_server() {
    "$programs/verbena-server" --port $port --bind "$VERBENA_RDMA_ADDR" 127.0.0.1 --protected-mode no \
        --rdma-bind "$VERBENA_RDMA_ADDR" --rdma-port $port --rdma-poll-us 0 --save '' >/tmp/server.log 2>&1 &
    server=$!
    await 30 grep -q 'Ready to accept connections rdma' /tmp/server.log
}

# Queue pairs of the processes of this machine, but for the connection manager's own.
queue_pairs() { rdma resource show qp | grep -c ' type RC ' || true; }
no_queue_pairs() { [[ $(queue_pairs) == 0 ]]; }
