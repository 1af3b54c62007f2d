#!/bin/sh
# Regenerates bindings/java and bindings/symbols.txt from native/include/nf4j.h with jextract.
#
#   JEXTRACT=/path/to/jextract bindings/generate.sh          replace what is committed
#   JEXTRACT=/path/to/jextract bindings/generate.sh --check  change nothing; print the difference and fail if there is one
#
# The normal build never runs this. README.md beside it says which jextract and libclang the committed files come from.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
header=native/include/nf4j.h
package=io.github.nf4j.bindings

fail() {
    echo "bindings/generate.sh: $1" >&2
    exit 1
}

case "${1:-}" in
    "" | --check) ;;
    *) fail "unknown argument $1; expected nothing or --check" ;;
esac
[ -n "${JEXTRACT:-}" ] || fail "set JEXTRACT to a jextract launcher; bindings/README.md says how to build one"
[ -x "$JEXTRACT" ] || fail "JEXTRACT=$JEXTRACT is not an executable file"
cd "$root"
[ -f "$header" ] || fail "$root/$header is missing"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Everything the header pulls in, then only what stands in the header itself: without this, glibc's types come along.
"$JEXTRACT" --dump-includes "$work/all.txt" "$header"
grep -E "# header: .*/?$header *$" "$work/all.txt" | sed 's/ *#.*//' | LC_ALL=C sort -u > "$work/symbols.txt"
[ -s "$work/symbols.txt" ] || fail "jextract found no symbol of $header"

# No -l: the symbols come from the library that NativeLibrary loaded by absolute path with this class's loader.
"$JEXTRACT" --output "$work/java" --target-package "$package" --header-class-name Nf4jH \
    --symbols-class-name Nf4jSymbols "@$work/symbols.txt" "$header"

if [ "${1:-}" = --check ]; then
    diff -r "$work/java" bindings/java && diff "$work/symbols.txt" bindings/symbols.txt ||
        fail "the committed bindings differ from what $header gives; run make bindings and commit the result"
    echo "bindings/java and bindings/symbols.txt are what $header gives"
    exit 0
fi

# jextract never deletes, so a symbol that left the header would leave its file behind.
rm -rf bindings/java
cp -r "$work/java" bindings/java
cp "$work/symbols.txt" bindings/symbols.txt
