#!/bin/sh
# Every file of kernels says in its head how to run them alone, as `make simt-run OP=...`. Runs these commands: heads.sh SIMT_RUN
set -eu
simt_run=$1
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for file in $(grep -lE '__global__|"cuda/elementwise.cuh"' native/cuda/*.cuh); do
    sed -n 's,^// *\(.*\)make simt-run \(OP=.*\)$,\1 \2,p' "$file" > "$log"
    [ -s "$log" ] || { echo "$file: its head does not say how to run it alone" >&2; exit 1; }
    while read -r command; do
        # shellcheck disable=SC2086,SC2016
        output=$(env $command sh -c '"$0" "$OP" "${M:-}" "${N:-}" "${K:-}" "${DTYPE:-bf16}"' "$simt_run" 2>&1 < /dev/null) ||
            { printf '%s: %s\n%s\n' "$file" "$command" "$output" >&2; exit 1; }
    done < "$log"
done
