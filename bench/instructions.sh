#!/bin/sh
# Counts instructions, loads and stores of each operation under callgrind, and compares them with bench/instructions.txt:
#
#     make bench-instructions              exit code 0 fine, 1 a count is more than 1 % larger, 2 unusable, 3 other tools
#     make bench-instructions UPDATE=1     writes the file anew
#
# The counts are the same from run to run, whatever else the machine does: a second gate where times are too noisy for one. They
# say nothing about caches or latency, and are those of the AVX2 code on one thread.
set -eu
driver=$1
baseline=$2
update=${3:-}
command -v valgrind >/dev/null || { echo "skipped the instruction counts: no valgrind (Debian, Ubuntu: apt install valgrind)"; exit 0; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
valgrind --tool=callgrind --cache-sim=yes --callgrind-out-file="$work/out" "$driver" >"$work/log" 2>&1 ||
    { cat "$work/log" >&2; exit 2; }
# Lines such as "1,234 (1.0%) 567 (1.0%) 89 (1.0%) ... native/core/api_nf4.cpp:nf4j_nf4_matmul [...]": instructions, loads, stores
tools="compiler $(c++ -dumpfullversion 2>/dev/null || echo unknown), $(getconf GNU_LIBC_VERSION 2>/dev/null || echo "unknown libc")"
{
    echo "# operation instructions loads stores, AVX2, $tools; written by make bench-instructions UPDATE=1"
    callgrind_annotate --inclusive=yes --threshold=100 --show=Ir,Dr,Dw "$work/out" | tr -d , | sed 's/([^)]*%)//g' |
        sed -n 's/^ *\([0-9]*\)  *\([0-9]*\)  *\([0-9]*\) .*:\(nf4j_[a-z0-9_]*\)\(@@[^ ]*\)\{0,1\} .*/\4 \1 \2 \3/p' |
        grep -E '^nf4j_(nf4|dense|lora|norm|mlp|rope|attention|embedding|loss|optim)_' | grep -v weight_bytes | sort -u
} >"$work/counts"
if [ -n "$update" ]; then
    cp "$work/counts" "$baseline"
    exit 0
fi
if [ "$(head -1 "$work/counts")" != "$(head -1 "$baseline")" ]; then
    echo "skipped the instruction counts: they are those of $(sed -n '1s/.*AVX2, \(.*\);.*/\1/p' "$baseline"), and here is $tools"
    exit 3
fi
awk 'NR == FNR { if ($1 != "#") { i[$1] = $2; l[$1] = $3; s[$1] = $4; n++ } next }
     $1 == "#" { next }
     !($1 in i) { print "new        " $0; next }
     { seen++; grown = $2 > i[$1] * 1.01 || $3 > l[$1] * 1.01 || $4 > s[$1] * 1.01
       printf "%-10s %-36s instructions %+.2f %%, loads %+.2f %%, stores %+.2f %%\n", grown ? "MORE" : "same", $1,
              100 * ($2 / i[$1] - 1), 100 * ($3 / l[$1] - 1), 100 * ($4 / s[$1] - 1)
       bad += grown }
     END { if (seen < n) { print n - seen " operations of the baseline were not counted"; exit 2 } exit bad > 0 }' \
    "$baseline" "$work/counts"
