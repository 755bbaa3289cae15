#!/bin/bash
# What programs cost in requests of the kernel to the daemon, and in requests to the bucket. Numbers are those of the design;
# they hold on every kernel. Runs under the emulated kernel too.
. "$(dirname "$0")/../lib.sh"
start_bucket
mount_r2fs --write-back 10m --poll-interval 1h || bail "no mount"

# cost LIMIT [OPCODE] -- COMMAND...: at most LIMIT requests while COMMAND runs. Forgets and releases, which the kernel sends when
# it likes, are not in the total.
cost() {
    local limit=$1 opcode=total; shift
    [ "$1" = -- ] || { opcode=$1; shift; }
    shift
    status .kernel >"$TEST_DIR/before"
    at_most "$(kernel_requests "$opcode" "$@")" "$limit" "$opcode: $*" || { status .kernel | diff "$TEST_DIR/before" - ; return 1; }
}
# Below the root, whose attributes the counting itself asks for.
mkdir "$MNT/w"

it "create, write and close cost 6 requests" <<'END'
cd w
# A shell would dup and close the descriptor, and flush twice.
mkdir create; cost 60 -- "$TOP/test/bench/workload" create create 10 100
END
it "a second stat costs none" <<'END'
cd w
echo x >stat; stat stat >/dev/null; cost 0 -- stat stat
END
it "a stat after the last write and first read costs none" <<'END'
cd w
echo x >written; cat written >/dev/null; stat written >/dev/null; cost 0 -- stat written
END
it "unlink costs 2 requests" <<'END'
cd w
: >unlink; stat unlink >/dev/null; cost 2 -- rm -f unlink
END
it "open, read and close of a cached file cost 2 requests" <<'END'
cd w
echo x >cached; read_it() { read -r line <cached; }
read_it; cost 2 -- read_it
END
it "a second find costs at most 3 requests a directory" <<'END'
cd w
for d in 1 2 3 4; do mkdir -p find/$d; for f in 1 2 3 4 5; do : >find/$d/$f; done; done
find find -ls >/dev/null; cost 15 -- find find -ls
END
it "unpacking a file with tar costs at most 10 requests" <<'END'
cd w
mkdir src; for i in 1 2 3 4 5 6 7 8 9 10; do echo $i >src/$i; done; tar -cf "$TEST_DIR/s.tar" src; rm -r src
cost 110 -- tar -xf "$TEST_DIR/s.tar"
END
it "copying a file with cp -a costs at most 8 requests" <<'END'
cd w
mkdir from; for i in 1 2 3 4 5 6 7 8 9 10; do echo $i >from/$i; done; cp -a from warm
cost 95 -- cp -a from copy
END
it "find with the kernel's caches empty costs no LOOKUP, and few READDIRPLUS" 90 <<'END'
# An answer holds 20 names or more on kernel 6.1, 150 on newer ones.
mkdir w/big; for i in {1..100}; do echo >w/big/$i; done; ls -l w/big >/dev/null
cd /; remount --write-back 10m --poll-interval 1h; cd "$MNT"; ls w >/dev/null
# One, for the name big itself.
cost 1 lookup -- find w/big -ls
cd /; remount --write-back 10m --poll-interval 1h; cd "$MNT"; ls w >/dev/null
cost 9 readdirplus -- find w/big -ls
END
it "cached data and metadata cost no request to the bucket" <<'END'
cd w
before=$(sim_total); find . -ls >/dev/null; cat cached written big/1 >/dev/null; not [ -e missing ]; not [ -e missing ]; is "$(sim_total)" "$before"
END
it "a file costs one request to the bucket, whatever was done to it before it was sent" <<'END'
cd w
flush; puts=$(sim_counts Put) all=$(sim_total)
for i in 1 2 3 4 5; do echo $i >>often; done; chmod 600 often; touch often; mv often often2
flush; is "$(($(sim_counts Put) - puts))" 1
END
done_testing
