#!/bin/bash
# Programs at work on the mount.
. "$(dirname "$0")/../lib.sh"
start_bucket
mount_r2fs || bail "no mount"
export GIT_CONFIG_GLOBAL=$TEST_DIR/gitconfig GIT_CONFIG_NOSYSTEM=1
printf '[user]\nname = t\nemail = t@example.org\n[safe]\ndirectory = *\n' >"$GIT_CONFIG_GLOBAL"

it "git init, add, commit, status and log" 60 <<'END'
"$TOP/test/tree" src 200; cd src; git init -q .; git add -A; git commit -qm one; is "$(git status --porcelain)" ""; is "$(git log --oneline | wc -l)" 1
END
it "git clone from the mount to the mount, and fsck" 60 <<'END'
git clone -q src clone; cd clone; is "$(git status --porcelain)" ""; git fsck --strict 2>&1 | tee "$TEST_DIR/fsck"; not grep -q error "$TEST_DIR/fsck"
END
it "git status is clean after a remount with an empty cache" 60 <<'END'
cd /; remount_cold; cd "$MNT/clone"; is "$(git status --porcelain)" ""; git fsck --connectivity-only
END
it "python3 -m venv makes an environment that runs" 120 <<'END'
python3 -m venv venv; is "$(venv/bin/python -c 'import sys; print(sys.prefix)')" "$MNT/venv"; venv/bin/python -m pip --version
END
it "the environment runs after a remount with an empty cache" 120 <<'END'
cd /; remount_cold; cd "$MNT"; is "$(venv/bin/python -c 'import json; print(json.dumps([1]))')" "[1]"
END
it "make -j2 builds a small C program" 60 <<'END'
mkdir c; cd c
for i in 1 2 3 4 5 6; do printf 'int f%d(void) { return %d; }\n' $i $i >f$i.c; done
printf '#include <stdio.h>\nint f1(void);\nint main(void) { printf("%%d\\n", f1()); return 0; }\n' >main.c
printf 'prog: main.o f1.o f2.o f3.o f4.o f5.o f6.o\n\t$(CC) -o $@ $^\n' >Makefile
make -s -j2; is "$(./prog)" 1; make -q
END
it "SQLite in rollback mode keeps a database whole" 60 <<'END'
sqlite3 db.sqlite 'create table t(a); begin; insert into t select value from generate_series(1, 5000); commit;' 2>/dev/null ||
    sqlite3 db.sqlite 'create table if not exists t(a); with recursive n(i) as (values(1) union all select i + 1 from n where i < 5000) insert into t select i from n;'
for i in 1 2 3 4 5; do sqlite3 db.sqlite "update t set a = a + 1 where a % $i = 0"; done
is "$(sqlite3 db.sqlite 'pragma integrity_check')" ok; is "$(sqlite3 db.sqlite 'select count(*) from t')" 5000
END
it "the database is whole in the bucket" 60 <<'END'
flush; bucket get "$PREFIX/db.sqlite" >"$TEST_DIR/db"; is "$(sqlite3 "$TEST_DIR/db" 'pragma integrity_check')" ok; cmp "$TEST_DIR/db" db.sqlite
END
it "a program runs from the mount" <<'END'
cp /bin/echo echo; is "$(./echo works)" works
END
it "editors' ways of saving work: rename over, and a backup beside it" <<'END'
echo one >text; sed -i s/one/two/ text; is "$(<text)" two
cp text text~; echo three >text.tmp; mv text.tmp text; is "$(<text~)" two; is "$(<text)" three
END
it "rsync of what is there transfers nothing a second time" 60 <<'END'
command -v rsync >/dev/null || exit 0
rsync -a src/ copy/; rsync -a --itemize-changes src/ copy/ >"$TEST_DIR/rsync"; not [ -s "$TEST_DIR/rsync" ] || { head "$TEST_DIR/rsync"; false; }
END
done_testing
