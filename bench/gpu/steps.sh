#!/bin/sh
# The steps of run.sh that are more than one command: steps.sh NAME [ARGUMENT]. The environment says KIT, WORK, OUT, BACKEND and
# MODEL.
set -u

# What this machine is.
facts() {
    cat "$KIT/COMMIT"
    uname -srm
    grep -m 1 'model name' /proc/cpuinfo
    [ "$BACKEND" = simt ] && return
    nvidia-smi
    nvidia-smi -q -d CLOCK,POWER,PERFORMANCE,ECC
}

# The operations, or on simt two of them: the test of the kit is not the test of the kernels.
operations() {
    if [ "$BACKEND" = simt ]; then
        printf '%s\n' norm_forward rope_forward
    else
        "$KIT/lib/test/conformance" --list | sed 's|/.*||' | sort -u
    fi
}

# Runs "$@" --backend ... --op OPERATION for each operation, all at once: an operation that loses the device is alone with it, and
# the models in double take one core each.
for_operations() {
    operations > "$WORK/operations"
    while read -r operation; do
        (
            "$@" --backend "$BACKEND" --op "^$operation\$" > "$WORK/of.$operation" 2>&1
            echo $? > "$WORK/of.$operation.code"
        ) &
    done < "$WORK/operations"
    wait
    status=0
    while read -r operation; do
        code=$(cat "$WORK/of.$operation.code")
        echo "== $operation: exit code $code"
        if [ "$code" -eq 0 ]; then tail -n 1 "$WORK/of.$operation"; else tail -n 40 "$WORK/of.$operation"; status=1; fi
    done < "$WORK/operations"
    return $status
}

conformance() { for_operations "$KIT/lib/test/conformance"; }

# compute-sanitizer over the small cases with one of its tools. racecheck and synccheck look at kernels with barriers.
sanitize() {
    sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda*/bin/compute-sanitizer 2>/dev/null | head -n 1)
    if [ -z "$sanitizer" ]; then
        echo "no compute-sanitizer here"
        return 77
    fi
    for_operations "$sanitizer" --tool "$1" --error-exitcode 1 "$KIT/lib/test/conformance" --small
}

# The losses of PEFT's runs through the command line, each within 5e-3.
fixtures() {
    status=0
    for run in lora qlora; do
        options="--quantize none --compute f32 --lr 0.01 --weight-decay 0.01 --schedule cosine --warmup-steps 4 --batch-size 2"
        # shellcheck disable=SC2086
        "$KIT/nf4j" finetune --backend "$BACKEND" --model "$KIT/fixtures/$run/model" --init-adapter "$KIT/fixtures/$run/adapter" \
            --data "$KIT/fixtures/$run/data.jsonl" --output "$WORK/$run" $options --grad-accum 2 --no-shuffle --steps 20 || status=1
        sed -n 's/.*"loss": *\([0-9.eE+-]*\).*/\1/p' "$WORK/$run/metrics.jsonl" | paste "$KIT/fixtures/$run/losses.txt" - | awk -v run="$run" '
            { d = $1 - $2; if (d < 0) d = -d; if (NF < 2 || !(d <= 5e-3)) bad++; if (d > worst) worst = d }
            END { printf "%s: %d steps, worst difference from PEFT %g, %d beyond 5e-3\n", run, NR, worst, bad; exit bad > 0 || NR != 20 }' ||
            status=1
    done
    return $status
}

# The demo: what the model answers after training on the booking task.
demo() {
    if [ -z "$MODEL" ]; then
        echo "no model was given"
        return 77
    fi
    "$KIT/nf4j" finetune --backend "$BACKEND" --model "$MODEL" --data "$KIT/demo/train.jsonl" --output "$WORK/demo" --epochs 2 \
        --batch-size 8 --lr 1.5e-3 --warmup-steps 8 --seed 1 &&
        "$KIT/nf4j" eval --backend "$BACKEND" --model "$MODEL" --adapter "$WORK/demo" --data "$KIT/demo/heldout.jsonl" --exact-match
}

# The table and the goals are nf4j-bench's, as of any result file. One family at a time: a lost device ends it alone.
kernels() {
    size=
    [ "$BACKEND" = simt ] && size=--smoke
    "$KIT/lib/bench/gpu_bench" --backend "$BACKEND" $size --family "$1" --commit "$(cat "$KIT/COMMIT")" --json "$OUT/kernels-$1.json" \
        --sha256 "$(sha256sum "$KIT/lib/libnf4j-$BACKEND.so" | cut -c 1-64)"
    status=$?
    "$KIT/nf4j-bench" report "$OUT/kernels-$1.json" --md "$WORK/kernels-$1.md" || status=1
    return $status
}

race() {
    set -- --backend "$BACKEND" --model tinyllama-1.1b --tokens 512,1024,2048,4096,8192
    [ "$BACKEND" = simt ] && set -- --backend cpu --model smollm2-135m --layers 1 --tokens 4,8 --steps 1 # its vocabulary is much for fibers
    "$KIT/nf4j-bench" race "$@" > "$WORK/race.jsonl"
    status=$?
    cat "$WORK/race.jsonl"
    return $status
}

# What PEFT takes for the race's steps, in the precision that is fastest for it: base and adapters in BF16.
peft() {
    if [ "$BACKEND" = simt ] || ! python3 -c 'import peft, torch, transformers; assert torch.cuda.is_available()' 2> /dev/null; then
        echo "no python3 with torch, transformers and peft that sees a GPU"
        return 77
    fi
    python3 -c 'import peft, torch, transformers as t; print("torch", torch.__version__, "transformers", t.__version__, "peft", peft.__version__)'
    printf '| tokens | seconds of a step | taken of the memory, MB |\n|---|---|---|\n' > "$WORK/peft.md"
    status=0
    for tokens in 512 2048 4096 8192; do
        line=$(HF_HUB_OFFLINE=1 python3 "$KIT/peers/train.py" --device cuda --base bf16 --adapter bf16 --layers 22 --hidden 2048 \
            --intermediate 5632 --heads 32 --kv-heads 4 --head-size 64 --vocabulary 32000 --sequences $((tokens / 512)) --tokens 512 \
            --steps 5 --threads "$(nproc)") || { status=1; continue; }
        echo "$line"
        echo "{\"tokens\": $tokens, \"training\": $line}" >> "$WORK/peft.jsonl"
        echo "$line" | python3 -c "
import json, statistics, sys
run = json.loads(sys.stdin.read())
print('|', $tokens, '|', '%.4f' % statistics.median(step['seconds'] for step in run['steps']), '|', run['peak_mb'], '|')" >> "$WORK/peft.md"
    done
    return $status
}

"$@"
