# shellcheck shell=bash
# r2sim for shell tests: source this file. Needs curl and jq.
#
#   sim_start [OPTION...]      starts build/r2sim on a port of the kernel's choice and waits until it accepts; ends when the shell does.
#                              Call it in the test's own shell, not in $(...). Without --data it keeps everything in memory.
#                              Sets SIM_PID, SIM_PORT, SIM_URL (the endpoint), SIM_BUCKET (bucket), SIM_ACCESS_KEY, SIM_SECRET_KEY
#   sim_stop                   ends it and returns its exit status
#   sim_env                    exports S3_ENDPOINT_URL, S3_ACCESS_KEY and S3_ACCESS_SECRET for r2fs
#   sim_call METHOD PATH [CURL-ARG...]   a request to /_r2sim/PATH; the answer on stdout; fails when the simulator says no
#   sim_config NAME=VALUE...   e.g. sim_config delay_ms=20 rate_limit=false; see r2sim --help for the names
#   sim_counts [KIND...]       requests since the last sim_reset, as KIND=N lines; with one KIND its number alone.
#                              Kinds: List Get Head Put Copy Delete DeleteObjects CreateMultipart UploadPart UploadPartCopy Complete Abort ...
#   sim_counts_of PREFIX [KIND...]   the same for keys that begin with PREFIX
#   sim_mutations              the number of mutating requests since the last sim_reset, keys under .r2fs/ aside
#   sim_reset                  sets counts and log back (the journal stays)
#   sim_fault JSON             adds a fault rule, e.g. '{"kind":"Put","key":"a/*","answer":"reset","effect":"done"}'; prints its id
#   sim_faults_clear           removes all rules and releases what hangs
#   sim_journal [SINCE]        the mutations as JSON, one a line
#   sim_object_put KEY [CURL-ARG...] <BODY    as another client: e.g. -H 'x-amz-meta-mode: 33188'
#   sim_object_get KEY         its bytes; fails when it is not there
#   sim_object_head KEY        its headers
#   sim_object_delete KEY
#   sim_keys [PREFIX]          the keys in the bucket, one a line
#   sim_dump [PREFIX]          the objects in the bucket as JSON, one a line: key, size, etag, meta, content_type, last_modified (ms)
#   sim_plant PREFIX COUNT [SIZE [DIRECTORIES]]   makes many objects at once
#   sim_wait SECONDS COMMAND...   until the command succeeds; fails when it did not within the time
# A key is given as it is; sim_url_key encodes it.

SIM_TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
SIM_BUCKET=bucket
SIM_ACCESS_KEY="test"
SIM_SECRET_KEY=5b1e0c47-of-r2sim # no word of any message, so that tests can look for it

sim_start() {
	local where=--memory option
	for option in "$@"; do
		case $option in --data | --data=* | --memory) where= ;; esac
	done
	SIM_DIR=$(mktemp -d "${TMPDIR:-/tmp}/r2sim.XXXXXX") || return
	"${R2SIM:-$SIM_TOP/build/r2sim}" ${where:+"$where"} --listen 127.0.0.1:0 --port-file "$SIM_DIR/port" --parent-dies --bucket "$SIM_BUCKET" \
		--access-key "$SIM_ACCESS_KEY" --secret-key "$SIM_SECRET_KEY" "$@" >"$SIM_DIR/out" 2>&1 3>&- &
	SIM_PID=$!
	if ! sim_wait 10 sim_is_decided; then
		echo "r2sim did not start" >&2
		return 1
	fi
	if [ ! -s "$SIM_DIR/port" ]; then
		cat "$SIM_DIR/out" >&2
		return 1
	fi
	SIM_PORT=$(cat "$SIM_DIR/port")
	sim_wait 10 grep -q '^r2sim: ready on' "$SIM_DIR/out" || return
	SIM_URL=$(sed -n 's/^r2sim: ready on //p' "$SIM_DIR/out")
	case $SIM_URL in https*) SIM_CONTROL="https://127.0.0.1:$SIM_PORT/_r2sim" ;; *) SIM_CONTROL="http://127.0.0.1:$SIM_PORT/_r2sim" ;; esac
}

# It listens, or has ended.
sim_is_decided() { [ -s "$SIM_DIR/port" ] || ! kill -0 "$SIM_PID" 2>/dev/null; }

