#!/bin/bash
# When the bucket sees what a program wrote, and a program what others put in the bucket.
. "$(dirname "$0")/../lib.sh"
start_bucket --delay-ms 20
mount_r2fs --poll-interval 1s || bail "no mount"

it "a closed file is in the bucket two seconds later, 50 times of 50, at 20 ms of round trip" 60 <<'END'
one() { echo test >"f$1"; sleep 2; "$R2FS" ls "$S3_BUCKET/$PREFIX" >"$TEST_DIR/ls.$1"; grep -q "^ *5 f$1$" "$TEST_DIR/ls.$1" || echo "f$1" >>"$TEST_DIR/late"; }
for i in $(seq 50); do one "$i" & sleep 0.15; done
wait
! [ -e "$TEST_DIR/late" ] || { cat "$TEST_DIR/late"; false; }
END
it "nothing is sent before a second has passed since the close" <<'END'
# By the bucket's clock and the file's, which are this machine's.
sim_dump "$PREFIX/f" | jq -r '"\(.key) \(.last_modified) \(.meta.mtime)"' >"$TEST_DIR/ages"
is "$(wc -l <"$TEST_DIR/ages")" 50
awk '{ age = $2 - 1000 * $3; if (age < 990 || age > 2000) { print $1, age " ms"; bad = 1 } } END { exit bad }' "$TEST_DIR/ages"
END
it "what lives less than a second never reaches the bucket" <<'END'
before=$(sim_counts Put)
for i in $(seq 20); do echo x >temp.$i; mv temp.$i kept; done
echo y >brief; rm brief
flush
at_most "$(($(sim_counts Put) - before))" 1
END
it "a file that another client puts appears within the poll interval" <<'END'
not [ -e foreign ]; echo new | bucket put "$PREFIX/foreign"
wait_until 2 test -e foreign; is "$(<foreign)" new
END
it "a file that another client changes is read new within the poll interval" <<'END'
is "$(<foreign)" new; echo newer | bucket put "$PREFIX/foreign"
changed() { [ "$(<foreign)" = newer ]; }
wait_until 2 changed
END
it "a file that another client removes vanishes within the poll interval" <<'END'
bucket rm "$PREFIX/foreign"; wait_until 3 test ! -e foreign
END
it "a directory that another client fills appears in a listing" <<'END'
ls >/dev/null; echo 1 | bucket put "$PREFIX/newdir/a"
listed() { ls | grep -qx newdir; }
wait_until 2 listed; is "$(ls newdir)" a
END
it "a program that holds the directory open sees the change without opening it again" <<'END'
mkdir held; cd held; : >mine; flush
echo 1 | bucket put "$PREFIX/held/theirs"
listed() { ls . | grep -qx theirs; }
wait_until 2 listed
END
it "a mode that another client sets is seen" <<'END'
echo 1 | bucket put "$PREFIX/moded" -H 'x-amz-meta-mode: 33184'; wait_until 2 test -e moded
is "$(stat -c %a moded)" 640
echo 1 | bucket put "$PREFIX/moded" -H 'x-amz-meta-mode: 33152'
seen() { [ "$(stat -c %a moded)" = 600 ]; }
wait_until 2 seen
END
it "a mass deletion is applied after a second listing agreed" <<'END'
mkdir -p "$TEST_DIR/mass"; for i in $(seq 60); do echo $i >"$TEST_DIR/mass/$i"; done
bucket put-tree "$TEST_DIR/mass" "$PREFIX/mass/"
all() { [ "$(ls mass 2>/dev/null | wc -l)" = 60 ]; }
wait_until 3 all
bucket rm-prefix "$PREFIX/mass/"
none() { [ "$(ls mass 2>/dev/null | wc -l)" = 0 ]; }
wait_until 5 none
END
it "a loop of stat on a missing name sees it come, after 100 idle intervals too" 60 <<'END'
cd /; umount_r2fs; mount_r2fs --poll-interval 100ms; cd "$MNT"
not stat later 2>/dev/null; sleep 10
echo 1 | bucket put "$PREFIX/later"
wait_until 1 stat later
END
done_testing
