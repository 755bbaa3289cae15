#!/bin/bash
# What can be wrong with a mount, a flush or an umount: one sentence on stderr that names the thing, and the exit code of its kind.
. "$(dirname "$0")/../lib.sh"
start_bucket
EACH_MOUNTS=1

# says TEXT...: the command before left one line on stderr, with each TEXT in it.
says() {
    local text
    is "$(wc -l <"$TEST_DIR/err")" 1 || { cat "$TEST_DIR/err"; return 1; }
    for text; do grep -qiF -- "$text" "$TEST_DIR/err" || { echo "no \"$text\" in:"; cat "$TEST_DIR/err"; return 1; }; done
    not grep -F -- "$S3_ACCESS_SECRET" "$TEST_DIR/err"
}
# fails CODE OPTION...: r2fs mount ends with CODE, leaves no mount and no daemon.
fails() {
    local code=$1; shift
    exits "$code" mount_r2fs "$@" 2>"$TEST_DIR/err" || return 1
    ! is_mounted || { echo "mounted all the same"; return 1; }
    ! daemon_pid || { echo "a daemon is left"; return 1; }
}

it "a wrong key is 32 and named with the server's code" <<'END'
S3_ACCESS_KEY=wrongkey fails 32; says InvalidAccessKeyId
END
it "a wrong secret is 32 and named with the server's code" <<'END'
S3_ACCESS_SECRET=wrongsecret fails 32; says SignatureDoesNotMatch
END
it "a missing bucket is 32 and named" <<'END'
S3_BUCKET=nosuchbucket fails 32; says NoSuchBucket nosuchbucket
END
it "a key that may not read is 32" <<'END'
sim_config denied=true; fails 32; sim_config denied=false; says AccessDenied
END
it "an endpoint that refuses connections is 32 within ten seconds or so" <<'END'
start=$(now_ms); S3_ENDPOINT_URL=http://127.0.0.1:9 fails 32; says 127.0.0.1:9
at_most $(($(now_ms) - start)) 12000
END
it "an endpoint that never answers is 32 after ten seconds or so" <<'END'
sim_config frozen=true; start=$(now_ms); fails 32; took=$(($(now_ms) - start)); sim_config frozen=false
at_most $took 13000; says "${S3_ENDPOINT_URL#http://}"
END
it "a host that has no address is 32 and named" <<'END'
S3_ENDPOINT_URL=http://no-such-host.invalid fails 32; says no-such-host.invalid
END
it "an unreachable endpoint is 32 with a warm cache too" 40 <<'END'
mount_r2fs; echo x >"$MNT/warm"; flush; umount_r2fs
S3_ENDPOINT_URL=http://127.0.0.1:9 fails 32
END
it "a clock that is off by a day is no error: the server's is used" <<'END'
sim_config clock_skew_s=86400; mount_r2fs; ls "$MNT" >/dev/null; echo x >"$MNT/skew"; flush; umount_r2fs; sim_config clock_skew_s=0
END
it "a clock that the server goes on refusing is 32 and says clock" <<'END'
sim_fault '{"answer": "status", "status": 403, "code": "RequestTimeTooSkewed", "count": 0}' >/dev/null; fails 32; sim_faults_clear; says clock RequestTimeTooSkewed
END
it "a missing mount point is 32 and named" <<'END'
exits 32 r2fs mount "$S3_BUCKET/$PREFIX" "$TEST_DIR/nowhere" --cache-dir "$CACHE" 2>"$TEST_DIR/err"; says "$TEST_DIR/nowhere"
END
it "a mount point that is a file is 32 and named" <<'END'
: >"$TEST_DIR/file"
exits 32 r2fs mount "$S3_BUCKET/$PREFIX" "$TEST_DIR/file" --cache-dir "$CACHE" 2>"$TEST_DIR/err"; says "$TEST_DIR/file"
END
it "a mount point that is mounted already is 32 and named" <<'END'
mount_r2fs
exits 32 r2fs mount "$S3_BUCKET/other" "$MNT" --cache-dir "$CACHE" 2>"$TEST_DIR/err"; says "$MNT"
umount_r2fs
END
it "a cache that another daemon holds is 2 and named" <<'END'
mount_r2fs; mkdir -p "$TEST_DIR/mnt2"
exits 2 r2fs mount "$S3_BUCKET/$PREFIX" "$TEST_DIR/mnt2" --cache-dir "$CACHE" 2>"$TEST_DIR/err"; says "$CACHE"
umount_r2fs
END
it "a cache directory that cannot be made is 2 and named" <<'END'
: >"$TEST_DIR/file"
fails 2 --cache-dir "$TEST_DIR/file/cache"; says "$TEST_DIR/file"
END
it "a full disk is 2 and named" <<'END'
mkdir -p "$TEST_DIR/full"; mount -t tmpfs -o size=64k tmpfs "$TEST_DIR/full"
head -c 100000 /dev/zero >"$TEST_DIR/full/fill" 2>/dev/null || true
fails 2 --cache-dir "$TEST_DIR/full"; umount "$TEST_DIR/full"; says "$TEST_DIR/full"
END
it "no /dev/fuse is 2 and says so" <<'END'
cd /; unshare --mount --propagation private bash -euo pipefail -c 'mkdir -p "$TEST_DIR/dev"; mount --bind "$TEST_DIR/dev" /dev; fails 2'; says /dev/fuse
END
it "an unknown option is 1 and named" <<'END'
fails 1 --no-such-option; says no-such-option
END
it "a value that is no duration is 1 and named" <<'END'
fails 1 --write-back soon; says soon
END
it "a mount without a mount point is 1" <<'END'
exits 1 r2fs mount "$S3_BUCKET/$PREFIX" 2>"$TEST_DIR/err"
END
it "an unknown subcommand is 1" <<'END'
exits 1 r2fs conjure 2>"$TEST_DIR/err"; says conjure
END
it "a key without its secret is 1 and names what is missing" <<'END'
unset S3_ACCESS_SECRET; exits 1 mount_r2fs 2>"$TEST_DIR/err"; grep -qi secret "$TEST_DIR/err"
END
it "a credentials file that others can read is refused and named" <<'END'
printf '[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n' "$S3_ACCESS_KEY" "$S3_ACCESS_SECRET" >"$TEST_DIR/cred"; chmod 644 "$TEST_DIR/cred"
fails 1 --credentials "$TEST_DIR/cred"; says "$TEST_DIR/cred"
chmod 600 "$TEST_DIR/cred"; secret=$S3_ACCESS_SECRET; unset S3_ACCESS_KEY S3_ACCESS_SECRET; mount_r2fs --credentials "$TEST_DIR/cred"; umount_r2fs
END
it "umount, flush and status of a path that is no r2fs mount are 32" <<'END'
for command in umount flush status; do exits 32 r2fs $command "$TEST_DIR/home" 2>"$TEST_DIR/err"; S3_ACCESS_SECRET=unused says "$TEST_DIR/home"; done
END
it "ls with a wrong secret is 32, of a prefix with nothing 0" <<'END'
S3_ACCESS_SECRET=wrong exits 32 r2fs ls "$S3_BUCKET/$PREFIX" 2>"$TEST_DIR/err"
is "$(r2fs ls "$S3_BUCKET/nothing/here")" ""
END
it "flush that runs out of time is 3 and names what is left" <<'END'
mount_r2fs --write-back 1h; echo x >"$MNT/left"; sim_config frozen=true
exits 3 r2fs flush "$MNT" --timeout 1s 2>"$TEST_DIR/err"; sim_config frozen=false; grep -q left "$TEST_DIR/err"
flush; umount_r2fs
END
it "umount that cannot drain is 3, names what is left and where, and has unmounted" <<'END'
mount_r2fs --write-back 1h; echo x >"$MNT/kept"; sim_config frozen=true
exits 3 r2fs umount "$MNT" --drain-timeout 1s 2>"$TEST_DIR/err"; sim_config frozen=false
grep -q kept "$TEST_DIR/err"; grep -qF "$CACHE" "$TEST_DIR/err"; not is_mounted
mount_r2fs; wait_until 5 bucket head "$PREFIX/kept"; umount_r2fs
END
it "SIGTERM to a daemon that cannot drain ends it with 3" <<'END'
mount_r2fs --write-back 1h --drain-timeout 1s --foreground 2>"$TEST_DIR/err" & r=$!
wait_until 5 is_mounted; echo x >"$MNT/term"; sim_config frozen=true
kill -TERM "$(daemon_pid)"; status=0; wait $r || status=$?; sim_config frozen=false
is $status 3; mount_r2fs; wait_until 5 bucket head "$PREFIX/term"; umount_r2fs
END
it "an interrupted flush is 8" <<'END'
mount_r2fs --write-back 1h; echo x >"$MNT/int"; sim_config frozen=true
"$R2FS" flush "$MNT" 2>"$TEST_DIR/err" & f=$!
sleep 0.5; kill -INT $f; status=0; wait $f || status=$?; sim_config frozen=false
is $status 8; flush; umount_r2fs
END
it "a permanent refusal turns new writes into EROFS and heals by itself" 40 <<'END'
mount_r2fs; sim_config denied=true; echo x >"$MNT/refused"
readonly_now() { not eval 'echo y >"$MNT/after"' 2>"$TEST_DIR/err" && grep -q 'Read-only' "$TEST_DIR/err"; }
wait_until 5 readonly_now
[ -n "$(status .last_error)" ]; sim_config denied=false
writable_again() { (echo y >"$MNT/after") 2>/dev/null; }
wait_until 20 writable_again; flush; is "$(bucket get "$PREFIX/refused")" x; umount_r2fs
END
done_testing
