#!/bin/sh
# The demo: what the model answers before, QLoRA on the booking task, what it answers after. Everything lands in build/demo.
set -eu
cd "$(dirname "$0")/.."
out=build/demo
model=$out/SmolLM2-135M-Instruct.gguf

sh demo/fetch-model.sh
rm -rf "$out/adapter"

echo "== Before: the quantized model on 64 held-out messages"
bin/nf4j eval --model "$model" --data demo/heldout.jsonl --exact-match --answers "$out/before.jsonl"
echo "== Fine-tuning on 600 messages"
bin/nf4j finetune --model "$model" --data demo/train.jsonl --output "$out/adapter" \
    --epochs 2 --batch-size 8 --lr 1.5e-3 --warmup-steps 8 --seed 1
echo "== After: the same held-out messages"
bin/nf4j eval --model "$model" --adapter "$out/adapter" --data demo/heldout.jsonl --exact-match --answers "$out/after.jsonl"

python3 - demo/heldout.jsonl "$out/before.jsonl" "$out/after.jsonl" <<'PYTHON'
import json, sys
examples, before, after = ([json.loads(line) for line in open(name, encoding="utf-8")] for name in sys.argv[1:])
for example, old, new in list(zip(examples, before, after))[:5]:
    print("\nmessage   " + example["messages"][0]["content"])
    for name, text in (("wanted", old["expected"]), ("before", old["actual"]), ("after", new["actual"])):
        text = " ".join(text.split())
        print(f"{name:10}{text if len(text) <= 110 else text[:110] + '…'}")
PYTHON

cat <<END

The loss plot is $out/adapter/loss.png. Try next:
  bin/nf4j generate --model $model --adapter $out/adapter --chat --prompt "Hi, Rossi here. Could we have a table for four on Sunday at eight?"
  bin/nf4j finetune --help
  bin/nf4j doctor
END
