#!/bin/sh
# Prints the C ABI of a build, one line each: functions with the version of their symbol, constants, struct layouts. The
# first word says which. Fails when the library exports anything but the functions that the header declares.
# Usage: [RUN=emulator] abi.sh libnf4j.so nf4j.h abi_test
set -eu
exported=$(nm -D --defined-only "$1" | awk '$2 != "A" { print $3 }' | sort)
# Declarations, each on a line of its own.
declared=$(awk '/^NF4J_API/ { on = 1 } on { printf "%s ", $0 } on && /;/ { print ""; on = 0 }' "$2" |
    sed 's/^NF4J_API //; s/ *; *$//; s/  */ /g')
functions=$(echo "$declared" | grep -o 'nf4j_[a-z0-9_]*(' | tr -d '(' | sort)
different=$(printf '%s\n%s\n' "$(echo "$exported" | sed 's/@.*//')" "$functions" | sort | uniq -u)
if [ -n "$different" ]; then
    echo "in only one of the exports of $1 and the declarations of $2:" $different >&2
    exit 1
fi
echo "$exported" | sed 's/^/symbol /'
echo "$declared" | sed 's/^/function /'
grep -o 'NF4J_[A-Z0-9_]* = [0-9a-fx]*' "$2" | sed 's/^/constant /'
${RUN:-} "$3" --layout | sed 's/^/struct /'
