#!/bin/sh
# Checks that a library exports exactly the functions that the header declares.
# Usage: exports.sh libnf4j.so nf4j.h
set -eu
exported=$(nm -D --defined-only "$1" | awk '{ print $3 }')
declared=$(grep -o 'NF4J_API [^(]*(' "$2" | grep -o 'nf4j_[a-z0-9_]*(' | tr -d '(')
different=$(printf '%s\n%s\n' "$exported" "$declared" | sort | uniq -u)
if [ -n "$different" ]; then
    echo "in only one of the exports of $1 and the declarations of $2:" $different >&2
    exit 1
fi
echo "exports: $(echo "$exported" | wc -l) symbols, as declared"
