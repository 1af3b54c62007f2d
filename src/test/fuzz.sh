#!/bin/sh
# The reader of one format under Jazzer, which `make fuzz` brings: fuzz.sh FORMAT SECONDS BUILD [INPUT]. Inputs that reach something new are
# kept in BUILD for the next time. With INPUT nothing but that file is read.
set -eu
format=$1 seconds=$2 build=$3 input=${4:-}
jazzer=$build/jazzer
log=$jazzer/$format.log
mkdir -p "$jazzer/$format" "$jazzer/tmp"

# Inputs are written to memory where that can be: a disk would take most of the time.
folder=$(mktemp -d -p /dev/shm 2>/dev/null || mktemp -d)
trap 'rm -rf "$folder"' EXIT
if [ -n "$input" ]; then set -- "$input"; else set -- "$jazzer/$format" "src/test/resources/fuzz/$format"; fi

# An adapter's patterns are regular expressions by design.
status=0
"$(bin/find-jdk)/bin/java" -Dnf4j.fuzz="$format" -Dnf4j.fuzz.folder="$folder" -Dai.djl.offline=true -Djava.io.tmpdir="$jazzer/tmp" \
    -Xmx2g --enable-native-access=ALL-UNNAMED \
    -cp "$jazzer/jazzer.jar:$jazzer/jazzer-api.jar:$(cat "$build/test-classpath")" \
    com.code_intelligence.jazzer.Jazzer --target_class=io.github.nf4j.io.FuzzTarget --reproducer_path="$jazzer" \
    --instrumentation_includes='io.github.nf4j.io.**:io.github.nf4j.train.**' \
    --disabled_hooks=com.code_intelligence.jazzer.sanitizers.RegexInjection \
    -artifact_prefix="$jazzer/$format-" -max_total_time="$seconds" -max_len=16384 -timeout=20 "$@" > "$log" 2>&1 || status=$?

if [ $status -ne 0 ]; then
    cat "$log"
    found=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)
    if [ -n "$found" ]; then
        echo "$format: what was found is in $found. Elsewhere, base64 -d | gunzip makes it of this:"
        gzip -9c "$found" | base64 -w 0
        printf '\nOnce more: make fuzz FORMATS=%s INPUT=%s\n' "$format" "$found"
    fi
    exit 1
fi
if [ -n "$input" ]; then
    echo "$format: $input was read, or refused as it should be"
    exit
fi

# What was reached by the inputs that were there, and with those that were made.
reached() { sed -n "s/^#\([0-9]*\)[[:space:]]*$1 *cov: \([0-9]*\).*/\1 inputs reach \2 edges/p" "$log"; }
kept=$(reached INITED) all=$(reached DONE)
if [ "0${all%% *}" -gt "0${kept%% *}" ]; then
    echo "$format: $kept, $all"
else
    cat "$log"
    echo "$format: nothing was fuzzed"
    exit 1
fi
