#!/bin/sh
# What libnf4j-cuda says of drivers that cannot be used: driver.sh DEVICE_TEST FOLDER, where FOLDER has the fake libcuda.so.1.
# One process each: the runtime asks the driver once.
set -eu
program=$1
folder=$2
failed=0

# expect TEXT [NAME=VALUE ...]: opening a device with the fake driver set so must fail with TEXT.
expect() {
    text=$1
    shift
    said=$(env "$@" "$program" cuda 2>&1) && { echo "FAILED: $* opened a device" >&2; failed=1; }
    case $said in
        *"$text"*) ;;
        *) echo "FAILED: $*: expected '$text', got '$said'" >&2; failed=1 ;;
    esac
}

fake=LD_LIBRARY_PATH=$folder
if ! nvidia-smi >/dev/null 2>&1; then
    expect 'no NVIDIA driver (libcuda.so.1) was found' FAKE=none
fi
expect 'the driver is for CUDA 12.4 and this build needs one for 13' "$fake" FAKE_CUDA_VERSION=12040
expect 'no CUDA-capable device is detected' "$fake" FAKE_CUDA_INIT=100
expect 'unsupported display driver / cuda driver combination' "$fake" FAKE_CUDA_INIT=803
expect 'system not yet initialized' "$fake" FAKE_CUDA_INIT=802
expect 'unknown error' "$fake" FAKE_CUDA_INIT=999
[ $failed -eq 0 ] && echo "driver.sh: every driver that cannot be used is told as what it is"
exit $failed
