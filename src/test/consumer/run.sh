#!/bin/sh
# Compiles a program against the packaged jar and nothing else, and runs it on the module path and on the class path. The
# library comes out of the jar into a cache in a folder with a space, without native access for anybody but nf4j.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
jdk=$("$root/bin/find-jdk")
work=$root/target/consumer
rm -rf "$work"
mkdir -p "$work/modules" "$work/classes" "$work/a cache"
for jar in "$root"/target/nf4j-*[!cs].jar; do :; done # not -javadoc, not -sources
cp "$jar" "$work/nf4j.jar"
jar=$work/nf4j.jar

"$jdk/bin/javac" -Xlint:all -Werror -d "$work/modules" -p "$jar" \
    "$here/java/module-info.java" "$here/java/consumer/TrainLora.java"
"$jdk/bin/javac" -Xlint:all -Werror -d "$work/classes" -cp "$jar" "$here/java/consumer/TrainLora.java"

run() {
    "$jdk/bin/java" --illegal-native-access=deny "-Dnf4j.cache.dir=$work/a cache" "$@" > "$work/output" 2>&1 || {
        cat "$work/output" >&2
        exit 1
    }
    cat "$work/output"
    if grep -q WARNING "$work/output"; then
        echo "the JVM warned" >&2
        exit 1
    fi
}
run --enable-native-access=io.github.nf4j -p "$jar:$work/modules" -m consumer/consumer.TrainLora
grep -q "module module consumer" "$work/output"
run --enable-native-access=ALL-UNNAMED -cp "$jar:$work/classes" consumer.TrainLora
grep -q "module unnamed module" "$work/output"
[ "$(find "$work/a cache" -name libnf4j.so | wc -l)" -eq 1 ] || { echo "the library was not unpacked once" >&2; exit 1; }
