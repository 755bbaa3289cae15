#!/bin/bash
# rclone's command lines, with an rclone.conf, as scripts have them.
. "$(dirname "$0")/../lib.sh"
start_bucket
EACH_MOUNTS=1
PREFIX=threads/T; export PREFIX
cat >"$TEST_DIR/rclone.conf" <<END
[r2]
type = s3
provider = Cloudflare
access_key_id = $S3_ACCESS_KEY
secret_access_key = $S3_ACCESS_SECRET
endpoint = $S3_ENDPOINT_URL
region = auto
acl = private
[vault]
type = crypt
remote = r2:bucket
[unset]
type = s3
access_key_id = \${KEY}
END
unset S3_ENDPOINT_URL; export KEY_ID=$S3_ACCESS_KEY SECRET=$S3_ACCESS_SECRET
unset S3_ACCESS_KEY S3_ACCESS_SECRET
# Helpers that speak to the bucket need them again.
sees() { S3_ENDPOINT_URL=$SIM_URL S3_ACCESS_KEY=$KEY_ID S3_ACCESS_SECRET=$SECRET bucket "$@"; }
rmount() { r2fs mount "r2:$S3_BUCKET/$PREFIX" "$MNT" --config "$TEST_DIR/rclone.conf" --cache-dir "$CACHE" --log-file "$LOG" "$@"; }

it "a remote of rclone.conf is mounted, and mount shows it as typed" <<'END'
rmount --daemon --vfs-cache-mode full --vfs-write-back 1s; mount | grep -F "r2:$S3_BUCKET/$PREFIX on $MNT type fuse.r2fs"
echo x >"$MNT/f"; flush; is "$(sees get "$PREFIX/f")" x; umount_r2fs
END
it "options may stand before the subcommand" <<'END'
r2fs --config "$TEST_DIR/rclone.conf" --log-file "$LOG" mount "r2:$S3_BUCKET/$PREFIX" "$MNT" --cache-dir "$CACHE" --allow-other --daemon; is_mounted; umount_r2fs
END
it "the usual mount line of rclone works, every flag of it" <<'END'
rmount --vfs-cache-mode full --vfs-cache-max-size 1Gi --vfs-cache-max-age 24h --vfs-write-back 1s --vfs-read-chunk-size 64M --vfs-read-ahead 128M --buffer-size 32M \
    --dir-cache-time 5s --poll-interval 5s --attr-timeout 1s --transfers 16 --checkers=8 --low-level-retries 10 --retries 3 --timeout 1m30s --contimeout 10s \
    --use-mmap --fast-list --no-modtime=false --no-checksum --s3-no-check-bucket --s3-chunk-size 16M --tpslimit 0 --bwlimit off --stats 0 --umask 022 --uid 0 --gid 0 \
    --allow-other --allow-non-empty --async-read=true --write-back-cache --volname x --log-level INFO --daemon --daemon-timeout 30s --daemon-wait 10s -o noatime -v
is_mounted; umount_r2fs
END
it "flags that mean nothing here leave one line in the log each" <<'END'
rm -f "$LOG"; rmount --vfs-read-chunk-size 64M --use-mmap; umount_r2fs; is "$(grep -c vfs-read-chunk-size "$LOG")" 1; is "$(grep -c use-mmap "$LOG")" 1
END
it "a flag that changes which files are seen is a usage error that says so" <<'END'
for flag in '--exclude=*.tmp' '--filter=- *.tmp' --vfs-case-insensitive --s3-storage-class=STANDARD_IA; do
    exits 1 rmount "$flag" 2>"$TEST_DIR/err"; name=${flag%%=*}; grep -qF -- "${name#--}" "$TEST_DIR/err" || { echo "$flag"; cat "$TEST_DIR/err"; false; }
