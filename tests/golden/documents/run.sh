#!/bin/sh
# Runs the nightly checks.
#
# Usage: run.sh [-j JOBS] TOP
set -e

JOBS=4   # at a time
export HERON_HOME="${HERON_HOME:-/opt/heron}"

usage() {
  cat <<EOF
run.sh [-j JOBS] TOP
  -j JOBS   how many checks at a time
EOF
}

while getopts j:h option; do
  case "$option" in
    j) JOBS=$OPTARG ;;
    h) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
  esac
done

# Removes old results.
clean_up() {
  rm -rf results
}

# Checks one cell; prints the number of errors.
function check_cell {
  heron drc -top "$1" > "logs/$1.log" 2>&1 || return 1
  awk '/errors/ { n += $1 } END { print n }' "logs/$1.log"
}

clean_up
for cell in top pll pads; do
  check_cell "$cell" &
done
wait
quill -batch flow.tcl | tee quill.log
