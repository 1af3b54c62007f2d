#!/bin/sh
# Checks and measures nf4j on this machine's GPU, in at most eight minutes, with nothing but what is in this kit:
#
#     sh run.sh [--model MODEL.gguf] [--out FOLDER] [--smoke]
#
# FOLDER (default: result) gets result.json, result.md and log.txt, and kernels.json, a result file of nf4j-bench. Every step has a
# time limit, and those after it run whatever it did. With a model the demo is trained on the GPU. NF4J_CUBLAS names a cuBLAS that
# is not found by itself. --smoke runs small sizes on simt, to see that the kit works. The exit code is 0 when no step failed.
KIT=$(cd "$(dirname "$0")" && pwd)
BACKEND=cuda
MODEL=
out=result
while [ $# -gt 0 ]; do
    case $1 in
        --smoke) BACKEND=simt; shift ;;
        --model) MODEL=$(readlink -f "$2"); shift 2 ;;
        --out) out=$2; shift 2 ;;
        *) sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    esac
done
mkdir -p "$out"
out=$(cd "$out" && pwd)
WORK=$(mktemp -d)
export KIT BACKEND MODEL WORK
log=$out/log.txt
: > "$log"
: > "$WORK/steps"

begin=$(date +%s)
total=470 # seconds for all of it
failed=0

# cuBLAS comes with other people's packages, in folders of their own.
if [ "$BACKEND" = cuda ] && [ -z "${NF4J_CUBLAS:-}" ]; then
    found=$(timeout 20 find /usr/lib /usr/local /opt /root /home -name 'libcublas.so.1[23]' 2>/dev/null | sort -r | head -n 1)
    [ -n "$found" ] && export NF4J_CUBLAS="$found"
fi
sampler=
if [ "$BACKEND" = cuda ]; then
    nvidia-smi --query-gpu=timestamp,clocks.sm,clocks.mem,temperature.gpu,power.draw,utilization.gpu --format=csv -l 2 > "$WORK/clocks.csv" 2>&1 &
    sampler=$!
fi
trap '[ -n "$sampler" ] && kill "$sampler"; rm -rf "$WORK"' EXIT

# step NAME LIMIT KEPT COMMAND...: runs it for LIMIT seconds at most, and for no longer than leaves KEPT seconds to those that follow.
step() {
    name=$1 limit=$2 left=$((total - $3 - $(date +%s) + begin))
    shift 3
    [ "$limit" -gt "$left" ] && limit=$left
    started=$(date +%s)
    printf '\n== %s (at most %s s)\n' "$name" "$limit" >> "$log"
    if [ "$limit" -lt 1 ]; then
        code=124
    else
        timeout -k 5 "$limit" "$@" >> "$log" 2>&1
        code=$?
    fi
    case $code in
        0) status=passed ;;
        77) status=skipped ;;
        124 | 137) status='out of time' ;;
        *) status="failed with $code" ;;
    esac
    [ $code -eq 0 ] || [ $code -eq 77 ] || failed=1
    echo "$name|$status|$(($(date +%s) - started))" | tee -a "$WORK/steps" | tr '|' '\t'
}

small=--small
full=
[ "$BACKEND" = simt ] && small='--small --op norm' && full='--small --op rope' # the test of the kit is not the test of the kernels
step facts 20 440 sh "$KIT/steps.sh" facts
step doctor 90 390 "$KIT/nf4j" doctor
# shellcheck disable=SC2086
step 'conformance, small' 60 370 "$KIT/lib/test/conformance" --backend "$BACKEND" $small
# shellcheck disable=SC2086
step 'conformance, all' 90 290 "$KIT/lib/test/conformance" --backend "$BACKEND" $full
step 'native tests' 30 280 "$KIT/lib/test/device_test" "$BACKEND"
step graphs 10 275 "$KIT/lib/test/graph_test" "$BACKEND"
step 'training fixtures' 60 250 sh "$KIT/steps.sh" fixtures
step 'benchmarks of kernels' 130 110 sh "$KIT/steps.sh" kernels
step 'benchmarks of steps' 90 40 sh "$KIT/steps.sh" race
step demo 90 20 sh "$KIT/steps.sh" demo
step compute-sanitizer 80 0 sh "$KIT/steps.sh" sanitize

# ---- one JSON file, one table ---------------------------------------------------------------------------------------------

commit=$(cat "$KIT/COMMIT")
facts=$(timeout 10 nvidia-smi --query-gpu=name,driver_version,clocks.max.sm,clocks.sm,memory.total --format=csv,noheader 2>/dev/null | head -n 1)
[ "$BACKEND" = simt ] && facts='none: simt on the host, nothing here is a measurement'
{
    printf '{"schema": "nf4j-gpu-check/1", "commit": "%s", "device": "%s", "seconds": %s,\n "steps": [' "$commit" "$facts" $(($(date +%s) - begin))
    awk -F'|' '{ printf "%s\n  {\"name\": \"%s\", \"status\": \"%s\", \"seconds\": %s}", (NR > 1) ? "," : "", $1, $2, $3 }' "$WORK/steps"
    printf '\n ],\n "race": ['
    grep '^{' "$WORK/race.jsonl" 2>/dev/null | awk '{ printf "%s\n  %s", (NR > 1) ? "," : "", $0 }'
    printf '\n ],\n "kernels": '
    if cp "$WORK/kernels.json" "$out/kernels.json" 2>/dev/null; then echo '"kernels.json"'; else echo null; fi
    echo '}'
} > "$out/result.json"
{
    printf '# nf4j on a GPU\n\nDevice (name, driver, most and present SM clock, memory): %s. Commit %s.\n\n' "$facts" "$commit"
    printf '| step | result | seconds |\n|---|---|---|\n'
    awk -F'|' '{ printf "| %s | %s | %s |\n", $1, $2, $3 }' "$WORK/steps"
    if [ "$BACKEND" = cuda ]; then
        printf '\n## Training steps: QLoRA beside LoRA on the unquantized base\n\n| tokens | QLoRA / LoRA, medians | goal: at most 1 |\n|---|---|---|\n'
        sed -n 's/.*"tokens":\([0-9]*\).*"ratio":\([0-9.eE-]*\),"met":\([a-z]*\).*/\1 \2 \3/p' "$WORK/race.jsonl" 2>/dev/null |
            awk '{ printf "| %s | %.3f | %s |\n", $1, $2, ($3 == "true") ? "met" : "missed" }'
    fi
    printf '\n## Kernels\n\n'
    cat "$WORK/kernels.md" 2>/dev/null || echo 'not measured'
} > "$out/result.md"
[ -f "$WORK/clocks.csv" ] && { printf '\n== clocks\n'; cat "$WORK/clocks.csv"; } >> "$log"
echo "$out/result.json, $out/result.md, $out/log.txt; $(($(date +%s) - begin)) seconds"
exit $failed