done
END
it "a flag that carries a secret is refused without printing it" <<'END'
exits 1 rmount --s3-secret-access-key verysecret 2>"$TEST_DIR/err"; not grep verysecret "$TEST_DIR/err"; grep -q s3-secret-access-key "$TEST_DIR/err"
END
it "a remote of another type, or with an unset variable in it, is refused in one sentence" <<'END'
exits 1 r2fs mount vault:bucket/x "$MNT" --config "$TEST_DIR/rclone.conf" --cache-dir "$CACHE" 2>"$TEST_DIR/err"; is "$(wc -l <"$TEST_DIR/err")" 1; grep -q crypt "$TEST_DIR/err"
exits 1 r2fs mount unset:bucket/x "$MNT" --config "$TEST_DIR/rclone.conf" --cache-dir "$CACHE" 2>"$TEST_DIR/err"; is "$(wc -l <"$TEST_DIR/err")" 1; grep -qF '${' "$TEST_DIR/err"
END
it "a remote that is nowhere is refused and named" <<'END'
exits 1 r2fs mount nowhere:bucket/x "$MNT" --config "$TEST_DIR/rclone.conf" --cache-dir "$CACHE" 2>"$TEST_DIR/err"; grep -q nowhere "$TEST_DIR/err"
END
it "RCLONE_CONFIG_NAME_ variables make a remote without a file" <<'END'
export RCLONE_CONFIG_ENVR_TYPE=s3 RCLONE_CONFIG_ENVR_PROVIDER=Cloudflare RCLONE_CONFIG_ENVR_ACCESS_KEY_ID=$KEY_ID RCLONE_CONFIG_ENVR_SECRET_ACCESS_KEY=$SECRET RCLONE_CONFIG_ENVR_ENDPOINT=$SIM_URL
r2fs mount "envr:$S3_BUCKET/$PREFIX" "$MNT" --cache-dir "$CACHE" --log-file "$LOG"; is_mounted; umount_r2fs
END
it "RCLONE_CONFIG names the file" <<'END'
RCLONE_CONFIG=$TEST_DIR/rclone.conf r2fs mount "r2:$S3_BUCKET/$PREFIX" "$MNT" --cache-dir "$CACHE"; is_mounted; umount_r2fs
END
it "env_auth takes the keys from the environment" <<'END'
printf '[e]\ntype = s3\nenv_auth = true\nendpoint = %s\n' "$SIM_URL" >"$TEST_DIR/env.conf"
AWS_ACCESS_KEY_ID=$KEY_ID AWS_SECRET_ACCESS_KEY=$SECRET r2fs mount "e:$S3_BUCKET/$PREFIX" "$MNT" --config "$TEST_DIR/env.conf" --cache-dir "$CACHE"; is_mounted; umount_r2fs
END
it "every long option is an -o option too, with _ or -" <<'END'
rmount -o vfs_write_back=2s,poll-interval=3s,allow_other,uid=5,gid=6,umask=077; is "$(stat -c '%u %g' "$MNT")" "5 6"; umount_r2fs
END
it "mount.r2fs takes what mount(8) gives it" <<'END'
ln -sf "$R2FS" "$TEST_DIR/mount.r2fs"
timeout 30 "$TEST_DIR/mount.r2fs" "$S3_BUCKET/$PREFIX" "$MNT" -o "rw,_netdev,nofail,allow_other,config=$TEST_DIR/rclone.conf,cache_dir=$CACHE" 2>"$TEST_DIR/err" && exit 1
S3_ENDPOINT_URL=$SIM_URL S3_ACCESS_KEY=$KEY_ID S3_ACCESS_SECRET=$SECRET timeout 30 "$TEST_DIR/mount.r2fs" "$S3_BUCKET/$PREFIX" "$MNT" -o "rw,_netdev,nofail,allow_other,cache_dir=$CACHE"
is_mounted; umount_r2fs
END
it "R2_ and AWS_ variables are read, empty ones are not" <<'END'
R2_ENDPOINT_URL=$SIM_URL R2_ACCESS_KEY_ID=$KEY_ID R2_SECRET_ACCESS_KEY=$SECRET r2fs mount "$S3_BUCKET/$PREFIX" "$MNT" --cache-dir "$CACHE"; umount_r2fs
S3_ACCESS_KEY='' AWS_ENDPOINT_URL=$SIM_URL AWS_ACCESS_KEY_ID=$KEY_ID AWS_SECRET_ACCESS_KEY=$SECRET r2fs mount "$S3_BUCKET/$PREFIX" "$MNT" --cache-dir "$CACHE"; umount_r2fs
END
done_testing
