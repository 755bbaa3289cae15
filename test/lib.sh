#!/bin/bash
# The library of the mount tests. A test is a bash script that prints TAP:
#
#   . "$(dirname "$0")/../lib.sh"
#   start_bucket
#   mount_r2fs --write-back 1s
#   it "a new file is in the bucket two seconds after close" <<'END'
#   echo hello >f; sleep 2
#   [ "$(bucket get work/f)" = hello ]
#   END
#   done_testing
#
# The text of a test runs in a bash of its own, with -euo pipefail, in $MNT, with a time limit; the functions below, and those of
# the test's file, are there.
# Run one by hand with test/tap test/mount/basic.t (KEEP=1 keeps its files); all of them with scripts/check mount.
# Environment: R2FS and R2SIM (the programs; those of make's build by default).
set -u
TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
: "${R2FS:=$TOP/build/r2fs}" "${R2SIM:=$TOP/build/r2sim}"
. "$TOP/test/cleanup.sh"
if [ -z "${TEST_DIR:-}" ]; then
    TEST_DIR=$(mktemp -d "${TMPDIR:-/tmp}/r2fs-test.XXXXXX") || exit 2
    chmod 711 "$TEST_DIR" # other users come to its mount by path
    trap 'sim_stop; cleanup "$TEST_DIR"; [ -n "${KEEP:-}" ] || rm -rf --one-file-system "$TEST_DIR"' EXIT
    trap 'exit 130' INT TERM HUP
fi
# Nothing of the caller's configuration comes in.
for name in $(compgen -e); do
    case $name in S3_* | R2_* | AWS_* | RCLONE_* | XDG_* | SUDO_*) unset "$name";; esac
done
HOME=$TEST_DIR/home MNT=$TEST_DIR/mnt CACHE=$TEST_DIR/cache LOG=$TEST_DIR/r2fs.log
PREFIX=work TMPDIR=$TEST_DIR
mkdir -p "$HOME" "$MNT" "$CACHE"
chmod 711 "$TEST_DIR" # other users reach the mount
umask 022
export TOP R2FS R2SIM TEST_DIR TMPDIR HOME MNT CACHE LOG PREFIX
. "$TOP/test/sim.sh"
SIM_SECRET_KEY=never-to-be-seen # a word that stands in no message
# start_bucket [OPTION...]: r2sim, with its address and keys in the environment.
start_bucket() {
    sim_start "$@" || bail "r2sim did not start"
    sim_env
    export S3_BUCKET=$SIM_BUCKET SIM_URL SIM_CONTROL SIM_BUCKET SIM_ACCESS_KEY SIM_SECRET_KEY SIM_PID
}

# ---- TAP ----
tests=0 failed=0

# it TITLE [SECONDS]: runs stdin as a test. Titles are unique in a file: test/COVERAGE names tests by them.
it() {
    local title=$1 limit=${2:-30} code status name
    IFS= read -r -d '' code
    tests=$((tests + 1))
    for name in $(compgen -A function); do export -f "${name?}"; done
    # Only the test's own shell stands in the mount, so that it can leave it.
    timeout -k 2 "$limit" bash -euo pipefail -c 'cd "$MNT"; trap '\''echo "in: $BASH_COMMAND"'\'' ERR; eval "$1"' "$title" "$code" >"$TEST_DIR/it" 2>&1 </dev/null
    status=$?
    if [ $status -eq 0 ]; then
        echo "ok $tests - $title"
    else
        failed=$((failed + 1))
        echo "not ok $tests - $title"
        [ $status -ne 124 ] || echo "# ended after $limit s"
        sed 's/^/# /' "$TEST_DIR/it" | tail -n 40
        [ -z "${EACH_MOUNTS:-}" ] || clean_slate
    fi
}
# In a file whose tests mount for themselves (EACH_MOUNTS=1), one that failed must not fail the next.
clean_slate() {
    local pid
    sim_faults_clear; sim_config frozen=false denied=false bucket_gone=false cut=false delay_ms=0 clock_skew_s=0
    ! is_mounted || timeout -k 2 10 "$R2FS" umount --drain-timeout 2s "$MNT" >/dev/null 2>&1 || umount -l "$MNT"
    for pid in $(daemon_pids); do kill -9 "$pid"; done
    rm -rf "$CACHE"; mkdir "$CACHE"
}
skip() { # skip TITLE REASON: takes the place of a test that cannot run here
    tests=$((tests + 1)); echo "ok $tests - $1 # SKIP $2"
}
bail() { # nothing of this file can run
    echo "# $*"; [ ! -s "$LOG" ] || tail -n 20 "$LOG" | sed 's/^/# log: /'
    echo "Bail out! $1"; exit 1
}
done_testing() {
    echo "1..$tests"
    [ $failed -eq 0 ] || { [ ! -s "$LOG" ] || { echo "# the daemon's log:"; tail -n 30 "$LOG" | sed 's/^/# /'; }; }
    [ $failed -eq 0 ]; exit
}

