#!/bin/bash
# s3/ against r2sim. The cases are those of test/server/conformance.c.
. "$(dirname "$0")/../lib.sh"
start_bucket
CMOCKA_MESSAGE_OUTPUT=TAP "$TOP/${B:-build}/test/server/conformance"
