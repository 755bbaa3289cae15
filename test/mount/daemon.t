#!/bin/bash
# The process behind a mount.
. "$(dirname "$0")/../lib.sh"
start_bucket
PREFIX=threads/T; export PREFIX

it "mount returns 0 once the mount is usable" <<'END'
mount_r2fs --vfs-write-back 1s --poll-interval 5s; is_mounted; : >"$MNT/usable"
END
it "a mount is one process whose comm is r2fs" <<'END'
pid=$(daemon_pid); is "$(cat /proc/$pid/comm)" r2fs; is "$(pgrep -xc r2fs -P "$pid" || true)" 0
END
it "ps shows the command line as typed" <<'END'
pid=$(daemon_pid)
ps -o args= -ww -p "$pid" >"$TEST_DIR/ps"
is "$(cat "$TEST_DIR/ps")" "$R2FS mount $S3_BUCKET/$PREFIX $MNT --cache-dir $CACHE --log-file $LOG --vfs-write-back 1s --poll-interval 5s"
pgrep -f 'r2fs.*threads/T' | grep -qx "$pid"
END
it "mount shows source, place, type, nosuid and nodev" <<'END'
mount | grep r2fs | grep -F "$S3_BUCKET/threads/T on $MNT type fuse.r2fs (rw,nosuid,nodev"
END
it "the daemon keeps none of the caller's descriptors, session or working directory" <<'END'
cd /; umount_r2fs; cd "$TEST_DIR/home"; exec 7>"$TEST_DIR/held"
x=$(timeout 5 "$R2FS" mount "$S3_BUCKET/$PREFIX" "$MNT" --cache-dir "$CACHE" --log-file "$LOG" 2>&1); is "$x" ""
pid=$(daemon_pid)
ls -l /proc/$pid/fd | not grep -F "$TEST_DIR/held"
ls -l /proc/$pid/fd/{0,1,2} | grep -c /dev/null | grep -qx 3
is "$(readlink /proc/$pid/cwd)" /
is "$(ps -o sid= -p $pid | tr -d ' ')" "$pid"
END
it "memory of its own is at most 6 MB when fresh" <<'END'
[ -z "${SLOW:-}" ] || exit 0
at_most "$(awk '/^Anonymous:/ { print $2 }' "/proc/$(daemon_pid)/smaps_rollup")" 6144 "KiB"
END
it "the daemon leaves no core, and only root may look inside" <<'END'
pid=$(daemon_pid); is "$(awk '/^Max core file size/ { print $5 }' /proc/$pid/limits)" 0
# Not dumpable: the files of its process belong to root, whoever runs it, and its user may not read them.
# The user has a name, since fusermount3 asks for it. /dev/fuse is everybody's where udev made it.
cd /; umount_r2fs; chown -R nobody "$TEST_DIR/home" "$MNT"; mkdir "$TEST_DIR/user"; chown nobody "$TEST_DIR/user"
mode=$(stat -c %a /dev/fuse); trap 'chmod "$mode" /dev/fuse' EXIT; chmod 666 /dev/fuse
as_user() { XDG_RUNTIME_DIR=$TEST_DIR/user setpriv --reuid nobody --regid nogroup --clear-groups "$@"; }
as_user "$R2FS" mount "$S3_BUCKET/$PREFIX" "$MNT" --cache-dir "$TEST_DIR/user/cache" --log-file "$TEST_DIR/user/log"
pid=$(daemon_pid); not as_user cat "/proc/$pid/environ" 2>/dev/null; as_user "$R2FS" umount "$MNT"; chown 0 "$MNT"; mount_r2fs
END
it "no secret is in the command line or the log" <<'END'
tr '\0' '\n' <"/proc/$(daemon_pid)/cmdline" | not grep -F "$S3_ACCESS_SECRET"; not grep -F "$S3_ACCESS_SECRET" "$LOG"
END
it "SIGHUP starts every pending upload within 100 ms, and expires listings" <<'END'
cd /; umount_r2fs; mount_r2fs --write-back 60s --poll-interval 1h; cd "$MNT"
for i in 1 2 3; do echo $i >hup$i; done; ls >/dev/null
echo other | bucket put "$PREFIX/foreign"; not [ -e foreign ]
puts=$(sim_counts Put); start=$(now_ms); kill -HUP "$(daemon_pid)"
started() { [ "$(sim_counts Put)" -gt "$puts" ]; }
wait_until 2 started; took=$(($(now_ms) - start)); [ -n "${SLOW:-}" ] || at_most $took 200 "ms, a look at the count included"
wait_until 2 test -e foreign
all() { [ "$(pending)" = 0 ]; }
wait_until 3 all
END
it "status tells mode, source, place, pending, polls, cache, requests and what the endpoint honours" <<'END'
status . >"$TEST_DIR/status"
for key in mode source mountpoint pending_files pending_bytes oldest_pending_s last_poll_s last_error cache_bytes cache_limit requests honours; do
    jq -e --arg key $key 'has($key)' "$TEST_DIR/status" >/dev/null || { echo "no $key"; false; }
done
is "$(status .mode)" rw; is "$(status .source)" "$S3_BUCKET/$PREFIX"; is "$(status .mountpoint)" "$MNT"
END
it "status without --json is for people" <<'END'
r2fs status "$MNT" | grep -F "$S3_BUCKET/$PREFIX"
END
it "SIGTERM drains, unmounts and ends with nothing left" <<'END'
echo term >term; pid=$(daemon_pid); cd /; kill -TERM $pid
wait_until 10 test ! -e /proc/$pid; not is_mounted; is "$(bucket get "$PREFIX/term")" term
END
it "--foreground stays, and ends with 0 after the unmount" <<'END'
cd /; mount_r2fs --foreground 2>"$TEST_DIR/err" & f=$!
wait_until 5 is_mounted; echo f >"$MNT/fg"; umount_r2fs; wait $f; is "$(bucket get "$PREFIX/fg")" f
END
it "mounting takes under four round trips" <<'END'
cd /; sim_config delay_ms=200; start=$(now_ms); mount_r2fs; took=$(($(now_ms) - start)); sim_config delay_ms=0
at_most $took 800 "ms at 200 ms a round trip"; umount_r2fs
END
it "mounting costs one listing, no HeadBucket and no probe" <<'END'
cd /; rm -rf "$CACHE"; before=$(sim_total) lists=$(sim_counts List); mount_r2fs --poll-interval 0 --dir-cache-time 1h
is "$(($(sim_total) - before)) $(($(sim_counts List) - lists))" "1 1"; umount_r2fs
END
it "a daemon without --log-file logs to syslog, not to the terminal" <<'END'
cd /; x=$(r2fs mount "$S3_BUCKET/$PREFIX" "$MNT" --cache-dir "$CACHE" -vv 2>&1); is "$x" ""; umount_r2fs
END
it "--log-file and -v are honoured" <<'END'
cd /; rm -f "$LOG"; mount_r2fs -vv; ls "$MNT" >/dev/null; umount_r2fs; [ -s "$LOG" ]
END
it "SIGPIPE does not end the daemon" <<'END'
cd /; mount_r2fs; kill -PIPE "$(daemon_pid)"; ls "$MNT" >/dev/null; umount_r2fs
END
done_testing
