#!/bin/sh
# Makes the secrets of a deployment, once, each readable for the one service that needs it.
# It must never change a secret that exists and never print one, but a new device's password.
#
#   secrets.sh make              makes what is missing
#   secrets.sh add-device NAME   makes an account at the broker, or gives it a new password
set -eu
umask 077

folder=${ZHIBAN_SECRETS:-/secrets}
gateway=${ZHIBAN_GATEWAY_UID:-10001}
influxdb=${ZHIBAN_INFLUXDB_UID:-1000}
mosquitto=${ZHIBAN_MOSQUITTO_UID:-1883}
passwords=$folder/mosquitto-passwords

random() {
    head -c 32 /dev/urandom | od -A n -t x1 | tr -d ' \n'
}

# put FILE OWNER: what comes in becomes the file, whole or not at all.
put() {
    cat >"$folder/$1.new"
    chown "$2" "$folder/$1.new"
    mv "$folder/$1.new" "$folder/$1"
}

# account NAME PASSWORD: a line of the broker's password file, hashed.
account() {
    printf '%s:%s\n' "$1" "$2" >"$folder/account"
    mosquitto_passwd -U "$folder/account"
    cat "$folder/account"
    rm "$folder/account"
}

make() {
    # Others must reach their own files in it.
    chmod 755 "$folder"
    if [ ! -e "$folder/influxdb-admin-token" ]; then
        token=$(random)
        printf '%s\n' "$token" | put influxdb-token "$gateway"
        random | put influxdb-password "$influxdb"
        printf '%s\n' "$token" | put influxdb-admin-token "$influxdb"
    fi
    if [ ! -e "$passwords" ]; then
        password=$(random)
        printf '%s\n' "$password" | put mqtt-password "$gateway"
        line=$(account zhiban "$password")
        printf '%s\n' "$line" | put mosquitto-passwords "$mosquitto"
    fi
}

add_device() {
    name=$1
    case $name in
    '' | zhiban | *[!A-Za-z0-9_-]*)
        echo "\"$name\" cannot be a device's name: use letters, digits, - and _, and not zhiban" >&2
        exit 1
        ;;
    esac
    make
    password=$(random)
    line=$(account "$name" "$password")
    # It belongs to the broker, and we have no right to others' files but to give them away.
    chown "$(id -u)" "$passwords"
    others=$(grep -v "^$name:" "$passwords")
    printf '%s\n%s\n' "$others" "$line" | put mosquitto-passwords "$mosquitto"
    echo "user $name"
    echo "password $password"
    echo "The broker knows it after: docker compose -f deploy/compose.yaml kill -s HUP mosquitto"
}

case ${1:-} in
make) make ;;
add-device) add_device "${2:-}" ;;
*)
    echo "usage: secrets.sh make | add-device NAME" >&2
    exit 2
    ;;
esac
