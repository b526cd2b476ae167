#!/usr/bin/env bash
# local.sh N COMMAND ...: `mimic COMMAND ... --resume` as N processes on this machine that train together.
set -euo pipefail
count=$1
shift
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
processes=()
trap 'kill -TERM "${processes[@]}" 2>/dev/null || true' TERM INT
for ((index = 0; index < count; index++)); do
  mimic "$@" --resume --cluster.join --cluster.coordinator "127.0.0.1:$port" \
    --cluster.num-processes "$count" --cluster.process-id "$index" &
  processes+=($!)
done
code=0
for process in "${processes[@]}"; do
  until wait "$process"; do  # a signal to this script ends a `wait`, not the process
    ended=$?
    if ! kill -0 "$process" 2>/dev/null; then code=$ended; break; fi
  done
done
exit "$code"
