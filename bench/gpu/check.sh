#!/bin/sh
# Unpacks a kit and runs it as on a machine that has neither JDK nor sources: check.sh KIT.tar.gz FOLDER [MODEL.gguf]
#
# Without a GPU it runs in small on simt, and every step has to pass: a test of the kit.
set -eu
kit=$(readlink -f "$1")
folder=$2
model=${3:+$(readlink -f "$3")}
rm -rf "$folder"
mkdir -p "$folder"
tar -C "$folder" -xzf "$kit"
folder=$(cd "$folder" && pwd)
size=
if [ ! -e /dev/nvidiactl ]; then
    echo "There is no GPU here: the kit runs in small on simt, which shows that it works. Nothing is measured."
    size=--smoke
fi
cd /
env -i PATH=/usr/bin:/bin HOME="$folder" sh "$folder/nf4j-gpu-kit/run.sh" $size --out "$folder/result" ${model:+--model "$model"}
echo "The kit is $kit; the results are in $folder/result."
