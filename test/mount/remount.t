#!/bin/bash
# A tree of 1,500 files, after a remount with an empty cache and through the eyes of other S3 clients.
. "$(dirname "$0")/../lib.sh"
start_bucket
mount_r2fs || bail "no mount"
"$TOP/test/tree" "$TEST_DIR/tree" 1500
tar --format=posix -C "$TEST_DIR" -cf "$TEST_DIR/tree.tar" tree

# Directory sizes and link counts are the file system's own; times of symlinks are not kept by tar -x everywhere.
manifest() { (cd "$1" && find . -type l -printf '%P l %m %l %U %G\n' -o -printf '%P %y %m %U %G %T@ ' \( -type d -printf '\n' -o -printf '%s\n' \)) | sort; }

it "a tree of 1,500 files unpacks" 60 <<'END'
tar -xf "$TEST_DIR/tree.tar"
manifest "$TEST_DIR/tree" >"$TEST_DIR/wanted"
manifest tree >"$TEST_DIR/got"; diff "$TEST_DIR/wanted" "$TEST_DIR/got"
END
it "all of it reaches the bucket" 60 <<'END'
flush; is "$(pending)" 0
END
it "modes, owners, times, symlinks and empty directories survive a remount with an empty cache" 60 <<'END'
cd /; remount_cold; cd "$MNT"
manifest tree >"$TEST_DIR/got"; diff "$TEST_DIR/wanted" "$TEST_DIR/got"
END
it "contents survive it too" 60 <<'END'
diff -r --no-dereference "$TEST_DIR/tree" tree
END
it "the same tree is there after a remount with the same cache, without another look at each file" 60 <<'END'
cd /; umount_r2fs; heads=$(sim_counts Head) gets=$(sim_counts Get); mount_r2fs; cd "$MNT"
manifest tree >"$TEST_DIR/got"; diff "$TEST_DIR/wanted" "$TEST_DIR/got"
is "$(sim_counts Head) $(sim_counts Get)" "$heads $gets"
END
it "another S3 client finds plain keys: a file each, no other name" 60 <<'END'
# A folder has an object only where it is empty, or tar set its time.
(cd "$TEST_DIR/tree" && find . \( -type f -o -type l \) -printf 'tree/%P\n' -o -type d -printf 'tree/%P/\n') | sed 's,^tree//,tree/,' | LC_ALL=C sort >"$TEST_DIR/names"
bucket ls "$PREFIX/" | cut -d' ' -f3- | grep -v "^$PREFIX/\.r2fs/" | sed "s,^$PREFIX/,," | LC_ALL=C sort >"$TEST_DIR/keys"
is "$(LC_ALL=C comm -13 "$TEST_DIR/names" "$TEST_DIR/keys")" ""
is "$(LC_ALL=C comm -23 "$TEST_DIR/names" "$TEST_DIR/keys" | grep -v '/$')" ""
END
it "rclone copies the tree from the bucket with equal bodies" 60 <<'END'
export RCLONE_CONFIG_SIM_TYPE=s3 RCLONE_CONFIG_SIM_PROVIDER=Other RCLONE_CONFIG_SIM_ENDPOINT=$S3_ENDPOINT_URL \
    RCLONE_CONFIG_SIM_ACCESS_KEY_ID=$S3_ACCESS_KEY RCLONE_CONFIG_SIM_SECRET_ACCESS_KEY=$S3_ACCESS_SECRET
rclone --config /dev/null --no-traverse --transfers 16 copy "SIM:$S3_BUCKET/$PREFIX/tree" "$TEST_DIR/copy"
cd "$TEST_DIR/tree"; find . -type f -print0 | sort -z | xargs -0 sha256sum >"$TEST_DIR/sums"
cd "$TEST_DIR/copy"; sha256sum --quiet -c "$TEST_DIR/sums"
END
it "a symlink is an object whose body is the target, as s3fs has it" <<'END'
link=$(cd "$TEST_DIR/tree" && find . -type l -printf '%P\n' | head -n 1)
is "$(bucket get "$PREFIX/tree/$link")" "$(readlink "$TEST_DIR/tree/$link")"
bucket head "$PREFIX/tree/$link" | grep -x 'x-amz-meta-mode: 41471'
END
it "pending uploads continue at the next mount" <<'END'
cd /; umount_r2fs; mount_r2fs --write-back 1h; cd "$MNT"
echo later >pending; cd /; sim_config frozen=true
exits 3 r2fs umount "$MNT" --drain-timeout 0 2>"$TEST_DIR/err"; grep -q pending "$TEST_DIR/err"; sim_config frozen=false
mount_r2fs; wait_until 3 bucket head "$PREFIX/pending"
is "$(bucket get "$PREFIX/pending")" later
END
done_testing
