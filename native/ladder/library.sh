#!/bin/sh
# What launches of the library's kernels count on simt, as the table of docs/kernels.md: library.sh SIMT_RUN
set -eu
simt_run=$1

# row OPERATION M N K LAUNCH
row() {
    NF4J_SIMT_SCHEDULE=0 "$simt_run" "$1" "$2" "$3" "$4" bf16 2>&1 |
        sed -n "s/^simt: $5: .* global accesses, \([0-9]*\) sectors .*, \([0-9]*\) mma$/\1 \2/p" |
        while read -r sectors mma; do
            echo "| \`OP=$1 M=$2 N=$3 K=$4\` | $5 | $((32 * sectors)) | $mma |"
        done
}

echo '| `make simt-run` with | launch | bytes of global memory | mma |'
echo '|---|---|--:|--:|'
row dense_matmul 128 256 256 dense_matmul
row nf4_matmul 128 256 256 nf4_matmul
row nf4_matmul_backward 128 256 256 nf4_matmul_backward
row lora_forward 128 256 256 lora_y
row attention_forward 256 2 64 attention_forward
row attention_forward 512 2 64 attention_forward
