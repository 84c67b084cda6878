#!/bin/sh
# Runs the nightly checks.
set -e

# Removes old results.
clean_up() {
  rm -rf results
}

clean_up
quill -batch flow.tcl
