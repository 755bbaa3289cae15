#!/bin/bash
# Objects that other tools made: who owns them, what they mean, and that they keep what r2fs does not know.
. "$(dirname "$0")/../lib.sh"
start_bucket
EACH_MOUNTS=1
put() { bucket put "$@"; }; 
echo plain | bucket put "$PREFIX/plain"
it "an object without metadata has mode 644, a directory 755, and belongs to whoever mounts" <<'END'
echo 1 | put "$PREFIX/dir/file"; mount_r2fs
is "$(stat -c '%a %u %g' "$MNT/plain")" "644 0 0"; is "$(stat -c '%a %u %g' "$MNT/dir")" "755 0 0"; umount_r2fs
END
it "--uid, --gid, --umask, --file-perms and --dir-perms say what such objects get" <<'END'
rm -rf "$CACHE"; mount_r2fs --uid 1000 --gid 1001 --umask 027
is "$(stat -c '%a %u %g' "$MNT/plain")" "640 1000 1001"; is "$(stat -c '%a %u %g' "$MNT/dir")" "750 1000 1001"; umount_r2fs
mount_r2fs --file-perms 0600 --dir-perms 0700; is "$(stat -c %a "$MNT/plain")" 600; is "$(stat -c %a "$MNT/dir")" 700; umount_r2fs
END
it "under sudo such objects belong to the caller" <<'END'
SUDO_UID=1000 SUDO_GID=1000 mount_r2fs --allow-other; is "$(stat -c '%u %g' "$MNT/plain")" "1000 1000"
setpriv --reuid 1000 --regid 1000 --clear-groups bash -c 'echo mine >"$MNT/by-user"'; is "$(stat -c %u "$MNT/by-user")" 1000; umount_r2fs
END
it "without --allow-other another user sees nothing" <<'END'
mount_r2fs; not setpriv --reuid 1000 --regid 1000 --clear-groups ls "$MNT" 2>/dev/null; umount_r2fs
END
it "chown -R to the owner that stands already sends no mutating request, over 1,000 foreign objects" 60 <<'END'
mkdir -p "$TEST_DIR/many"; for i in $(seq 1000); do echo >"$TEST_DIR/many/$i"; done; put-tree() { bucket put-tree "$@"; }
put-tree "$TEST_DIR/many" "$PREFIX/many/"; rm -rf "$CACHE"; mount_r2fs --uid 1000 --gid 1000
before=$(sim_mutations); chown -R 1000:1000 "$MNT/many"; flush; is "$(sim_mutations)" "$before"; umount_r2fs
END
it "a metadata-only change keeps another client's headers and metadata" <<'END'
echo '{}' | put "$PREFIX/headers.json" -H 'Content-Type: application/vnd.test+json' -H 'Cache-Control: max-age=60' -H 'Content-Disposition: attachment' -H 'x-amz-meta-theirs: kept'
rm -rf "$CACHE"; mount_r2fs; chmod 600 "$MNT/headers.json"; flush; bucket head "$PREFIX/headers.json" >"$TEST_DIR/head"; umount_r2fs
for line in 'content-type: application/vnd.test+json' 'cache-control: max-age=60' 'content-disposition: attachment' 'x-amz-meta-theirs: kept' 'x-amz-meta-mode: 33152'; do
    grep -qxiF "$line" "$TEST_DIR/head" || { echo "no $line in"; cat "$TEST_DIR/head"; false; }
