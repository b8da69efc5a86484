#!/bin/sh
# Makes the secrets of a deployment, once, each readable for the one service that needs it.
# It must never change a secret that exists but the one that it is asked to change, and never print
# one but a new device's password.
#
#   secrets.sh make              makes what is missing
#   secrets.sh put NAME          what comes in becomes a secret of the gateway, in place of an older one
#   secrets.sh rotate            gives the gateway a new password at the broker
#   secrets.sh add-device NAME   makes an account at the broker, or gives it a new password
set -eu
umask 077

folder=${ZHIBAN_SECRETS:-/secrets}
gateway=${ZHIBAN_GATEWAY_UID:-10001}
influxdb=${ZHIBAN_INFLUXDB_UID:-1000}
mosquitto=${ZHIBAN_MOSQUITTO_UID:-1883}
compose='docker compose -f deploy/compose.yaml'

random() {
    head -c 32 /dev/urandom | od -A n -t x1 | tr -d ' \n'
}

has() {
    [ -e "$folder/$1" ]
}

# put FILE OWNER: what comes in becomes the file, whole or not at all.
put() {
    cat >"$folder/$1.new"
    chown "$2" "$folder/$1.new"
    mv "$folder/$1.new" "$folder/$1"
}

# take FILE: makes it ours, as we have no right to others' files but to give them away.
take() {
    chown "$(id -u)" "$folder/$1"
}

# give FILE OWNER: gives it back, also where an earlier run was cut short before it could.
give() {
    chown "$2" "$folder/$1"
}

# account NAME PASSWORD: a line of the broker's password file, hashed.
account() {
    printf '%s:%s\n' "$1" "$2" >"$folder/account"
    mosquitto_passwd -U "$folder/account"
    cat "$folder/account"
    rm "$folder/account"
}

# enter NAME PASSWORD: an account at the broker; all others stay as they are.
enter() {
    line=$(account "$1" "$2")
    others=
    if has mosquitto-passwords; then
        take mosquitto-passwords
        others=$(awk -F : -v name="$1" '$1 != name' "$folder/mosquitto-passwords")
    fi
    printf '%s\n' ${others:+"$others"} "$line" | put mosquitto-passwords "$mosquitto"
}

# InfluxDB starts with the one that may do everything. The gateway's is a stand-in that nobody knows
# until influxdb.sh, which can talk to InfluxDB, has made the real one.
make_tokens() {
    has influxdb-admin-token || random | put influxdb-admin-token "$influxdb"
    has influxdb-token || random | put influxdb-token "$gateway"
}

# The broker's line comes first: without the gateway's file, the next run makes both anew.
make_account() {
    if ! has mqtt-password; then
        password=$(random)
        enter zhiban "$password"
        printf '%s\n' "$password" | put mqtt-password "$gateway"
    elif ! has mosquitto-passwords; then
        take mqtt-password
        enter zhiban "$(cat "$folder/mqtt-password")"
    fi
}

make() {
    # Others must reach their own files in it.
    chmod 755 "$folder"
    make_tokens
    has influxdb-password || random | put influxdb-password "$influxdb"
    make_account
    give influxdb-token "$gateway"
    give influxdb-admin-token "$influxdb"
    give influxdb-password "$influxdb"
    give mqtt-password "$gateway"
    give mosquitto-passwords "$mosquitto"
}

refuse() {
    echo "$1" >&2
    exit 1
}

put_secret() {
    name=$1
    case $name in
    influxdb-admin-token | influxdb-password | mosquitto-passwords)
        refuse "\"$name\" is not the gateway's: it belongs to the service that it is named after"
        ;;
    mqtt-password)
        refuse "the broker must know it too: use $compose run --rm secrets rotate"
        ;;
    '' | account | incoming | .* | *.new | *[!A-Za-z0-9._-]*)
        refuse "\"$name\" cannot be a secret's name: use letters, digits, dots, - and _"
        ;;
    esac
    cat >"$folder/incoming"
    if [ ! -s "$folder/incoming" ]; then
        rm "$folder/incoming"
        refuse 'nothing came in: send the secret, for example with < FILE'
    fi
    put "$name" "$gateway" <"$folder/incoming"
    rm "$folder/incoming"
    echo "The configuration names it \"/secrets/$name\"; it is read after: $compose restart gateway"
}

rotate() {
    rm -f "$folder/mqtt-password"
    make
    echo "Both know it after: $compose kill -s HUP mosquitto; $compose restart gateway"
}

add_device() {
    name=$1
    case $name in
    '' | zhiban | *[!A-Za-z0-9_-]*)
        refuse "\"$name\" cannot be a device's name: use letters, digits, - and _, and not zhiban"
        ;;
    esac
    make
    password=$(random)
    enter "$name" "$password"
    echo "user $name"
    echo "password $password"
    echo "The broker knows it after: $compose kill -s HUP mosquitto"
}

case ${1:-} in
make) make ;;
put) put_secret "${2:-}" ;;
rotate) rotate ;;
add-device) add_device "${2:-}" ;;
*)
    echo 'usage: secrets.sh make | put NAME | rotate | add-device NAME' >&2
    exit 2
    ;;
esac
