#!/bin/bash
# Each operation of the file system, one at a time. Runs under the emulated kernel too, so it starts few programs.
. "$(dirname "$0")/../lib.sh"
start_bucket
mount_r2fs --write-back 200ms || bail "no mount"

it "a mount is a directory that is empty when the prefix is" <<'END'
is_mounted
is "$(echo *)" "*"
END
it "what is written is read back" <<'END'
echo hello >write
is "$(<write)" hello
END
it "appending adds at the end" <<'END'
echo one >append; echo two >>append
is "$(<append)" $'one\ntwo'
END
it "opening with truncation empties a file" <<'END'
echo long >trunc; echo x >trunc
is "$(<trunc)" x
END
it "truncate cuts, and fills with zeros" <<'END'
echo hello >cut; truncate -s 2 cut; is "$(<cut)" he
truncate -s 5 cut; is "$(od -An -c cut | tr -d ' ')" 'he\0\0\0'
END
it "a write in the middle leaves the rest" <<'END'
echo hello >middle; printf L | dd of=middle bs=1 seek=2 conv=notrunc status=none
is "$(<middle)" heLlo
END
it "a file of several blocks is what was written" <<'END'
head -c 5000001 /dev/urandom >"$TEST_DIR/big"; cp "$TEST_DIR/big" big
cmp big "$TEST_DIR/big"
is "$(stat -c %s big)" 5000001
END
it "a listing shows names that were made, and . and .." <<'END'
mkdir list; : >list/a; : >list/b
is "$(ls -a list | tr '\n' ' ')" ". .. a b "
END
it "mkdir and rmdir make and remove directories" <<'END'
mkdir -p d/e/f; rmdir d/e/f
is "$(ls d/e)" ""
not rmdir d 2>"$TEST_DIR/err"; grep -q 'not empty' "$TEST_DIR/err"
END
it "mkdir of a name that is there says so" <<'END'
mkdir there; not mkdir there 2>"$TEST_DIR/err"; grep -q 'File exists' "$TEST_DIR/err"
END
it "unlink removes a file, and its name can be made again" <<'END'
echo 1 >gone; rm gone; not [ -e gone ]; echo 2 >gone; is "$(<gone)" 2
END
it "an unlinked file that is open can be read and written" <<'END'
echo open >unlinked; exec 5<>unlinked; rm unlinked
is "$(cat <&5)" open
echo more >&5
not [ -e unlinked ]
END
it "rename moves a file" <<'END'
echo r >old; mv old new; is "$(<new)" r; not [ -e old ]
END
it "rename over a file replaces it" <<'END'
echo 1 >over; echo 2 >over.new; mv over.new over; is "$(<over)" 2; not [ -e over.new ]
END
it "rename moves a directory with what is in it" <<'END'
mkdir -p from/sub; echo x >from/sub/file; mv from to
is "$(<to/sub/file)" x; not [ -e from ]
END
it "rename over an empty directory replaces it, over one with files it does not" <<'END'
mkdir ra rb rc; : >ra/f; : >rc/g
mv -T ra rb; [ -e rb/f ]
not mv -T rb rc 2>"$TEST_DIR/err"; grep -q 'not empty' "$TEST_DIR/err"
END
it "a symlink keeps its target" <<'END'
ln -s some/where sym; is "$(readlink sym)" some/where
ln -sfn else sym; is "$(readlink sym)" else
END
it "a hard link is the same file under a second name" <<'END'
echo l >l1; ln l1 l2; is "$(stat -c %i l1)" "$(stat -c %i l2)"; is "$(stat -c %h l1)" 2
echo m >>l2; is "$(<l1)" $'l\nm'
END
it "chmod, chown and times are kept" <<'END'
: >meta; chmod 640 meta; chown 12:34 meta; touch -d @1234567890.123456789 meta
is "$(stat -c '%a %u %g %.9Y' meta)" "640 12 34 1234567890.123456789"
END
it "a program's umask counts" <<'END'
(umask 027; : >masked; mkdir masked.d); is "$(stat -c %a masked)" 640; is "$(stat -c %a masked.d)" 750
END
it "an exclusive create fails when the name is there" <<'END'
: >excl; not eval 'set -C; : >excl' 2>"$TEST_DIR/err"
END
it "lookup of a missing name is ENOENT" <<'END'
not cat missing 2>"$TEST_DIR/err"; grep -q 'No such file' "$TEST_DIR/err"
END
it "a file is no directory and a directory no file" <<'END'
: >plain; mkdir folder
not ls plain/x 2>"$TEST_DIR/err"; grep -q 'Not a directory' "$TEST_DIR/err"
not eval 'echo x >folder' 2>"$TEST_DIR/err"; grep -q 'Is a directory' "$TEST_DIR/err"
END
it "fsync and fdatasync return when the file is safe" <<'END'
echo s >synced; sync synced; sync -d synced; sync .
END
it "fallocate makes a file longer" <<'END'
fallocate -l 100000 alloc; is "$(stat -c %s alloc)" 100000
fallocate -n -l 200000 alloc; is "$(stat -c %s alloc)" 100000
END
it "a punched hole reads as zeros" <<'END'
head -c 300000 /dev/urandom >hole; fallocate -p -o 65536 -l 131072 hole
cmp -n 131072 <(tail -c +65537 hole) /dev/zero; is "$(stat -c %s hole)" 300000
END
it "a lock that one process holds keeps the other out" <<'END'
: >lock; exec 5>lock; flock 5; not flock -n lock true; exec 5>&-; flock -n lock true
END
it "statfs tells of room" <<'END'
[ "$(stat -f -c %a .)" -gt 0 ]; [ "$(stat -f -c %l .)" -ge 255 ]
END
it "inode numbers stay while the mount does" <<'END'
: >ino; a=$(stat -c %i ino); mv ino ino2; is "$(stat -c %i ino2)" "$a"
END
it "a name of 255 bytes works, one of 256 does not" <<'END'
printf -v name '%0255d' 0; : >"$name"; [ -e "$name" ]; not eval ': >"${name}0"' 2>/dev/null
END
it "a segment .r2fs is not in the tree, and making one is refused" <<'END'
not mkdir .r2fs 2>"$TEST_DIR/err"; grep -q 'not permitted' "$TEST_DIR/err"; not [ -e .r2fs ]
mkdir sub.r2; not eval ': >sub.r2/.r2fs' 2>/dev/null
END
it "flush returns when everything is in the bucket, under plain keys" <<'END'
# Nothing is sent before its time, however slow the machine: a directory that is still empty then would get an object, which stays.
cd /; remount --write-back 1h; cd "$MNT"
mkdir -p keys/deep; echo body >keys/deep/file; mkdir keys/empty
flush; is "$(pending)" 0
is "$(bucket get "$PREFIX/keys/deep/file")" body
bucket ls "$PREFIX/keys/" | awk '{ print $3 }' >"$TEST_DIR/keys"
is "$(tr '\n' ' ' <"$TEST_DIR/keys")" "$PREFIX/keys/deep/file $PREFIX/keys/empty/ "
END
it "what was removed before is not in the bucket" <<'END'
not bucket head "$PREFIX/gone.never" 2>/dev/null; not bucket head "$PREFIX/old" 2>/dev/null; not bucket head "$PREFIX/from/sub/file" 2>/dev/null
END
it "a remount with an empty cache shows the same tree" <<'END'
find . ! -name . -printf '%P %y %m %U %G %s %l\n' | sort >"$TEST_DIR/before"
cd /; remount_cold --write-back 200ms; cd "$MNT"
find . ! -name . -printf '%P %y %m %U %G %s %l\n' | sort >"$TEST_DIR/after"
# A directory's size is the file system's own.
diff "$TEST_DIR/before" "$TEST_DIR/after"
cmp big "$TEST_DIR/big"
END
it "umount ends the daemon" <<'END'
pid=$(daemon_pid); cd /; umount_r2fs; not is_mounted; wait_until 2 test ! -e "/proc/$pid"
END
done_testing