sim_stop() {
	local status=0
	[ -n "${SIM_PID:-}" ] || return 0
	kill "$SIM_PID" 2>/dev/null
	wait "$SIM_PID" || status=$?
	rm -rf "${SIM_DIR:?}"
	SIM_PID=
	return "$status"
}

sim_env() {
	unset S3_ACCESS_KEY_ID S3_SECRET_ACCESS_KEY S3_SESSION_TOKEN S3_REGION
	export S3_ENDPOINT_URL=$SIM_URL S3_ACCESS_KEY=$SIM_ACCESS_KEY S3_ACCESS_SECRET=$SIM_SECRET_KEY
}

sim_url_key() { jq -rn --arg key "$1" '$key | split("/") | map(@uri) | join("/")'; }

sim_call() {
	local method=$1 path=$2
	shift 2
	case $method in HEAD) set -- -I "$@" ;; *) set -- -X "$method" "$@" ;; esac
	curl -sS -k --noproxy '*' --max-time 30 --fail-with-body "$@" "$SIM_CONTROL/$path"
}

sim_config() {
	local setting json=
	for setting in "$@"; do
		json="$json${json:+,}\"${setting%%=*}\":${setting#*=}"
	done
	sim_call POST config -d "{$json}" >/dev/null
}

sim_select() {
	if [ $# = 1 ]; then
		jq -r --arg kind "$1" '.kinds[$kind]'
	elif [ $# = 0 ]; then
		jq -r '.kinds | to_entries[] | select(.value > 0) | "\(.key)=\(.value)"'
	else
		jq -r '.kinds as $kinds | $ARGS.positional[] | "\(.)=\($kinds[.])"' --args "$@"
	fi
}

sim_counts() { sim_call GET counts | sim_select "$@"; }

sim_counts_of() {
	local prefix
	prefix=$(jq -rn --arg prefix "$1" '$prefix | @uri')
	shift
	sim_call GET "counts?prefix=$prefix" | sim_select "$@"
}

sim_mutations() {
	sim_call GET 'counts?exclude=.r2fs/' |
		jq '.kinds | .Put + .Copy + .Delete + .DeleteObjects + .CreateMultipart + .UploadPart + .UploadPartCopy + .Complete + .Abort'
}

sim_reset() { sim_call POST reset >/dev/null; }
sim_fault() { sim_call POST faults -d "$1" | jq -r '.[0]'; }
sim_faults_clear() { sim_call DELETE faults/ >/dev/null && sim_call POST release >/dev/null; }
sim_journal() { sim_call GET "journal?since=${1:-0}" | jq -c '.[]'; }

sim_object_put() {
	local key
	key=$(sim_url_key "$1")
	shift
	# curl would call the body a form.
	case " $* " in *[Cc]ontent-[Tt]ype:*) ;; *) set -- -H 'Content-Type: application/octet-stream' "$@" ;; esac
	sim_call PUT "object/$SIM_BUCKET/$key" -H 'Expect:' "$@" --data-binary @-
}
sim_object_get() { sim_call GET "object/$SIM_BUCKET/$(sim_url_key "$1")"; }
sim_object_head() { sim_call HEAD "object/$SIM_BUCKET/$(sim_url_key "$1")"; }
sim_object_delete() { sim_call DELETE "object/$SIM_BUCKET/$(sim_url_key "$1")"; }

sim_dump() { sim_call GET "dump/$SIM_BUCKET?prefix=$(jq -rn --arg prefix "${1:-}" '$prefix | @uri')" | jq -c '.[]'; }
sim_keys() { sim_dump "${1:-}" | jq -r .key; }

sim_plant() {
	sim_call POST plant -d "$(jq -n --arg bucket "$SIM_BUCKET" --arg prefix "$1" --argjson count "$2" --argjson size "${3:-0}" \
		--argjson directories "${4:-0}" '$ARGS.named')" >/dev/null
}

sim_wait() {
	local deadline=$((${EPOCHREALTIME/[.,]/} + $1 * 1000000))
	shift
	until "$@"; do
		[ "${EPOCHREALTIME/[.,]/}" -lt "$deadline" ] || return 1
		sleep 0.02
	done
}