done
END
it "a new file's content type follows its name" <<'END'
mount_r2fs; echo x >"$MNT/page.html"; echo x >"$MNT/unknown.zzz"; flush
bucket head "$PREFIX/page.html" | grep -qix 'content-type: text/html.*'; bucket head "$PREFIX/unknown.zzz" | grep -qix 'content-type: application/octet-stream'; umount_r2fs
END
it "a file's mode, owner and times are in the bucket as s3fs writes them" <<'END'
mount_r2fs; echo x >"$MNT/s3fs"; chmod 640 "$MNT/s3fs"; chown 12:34 "$MNT/s3fs"; touch -d @1500000000.5 "$MNT/s3fs"; flush
bucket head "$PREFIX/s3fs" >"$TEST_DIR/head"; umount_r2fs
grep -qx 'x-amz-meta-mode: 33184' "$TEST_DIR/head"; grep -qx 'x-amz-meta-uid: 12' "$TEST_DIR/head"; grep -qx 'x-amz-meta-gid: 34' "$TEST_DIR/head"; grep -qE '^x-amz-meta-mtime: 1500000000\.50*$' "$TEST_DIR/head"
END
it "modes as s3fs, geesefs and rclone write them are understood" <<'END'
echo 1 | put "$PREFIX/enc/s3fs" -H 'x-amz-meta-mode: 33261' -H 'x-amz-meta-uid: 5' -H 'x-amz-meta-mtime: 1400000000'
echo 1 | put "$PREFIX/enc/rclone" -H 'x-amz-meta-mode: 0100751' -H 'x-amz-meta-mtime: 1400000000.25'
printf target | put "$PREFIX/enc/link" -H 'x-amz-meta-mode: 41471'
: | put "$PREFIX/enc/glink" -H 'x-amz-meta---symlink-target: elsewhere'
rm -rf "$CACHE"; mount_r2fs; cd "$MNT/enc"
is "$(stat -c '%a %u %Y' s3fs)" "755 5 1400000000"; is "$(stat -c '%a %.2Y' rclone)" "751 1400000000.25"; is "$(readlink link)" target; is "$(readlink glink)" elsewhere
cd /; umount_r2fs
END
it "an object dir/ is a directory, with its mode" <<'END'
: | put "$PREFIX/marked/" -H 'Content-Type: application/x-directory' -H 'x-amz-meta-mode: 16832'; mount_r2fs; wait_until 10 test -d "$MNT/marked"; is "$(stat -c %a "$MNT/marked")" 700; umount_r2fs
END
it "a .keep object is an ordinary empty file, and stays" <<'END'
: | put "$PREFIX/kept/.keep"; mount_r2fs; wait_until 10 test -e "$MNT/kept/.keep"; echo x >"$MNT/kept/file"; flush; is "$(ls -A "$MNT/kept" | tr '\n' ' ')" ".keep file "; bucket head "$PREFIX/kept/.keep" >/dev/null; umount_r2fs
END
it "both a and a/ in the bucket: the directory has the name, the object shows beside it" <<'END'
echo object | put "$PREFIX/both"; echo inside | put "$PREFIX/both/inside"; rm -rf "$CACHE"; mount_r2fs
is "$(cat "$MNT/both/inside")" inside; is "$(cat "$MNT/both.r2fs-file")" object; umount_r2fs
END
it "a file changed here and there is kept as both" 40 <<'END'
echo base | put "$PREFIX/conflict"; rm -rf "$CACHE"; mount_r2fs --poll-interval 1h --write-back 2s; cd "$MNT"; is "$(<conflict)" base
echo ours >conflict; echo theirs | put "$PREFIX/conflict"
flush; cd /; r2fs flush "$MNT"; kill -HUP "$(daemon_pid)"
both() { [ "$(cat "$MNT"/conflict "$MNT"/conflict.conflict-* | sort | tr '\n' ' ')" = "ours theirs " ]; }
wait_until 5 both; is "$(bucket get "$PREFIX/conflict")" theirs; umount_r2fs
END
it "--read-only refuses writes with EROFS, and asks for nothing but List, Get and Head" <<'END'
rm -rf "$CACHE"; before=$(sim_mutations); mount_r2fs --read-only; cd "$MNT"
is "$(<plain)" plain
for try in ': >new' 'echo x >plain' 'mkdir d' 'rm plain' 'mv plain q' 'chmod 600 plain' 'ln -s a b' 'truncate -s 0 plain'; do not eval "$try" 2>"$TEST_DIR/err"; grep -q 'Read-only' "$TEST_DIR/err" || { echo "$try"; false; }; done
cd /; is "$(status .mode)" ro; umount_r2fs; is "$(sim_mutations)" "$before"
END
it "r2fs ls lists as rclone ls does: sizes and paths relative to the argument" <<'END'
printf 12345 | put "$PREFIX/ls/five"; printf 1 | put "$PREFIX/ls/sub/one"
r2fs ls "$S3_BUCKET/$PREFIX/ls" | sed 's/^ *//' | sort >"$TEST_DIR/ls"; is "$(tr '\n' , <"$TEST_DIR/ls")" "1 sub/one,5 five,"
END
done_testing
