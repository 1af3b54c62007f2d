#!/bin/sh
# What the conformance suite says when something is wrong: reports.sh CONFORMANCE LIBBROKEN.
set -u
conformance=$1
broken="env LD_PRELOAD=$PWD/$2"
output=$1.output
ulimit -c 0

refuse() {
    cat "$output"
    echo "reports.sh: $1" >&2
    exit 1
}

$conformance --backend reference --op nothing_is_called_so > "$output" 2>&1 && refuse 'a run of no cases passed'
grep -q '^FAILED: no case ran$' "$output" || refuse 'a run of no cases does not say so'
$conformance --backend cpu --isa sse2 --op norm_forward --small > "$output" 2>&1 && refuse 'a run on nothing passed'

# A failure has the command that repeats its case alone, with the seed: it fails for as long as the library does.
for end in '' BROKEN_BY_ABORT=1; do
    $broken $end "$conformance" --backend reference --op norm_forward --small --seed 5 > "$output" 2>&1 && refuse 'a failure went unnoticed'
    command=$(sed -n '/^FAILED norm_forward\/.* on reference: /{n;s/^  //p;q;}' "$output")
    case $command in *" --case 'norm_forward/"*"' --seed 5") ;; *) refuse "no command in what is said of a failure: $command" ;; esac
    $broken $end sh -c "$command" > "$output" 2>&1 && refuse "$command: it fails no more"
    sh -c "$command" > "$output" 2>&1 || refuse "$command: it fails without the bug"
    grep -q '^1 cases ran, 0 failed; seed 5$' "$output" || refuse "$command: another case ran"
done
echo 'reports.sh: failures and crashes are reported with what repeats them'
