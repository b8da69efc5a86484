#!/bin/sh
# Gives the gateway a token of InfluxDB that may read and write its two buckets and nothing else, and
# makes what that token may not: the bucket of five-minute values and the task that fills it.
# It must never give out the token that may do everything, and never print one. Run again it changes
# nothing that works.
set -eu
umask 077

folder=${ZHIBAN_SECRETS:-/secrets}
gateway=${ZHIBAN_GATEWAY_UID:-10001}
influxdb=${ZHIBAN_INFLUXDB_UID:-1000}
url=${ZHIBAN_INFLUXDB_URL:-http://influxdb:8086}
org=zhiban
bucket=telemetry
retention=31536000

# secret FILE OWNER: what is in it. We have no right to others' files but to give them away.
secret() {
    chown "$(id -u)" "$folder/$1"
    cat "$folder/$1"
    chown "$2" "$folder/$1"
}

# ask TOKEN METHOD PATH [BODY]: the answer without its line breaks and blanks. The token goes by a
# file, as arguments can be seen.
ask() {
    printf 'header = "Authorization: Token %s"\n' "$1" >"$folder/request"
    status=0
    curl -sS --fail --max-time 20 --config "$folder/request" --request "$2" "$url/api/v2/$3" \
        --header 'Content-Type: application/json' ${4:+--data "$4"} >"$folder/answer" || status=$?
    tr -d '\n\t ' <"$folder/answer"
    rm -f "$folder/request" "$folder/answer"
    return "$status"
}

first_id() {
    grep -o '"id":"[0-9a-f]*"' | head -n 1 | cut -d '"' -f 4
}

bucket_id() {
    ask "$admin" GET "buckets?org=$org&name=$1" 2>/dev/null | first_id
}

# need_bucket NAME: its number; it is made where it is missing.
need_bucket() {
    id=$(bucket_id "$1" || true)
    if [ -z "$id" ]; then
        rule="{\"type\":\"expire\",\"everySeconds\":$retention}"
        id=$(ask "$admin" POST buckets \
            "{\"orgID\":\"$org_id\",\"name\":\"$1\",\"retentionRules\":[$rule]}" | first_id)
    fi
    echo "$id"
}

# The same text as the gateway makes where its token may.
task() {
    printf '%s' "import \\\"types\\\"\\n"
    printf '%s' "option task = {name: \\\"zhiban $bucket 5m\\\", every: 5m, offset: 1m}\\n"
    printf '%s' "data = from(bucket: \\\"$bucket\\\") |> range(start: -1h) "
    printf '%s' "|> filter(fn: (r) => r._measurement != \\\"alarm\\\" and r._measurement != \\\"work_order\\\") "
    printf '%s' "|> filter(fn: (r) => types.isNumeric(v: r._value)) |> toFloat()\\n"
    for of in mean min max; do
        printf '%s' "data |> aggregateWindow(every: 5m, fn: $of, createEmpty: false) "
        printf '%s' "|> set(key: \\\"agg\\\", value: \\\"$of\\\") |> to(bucket: \\\"${bucket}_5m\\\")\\n"
    done
}

need_task() {
    if ! ask "$admin" GET tasks | grep -q "\"name\":\"zhiban${bucket}5m\""; then
        ask "$admin" POST tasks "{\"org\":\"$org\",\"flux\":\"$(task)\"}" >/dev/null
    fi
}

# may ACTION BUCKET: a right of the token.
may() {
    echo "{\"action\":\"$1\",\"resource\":{\"type\":\"buckets\",\"id\":\"$2\",\"orgID\":\"$org_id\"}}"
}

admin=$(secret influxdb-admin-token "$influxdb")
org_id=$(ask "$admin" GET "orgs?org=$org" | first_id)
raw=$(need_bucket "$bucket")
fine=$(need_bucket "${bucket}_5m")
need_task

token=$(secret influxdb-token "$gateway")
if [ "$token" != "$admin" ] && ask "$token" GET "buckets?org=$org&name=$bucket" 2>/dev/null | first_id | grep -q .; then
    echo 'The gateway has a token of its own.'
    exit 0
fi
rights="$(may read "$raw"),$(may write "$raw"),$(may read "$fine"),$(may write "$fine")"
made=$(ask "$admin" POST authorizations \
    "{\"orgID\":\"$org_id\",\"description\":\"zhiban gateway\",\"permissions\":[$rights]}" |
    grep -o '"token":"[^"]*"' | cut -d '"' -f 4)
[ -n "$made" ]
printf '%s\n' "$made" >"$folder/influxdb-token.new"
chown "$gateway" "$folder/influxdb-token.new"
mv "$folder/influxdb-token.new" "$folder/influxdb-token"
echo 'The gateway has a new token, for its buckets only.'