# ---- time ----
now_ms() { local t=$EPOCHREALTIME; echo $((${t/[.,]/} / 1000)); }
# wait_until SECONDS COMMAND...: until COMMAND is true; false when it was not in time.
wait_until() {
    local deadline=$(($(now_ms) + $1 * 1000)); shift
    until "$@" >/dev/null 2>&1; do
        [ "$(now_ms)" -lt $deadline ] || { echo "not in time: $*"; return 1; }
        sleep 0.02
    done
}
# not COMMAND...: succeeds when COMMAND fails. A plain `!` would not do: bash -e passes over what it inverts.
not() { ! "$@"; }
is() { [ "$1" = "$2" ] || { printf 'got:    %s\nwanted: %s\n' "$1" "$2"; return 1; }; }
at_most() { [ "$1" -le "$2" ] || { echo "$1 is more than $2${3:+ ($3)}"; return 1; }; }
# exits CODE COMMAND...: its output stays, its exit code must be CODE.
exits() {
    local wanted=$1 status=0; shift
    "$@" || status=$?
    [ $status -eq "$wanted" ] || { echo "exit code $status, not $wanted: $*"; return 1; }
}

# ---- the mount ----
r2fs() { timeout -k 5 60 "$R2FS" "$@"; }
# mount_r2fs [OPTION...]: $S3_BUCKET/$PREFIX at $MNT, with a private cache and log.
mount_r2fs() { r2fs mount "$S3_BUCKET/$PREFIX" "$MNT" --cache-dir "$CACHE" --log-file "$LOG" "$@"; }
umount_r2fs() { r2fs umount "$MNT"; }
flush() { r2fs flush "$MNT"; }
# remount [OPTION...]: with the same cache. remount_cold: with an empty one, as on another machine.
remount() { umount_r2fs && mount_r2fs "$@"; }
remount_cold() { umount_r2fs && rm -rf "$CACHE" && mkdir "$CACHE" && mount_r2fs "$@"; }
# is_mounted [PLACE], daemon_pid [PLACE]: of $MNT when none is given.
is_mounted() { awk -v place="${1:-$MNT}" '$5 == place { found = 1 } END { exit !found }' /proc/self/mountinfo; }
# The daemon's process id: the r2fs whose command line has this mount point.
daemon_pids() {
    local pid
    for pid in $(pgrep -x r2fs); do
        ! tr '\0' '\n' <"/proc/$pid/cmdline" 2>/dev/null | grep -qxF -- "${1:-$MNT}" || echo "$pid"
    done
}
daemon_pid() { daemon_pids "$@" | head -n 1 | grep .; }
# From elsewhere, since a process that starts in the mount looks at its working directory, and that is a request.
status() { (cd / && r2fs status "$MNT" --json | jq -r "${1:-.}"); }
pending() { status .pending_files; }

# ---- counting ----
# Requests that reached the bucket are counted by r2sim (sim_counts KIND), requests of the kernel by the daemon.
sim_total() { sim_call GET counts | jq '[.kinds[]] | add'; }
kernel_count() { status ".kernel.${1:-total} // 0"; }
# kernel_requests [OPCODE] COMMAND...: how many requests the kernel sent while COMMAND ran (its output is dropped).
kernel_requests() {
    local opcode=$1 before after itself; shift
    # Asking costs a request or two itself.
    before=$(kernel_count "$opcode"); itself=$(($(kernel_count "$opcode") - before))
    before=$(kernel_count "$opcode"); "$@" >/dev/null; after=$(kernel_count "$opcode")
    echo $((after - before - itself))
}

# ---- another client of the bucket ----
bucket() { timeout -k 2 60 "$TOP/test/s3" "$@"; }
