#!/bin/sh
# Checks and measures nf4j on this machine's GPU, in at most eight minutes, with nothing but what is in this kit:
#
#     sh run.sh [--model MODEL.gguf] [--out FOLDER] [--seconds N] [--smoke]
#
# FOLDER (default: result) gets result.json, result.md and log.txt, written anew after every step, and kernels-*.json, result
# files of nf4j-bench. Every step has a time limit, and those after it run whatever it did; none begins after N seconds
# (default: 440). With a model the demo is trained on the GPU. NF4J_CUBLAS names a cuBLAS that is not found by itself. Where
# python3 has torch, transformers and peft, PEFT trains beside nf4j. --smoke runs small sizes on simt, to see that the kit
# works. The exit code is 0 when no step failed.
KIT=$(cd "$(dirname "$0")" && pwd)
BACKEND=cuda
MODEL=
out=result
total=440
while [ $# -gt 0 ]; do
    case $1 in
        --smoke) BACKEND=simt; shift ;;
        --model) MODEL=$(readlink -f "$2"); shift 2 ;;
        --out) out=$2; shift 2 ;;
        --seconds) total=$2; shift 2 ;;
        *) sed -n '2,11s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    esac
done
mkdir -p "$out"
OUT=$(cd "$out" && pwd)
WORK=$(mktemp -d)
export KIT BACKEND MODEL WORK OUT
log=$OUT/log.txt
: > "$log"
: > "$WORK/steps"
rm -f "$OUT"/kernels-*.json

begin=$(date +%s)
failed=0
commit=$(cat "$KIT/COMMIT")
facts='none: simt on the host, nothing here is a measurement'
sampler=
if [ "$BACKEND" = cuda ]; then
    facts=$(timeout 10 nvidia-smi --query-gpu=name,driver_version,clocks.max.sm,clocks.sm,memory.total --format=csv,noheader | head -n 1)
    # cuBLAS comes with other people's packages, in folders of their own: the newest.
    if [ -z "${NF4J_CUBLAS:-}" ]; then
        found=$(timeout 20 find /usr/lib /usr/local /opt /root /home -name 'libcublas.so.1[23]' 2>/dev/null | sort -t . -k 3nr | head -n 1)
        [ -n "$found" ] && export NF4J_CUBLAS="$found"
    fi
    nvidia-smi --query-gpu=timestamp,clocks.sm,clocks.mem,temperature.gpu,power.draw,utilization.gpu --format=csv -l 2 > "$OUT/clocks.csv" 2>&1 &
    sampler=$!
fi
trap '[ -n "$sampler" ] && kill "$sampler"; rm -rf "$WORK"' EXIT

lines() { # the JSON lines of a file, as elements of an array
    grep '^{' "$1" 2>/dev/null | awk '{ printf "%s\n  %s", (NR > 1) ? "," : "", $0 }'
}

# One JSON file, one table. A run that is cut off leaves those of the last step that it finished.
report() {
    {
        printf '{"schema": "nf4j-gpu-check/2", "commit": "%s", "device": "%s", "seconds": %s,\n "steps": [' "$commit" "$facts" $(($(date +%s) - begin))
        awk -F'|' '{ printf "%s\n  {\"name\": \"%s\", \"status\": \"%s\", \"seconds\": %s}", (NR > 1) ? "," : "", $1, $2, $3 }' "$WORK/steps"
        printf '\n ],\n "race": ['
        lines "$WORK/race.jsonl"
        printf '\n ],\n "peft": ['
        lines "$WORK/peft.jsonl"
        printf '\n ]}\n'
    } > "$OUT/result.json"
    {
        printf '# nf4j on a GPU\n\nDevice (name, driver, most and present SM clock, memory): %s. Commit %s.\n\n' "$facts" "$commit"
        printf '| step | result | seconds |\n|---|---|---|\n'
        awk -F'|' '{ printf "| %s | %s | %s |\n", $1, $2, $3 }' "$WORK/steps"
        if [ -s "$WORK/race.jsonl" ]; then
            printf '\n## Training steps of TinyLlama-1.1B: QLoRA beside LoRA on the unquantized base, medians\n\n'
            printf '| tokens | QLoRA, ms | LoRA, ms | QLoRA / LoRA | goal: at most 1 |\n|---|---|---|---|---|\n'
            sed -n 's/.*"tokens":\([0-9]*\),"qlora_seconds":\[\([^]]*\)\],"lora_seconds":\[\([^]]*\)\],"ratio":\([0-9.eE-]*\),"met":\([a-z]*\).*/\1 \2 \3 \4 \5/p' "$WORK/race.jsonl" |
                awk 'function median(list, v, n, i, j, t) { n = split(list, v, ","); for (i = 1; i <= n; i++) for (j = i + 1; j <= n; j++) if (v[j] + 0 < v[i] + 0) { t = v[i]; v[i] = v[j]; v[j] = t }; return v[int((n + 1) / 2)] * 1000 }
                     { printf "| %s | %.1f | %.1f | %.3f | %s |\n", $1, median($2), median($3), $4, ($5 == "true") ? "met" : "missed" }'
        fi
        if [ -s "$WORK/peft.md" ]; then
            printf '\n## The same steps in PEFT: LoRA in BF16 on the unquantized base, PyTorch as it comes\n\n'
            cat "$WORK/peft.md"
        fi
        for table in "$WORK"/kernels-*.md; do
            [ -f "$table" ] || continue
            family=${table##*kernels-}
            printf '\n## Kernels: %s\n\n' "${family%.md}"
            cat "$table"
        done
    } > "$OUT/result.md"
}

# step NAME LIMIT COMMAND...: runs it for LIMIT seconds at most, and not beyond the end of all of it.
step() {
    name=$1 limit=$2 left=$((total - $(date +%s) + begin))
    shift 2
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
    report
}

steps() { # a step of steps.sh: NAME LIMIT FUNCTION [ARGUMENT]
    name=$1 limit=$2
    shift 2
    step "$name" "$limit" sh "$KIT/steps.sh" "$@"
}

steps facts 20 facts
step doctor 60 "$KIT/nf4j" doctor
steps conformance 90 conformance
step 'native tests' 30 "$KIT/lib/test/device_test" "$BACKEND"
step graphs 20 "$KIT/lib/test/graph_test" "$BACKEND"
steps 'training fixtures' 60 fixtures
for family in nf4 lora optim layers; do steps "kernels: $family" 60 kernels $family; done
steps 'QLoRA beside LoRA' 70 race
steps 'PEFT' 90 peft
steps demo 60 demo
for tool in memcheck racecheck synccheck; do steps "compute-sanitizer: $tool" 40 sanitize $tool; done
if [ -f "$OUT/clocks.csv" ]; then
    printf '\n== clocks\n' >> "$log"
    cat "$OUT/clocks.csv" >> "$log"
    rm "$OUT/clocks.csv"
fi
echo "$OUT/result.json, $OUT/result.md, $OUT/log.txt; $(($(date +%s) - begin)) seconds"
exit $failed
