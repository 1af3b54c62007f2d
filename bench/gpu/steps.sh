#!/bin/sh
# The steps of run.sh that are more than one command: steps.sh NAME. The environment says KIT, WORK, BACKEND and MODEL.
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

# compute-sanitizer over the small cases; every tool runs, whatever the others found.
sanitize() {
    tool=$(command -v compute-sanitizer || ls /usr/local/cuda*/bin/compute-sanitizer 2>/dev/null | head -n 1)
    if [ -z "$tool" ]; then
        echo "no compute-sanitizer here"
        return 77
    fi
    status=0
    for check in memcheck synccheck racecheck; do
        echo "== $check"
        timeout 25 "$tool" --tool $check --error-exitcode 1 "$KIT/lib/test/conformance" --backend "$BACKEND" --small \
            --op 'nf4_matmul|lora|attention_forward|adamw' || status=$?
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

# The table and the goals are nf4j-bench's, as of any result file.
kernels() {
    size=
    [ "$BACKEND" = simt ] && size=--smoke
    "$KIT/lib/bench/gpu_bench" --backend "$BACKEND" $size --commit "$(cat "$KIT/COMMIT")" --json "$WORK/kernels.json" \
        --sha256 "$(sha256sum "$KIT/lib/libnf4j-$BACKEND.so" | cut -c 1-64)"
    status=$?
    "$KIT/nf4j-bench" report "$WORK/kernels.json" --md "$WORK/kernels.md" || status=1
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

"$1"
