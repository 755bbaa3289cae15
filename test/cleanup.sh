#!/bin/bash
# Sourced by test/tap and test/lib.sh.

# cleanup DIR: ends what a test left behind: mounts below DIR (aborted first, so that nothing hangs on them), and every process
# that carries DIR in its command line or TEST_DIR=DIR in its environment. Touches nothing else, and keeps the files.
cleanup() {
    local dir=$1 device place pid
    [ -n "$dir" ] || return 0
    while read -r device place; do
        [ ! -w "/sys/fs/fuse/connections/${device#*:}/abort" ] || echo 1 >"/sys/fs/fuse/connections/${device#*:}/abort"
        umount -l "$place" 2>/dev/null
    done < <(awk -v dir="$dir/" 'index($5, dir) == 1 { print $3, $5 }' /proc/self/mountinfo | tac)
    while read -r pid; do
        # Not this shell, nor those it runs in: test/tap, and prove when it was started from a test.
        is_ancestor "$pid" || kill -9 "$pid" 2>/dev/null
    done < <(grep -lsaFe "$dir" /proc/[0-9]*/cmdline /proc/[0-9]*/environ | cut -d/ -f3 | sort -u)
}

is_ancestor() {
    local pid=$BASHPID
    while [ "${pid:-0}" -gt 1 ]; do
        [ "$pid" != "$1" ] || return 0
        pid=$(awk '/^PPid:/ { print $2 }' "/proc/$pid/status" 2>/dev/null)
    done
    return 1
}
