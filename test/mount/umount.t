#!/bin/bash
# The ways in which a mount ends.
. "$(dirname "$0")/../lib.sh"
start_bucket
EACH_MOUNTS=1

it "umount sends what is pending first, and exits 0" <<'END'
mount_r2fs --write-back 1h; echo x >"$MNT/pending"; exits 0 umount_r2fs; is "$(bucket get "$PREFIX/pending")" x
END
it "umount of a busy mount fails with 32 and leaves it" <<'END'
mount_r2fs; exec 5>"$MNT/busy"; exits 32 umount_r2fs 2>"$TEST_DIR/err"; grep -qi busy "$TEST_DIR/err"; is_mounted; echo still >"$MNT/still"
exec 5>&-; umount_r2fs
END
it "after a foreign umount the daemon drains by itself" <<'END'
mount_r2fs --write-back 1h; echo y >"$MNT/foreign-umount"; pid=$(daemon_pid); umount "$MNT"
wait_until 10 test ! -e /proc/$pid; is "$(bucket get "$PREFIX/foreign-umount")" y
END
it "fusermount3 -u ends a mount as well" <<'END'
mount_r2fs --write-back 1h; echo z >"$MNT/fusermount"; pid=$(daemon_pid); fusermount3 -u "$MNT"
wait_until 10 test ! -e /proc/$pid; is "$(bucket get "$PREFIX/fusermount")" z
END
it "a new mount takes over a cache whose daemon is still draining" 40 <<'END'
mount_r2fs --write-back 1h; echo w >"$MNT/takeover"; sim_config frozen=true; umount "$MNT"
sleep 0.5; sim_config frozen=false; mount_r2fs; is "$(cat "$MNT/takeover")" w
wait_until 5 bucket head "$PREFIX/takeover"; umount_r2fs
END
it "flush of a subdirectory returns when what is under it is in the bucket" <<'END'
# What was written before it may go along, by the order of promise 8.
mount_r2fs --write-back 1h; mkdir "$MNT/sub"; echo a >"$MNT/sub/a"; r2fs flush "$MNT/sub"; is "$(bucket get "$PREFIX/sub/a")" a; umount_r2fs
END
it "flush of a file sends that file" <<'END'
mount_r2fs --write-back 1h; echo one >"$MNT/one"; r2fs flush "$MNT/one"; is "$(bucket get "$PREFIX/one")" one; umount_r2fs
END
it "kill -9 loses nothing that was closed: the next mount has it and sends it" <<'END'
mount_r2fs --write-back 1h; echo killed >"$MNT/killed"; pid=$(daemon_pid); kill -9 $pid; wait_until 5 test ! -e /proc/$pid
umount -l "$MNT"; mount_r2fs; is "$(cat "$MNT/killed")" killed; wait_until 5 bucket head "$PREFIX/killed"; umount_r2fs
END
it "a hung bucket never hangs umount for longer than its drain time" 40 <<'END'
mount_r2fs --write-back 1h; echo h >"$MNT/hung"; sim_config frozen=true; start=$(now_ms)
exits 3 r2fs umount --drain-timeout 2s "$MNT" 2>/dev/null; at_most $(($(now_ms) - start)) 8000; sim_config frozen=false
mount_r2fs; flush; umount_r2fs
END
it "an interrupted program is answered within 100 ms while the bucket hangs" 40 <<'END'
head -c 20000000 /dev/zero | bucket put "$PREFIX/cold"; mount_r2fs; ls "$MNT" >/dev/null; sim_config frozen=true
cat "$MNT/cold" >/dev/null 2>&1 & c=$!
sleep 1; start=$(now_ms); kill -TERM $c; wait $c 2>/dev/null || true; took=$(($(now_ms) - start)); sim_config frozen=false
at_most $took 150 "ms"; is "$(wc -c <"$MNT/cold")" 20000000; umount_r2fs
END
done_testing
