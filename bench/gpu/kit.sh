#!/bin/sh
# Packs what `make gpu-check` runs on a machine that has a GPU and nothing else: natives, jars, a Java runtime, tests, benchmarks.
#
#     kit.sh BUILD OUT.tar.gz
#
# BUILD is make's build folder, with everything built. The model of the demo is too large to be in it.
set -eu
build=$1
archive=$2
jdk=$(bin/find-jdk)
name=nf4j-gpu-kit
kit=$build/gpu-check/$name
rm -rf "$kit"
mkdir -p "$kit/lib/test" "$kit/lib/bench" "$kit/jars" "$kit/demo" "$kit/bench"

# Libraries and programs keep their places to each other: programs look for libnf4j one folder up.
for library in libnf4j libnf4j-cuda libnf4j-simt; do
    ${STRIP:-strip} --strip-debug -o "$kit/lib/$library.so" "$build/native/$library.so"
done
for program in test/conformance test/device_test test/graph_test bench/gpu_bench; do
    ${STRIP:-strip} --strip-debug -o "$kit/lib/$program" "$build/native/$program"
done
for library in libstdc++.so.6 libgcc_s.so.1; do
    cp -L "$(${CXX:-g++} -print-file-name=$library)" "$kit/lib/"
done

# Jars of the command line and of the harness, with natives of this platform alone.
cp target/nf4j-*-SNAPSHOT.jar bench/harness/target/nf4j-bench-*-SNAPSHOT.jar target/lib/*.jar "$kit/jars/"
for jar in bench/harness/target/lib/*.jar; do
    [ -f "$kit/jars/${jar##*/}" ] || cp "$jar" "$kit/jars/"
done
# They are stored, not compressed: the archive as a whole compresses better.
for jar in "$(cd "$kit/jars" && pwd)"/*.jar; do
    work=$(mktemp -d)
    (
        cd "$work"
        "$jdk/bin/jar" xf "$jar"
        for natives in native/lib com/sun/jna; do
            [ -d "$natives" ] && find "$natives" -mindepth 1 -maxdepth 1 -type d -name '*-*' \
                ! -name "linux-$(uname -m | tr _ -)" ! -name "linux-$(uname -m)" -exec rm -rf {} +
        done
        "$jdk/bin/jar" cf0M "$jar" .
    )
    rm -rf "$work"
done

# Chat templates use java.beans, which is in java.desktop; nothing here draws, so what draws stays out.
"$jdk/bin/jlink" --add-modules java.base,java.desktop,java.logging,java.management,java.naming,java.sql,java.xml,jdk.unsupported \
    --strip-debug --no-header-files --no-man-pages --compress zip-0 \
    --exclude-files '**/libfreetype.so,**/libfontmanager.so,**/libawt*.so,**/libsplashscreen.so,**/libmlib_image.so,**/liblcms.so,**/libjavajpeg.so' \
    --output "$kit/jre"
chmod -R u+w "$kit/jre"
find "$kit/jre" -name '*.so' -exec ${STRIP:-strip} --strip-unneeded {} +

# What the tests compare with, as files.
"$jdk/bin/java" --enable-native-access=ALL-UNNAMED -Dnf4j.library.path="$build/native" -cp "$(cat "$build/test-classpath")" \
    io.github.nf4j.nn.TrainingFixture "$kit/fixtures"
cp demo/train.jsonl demo/heldout.jsonl "$kit/demo/"
cp bench/goals.json "$kit/bench/"
mkdir "$kit/peers"
cp bench/peers/train.py "$kit/peers/"
cp bench/gpu/run.sh bench/gpu/steps.sh bench/gpu/nf4j "$kit/"
ln -s nf4j "$kit/nf4j-bench"
commit=$(git rev-parse HEAD 2>/dev/null || echo unknown)
[ -z "$(git status --porcelain 2>/dev/null)" ] || commit="$commit with changes that are not committed"
printf '%s' "$commit" > "$kit/COMMIT"

tar -C "$build/gpu-check" -cf - "$name" | gzip -9 > "$archive"
bytes=$(wc -c < "$archive")
echo "$archive: $bytes bytes"
[ "$bytes" -lt 60000000 ] || { echo "that is more than 60 MB" >&2; exit 1; }
