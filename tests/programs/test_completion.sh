#!/usr/bin/env bash
# The completion of pali for bash, asked as bash asks it.   usage: test_completion.sh packaging/program/pali.bash
set -euo pipefail
source "$1"

completes() { # the word being typed last, then what has to be among its completions
    local wanted=$1
    shift
    COMP_WORDS=(pali "$@") COMP_CWORD=$#
    _pali
    [[ " ${COMPREPLY[*]} " == *" $wanted "* ]] || { echo "pali $*: ${COMPREPLY[*]} lacks $wanted" && exit 1; }
}
completes detect de
completes --version --
completes --format detect --for
completes coco detect --format ""
completes int4 quantize --weights in
completes --out collect --o
COMP_WORDS=(pali detect --image pho) COMP_CWORD=3
_pali
[[ ${#COMPREPLY[@]} -eq 0 ]] || exit 1 # files, which bash completes by itself
echo passed
