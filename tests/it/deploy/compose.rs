//! The compose file: every mount, port, variable and right in it, against the other files and the
//! program's own configuration. It must never read it more kindly than Compose does.

use std::collections::BTreeSet;

use saphyr::{LoadableYamlNode, Yaml};
use serde_json::{Map, Value};

use super::{broker_link, configuration, read, root, secrets};
use crate::support::{Peer, require};

/// The file with its merge keys carried out.
fn compose() -> Value {
    let text = read("deploy/compose.yaml");
    let documents = Yaml::load_from_str(&text).unwrap();
    assert_eq!(documents.len(), 1);
    json(&documents[0])
}

fn json(yaml: &Yaml<'_>) -> Value {
    if let Some(list) = yaml.as_sequence() {
        return list.iter().map(json).collect();
    }
    if let Some(mapping) = yaml.as_mapping() {
        let mut object = Map::new();
        for (key, value) in mapping {
            let (key, value) = (key.as_str().unwrap(), json(value));
            match (key, value) {
                ("<<", Value::Object(merged)) => {
                    for (key, value) in merged {
                        object.entry(key).or_insert(value);
                    }
                }
                (key, value) => {
                    object.insert(key.to_owned(), value);
                }
            }
        }
        return Value::Object(object);
    }
    if let Some(text) = yaml.as_str() {
        return text.into();
    }
    if let Some(number) = yaml.as_integer() {
        return number.into();
    }
    if let Some(number) = yaml.as_floating_point() {
        return number.into();
    }
    if let Some(flag) = yaml.as_bool() {
        return flag.into();
    }
    assert!(
        yaml.is_null(),
        "a kind of value that is not expected here: {yaml:?}"
    );
    Value::Null
}

fn services(compose: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let services = compose["services"].as_object().unwrap();
    services
        .iter()
        .map(|(name, service)| (name.as_str(), service))
}

fn strings(list: &Value) -> Vec<&str> {
    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().map(|entry| entry.as_str().unwrap()).collect()
}

/// Source, target and whether it is read-only, of every mount.
fn mounts(service: &Value) -> Vec<(&str, &str, bool)> {
    strings(&service["volumes"])
        .into_iter()
        .map(|mount| {
            let mut parts = mount.split(':');
            let (source, target) = (parts.next().unwrap(), parts.next().unwrap());
            (source, target, parts.next() == Some("ro"))
        })
        .collect()
}

/// The port inside the container of every published port.
fn published(service: &Value) -> Vec<u16> {
    let ports = strings(&service["ports"]).into_iter();
    ports
        .map(|port| port.rsplit(':').next().unwrap().parse().unwrap())
        .collect()
}

/// What a service sees at a path: the path in the project, or the volume and the path in it.
fn seen(service: &Value, path: &str) -> Option<String> {
    mounts(service).into_iter().find_map(|(source, target, _)| {
        let rest = path.strip_prefix(target)?;
        let whole = rest.is_empty() || rest.starts_with('/');
        whole.then(|| format!("{source}{rest}"))
    })
}

#[test]
fn every_mount_exists() {
    let compose = compose();
    let declared: BTreeSet<&str> = compose["volumes"]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let mut used = BTreeSet::new();
    for (name, service) in services(&compose) {
        for (source, _, read_only) in mounts(service) {
            if source.starts_with('.') {
                let path = root().join("deploy").join(source);
                assert!(path.is_file(), "{name}: there is no {source}");
                assert!(read_only, "{name} may write {source}");
            } else {
                used.insert(source);
            }
        }
    }
    assert_eq!(used, declared, "volumes used, volumes declared");
}

#[test]
fn no_service_has_more_rights_than_it_needs() {
    for (name, service) in services(&compose()) {
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(strings(&service["cap_drop"]), ["ALL"], "{name}");
        assert_eq!(
            strings(&service["security_opt"]),
            ["no-new-privileges:true"],
            "{name}"
        );
        assert!(service["mem_limit"].is_string(), "{name}: mem_limit");
        assert!(service["pids_limit"].is_i64(), "{name}: pids_limit");
        assert!(
            service["cpus"].is_number() || service["cpus"].is_string(),
            "{name}: cpus"
        );
        assert!(service["privileged"].is_null(), "{name}");
        for (source, _, _) in mounts(service) {
            assert!(
                !source.starts_with('/'),
                "{name} sees the machine: {source}"
            );
        }
        let user = service["user"].as_str().unwrap_or_default();
        if name == "secrets" {
            assert_eq!(strings(&service["cap_add"]), ["CHOWN"]);
            assert_eq!(service["network_mode"], "none");
        } else if name == "influxdb-token" {
            assert_eq!(strings(&service["cap_add"]), ["CHOWN"]);
            let after = &service["depends_on"]["influxdb"]["condition"];
            assert_eq!(after, "service_healthy");
        } else {
            assert!(service["cap_add"].is_null(), "{name}");
            assert!(!user.starts_with('0'), "{name} runs as root");
            let secrets = mounts(service)
                .into_iter()
                .find(|mount| mount.0 == "secrets");
            assert_eq!(secrets, Some(("secrets", "/secrets", true)), "{name}");
            let after = &service["depends_on"]["secrets"]["condition"];
            assert_eq!(after, "service_completed_successfully", "{name}");
        }
    }
}

#[test]
fn every_image_of_others_has_an_exact_version_that_can_be_pinned() {
    for (name, service) in services(&compose()).filter(|(name, _)| *name != "gateway") {
        let image = service["image"].as_str().unwrap();
        let version = image
            .split_once(":-")
            .and_then(|(_, rest)| rest.strip_suffix('}'));
        let version = version.unwrap_or_else(|| panic!("{name}: {image} cannot be pinned"));
        assert_eq!(version.split('.').count(), 3, "{name}: {image}");
    }
}

#[test]
fn every_variable_has_a_value() {
    for rest in read("deploy/compose.yaml").split("${").skip(1) {
        let (variable, _) = rest.split_once('}').unwrap();
        assert!(variable.contains(":-"), "{variable} has no default");
    }
}

#[test]
fn the_gateway_is_found_where_it_listens() {
    let Some(_) = require(Peer::Mosquitto) else {
        return;
    };
    let (compose, secrets) = (compose(), secrets());
    let config = configuration(secrets.path());
    let gateway = &compose["services"]["gateway"];
    let listen = config.http.listen;
    assert!(
        listen.ip().is_unspecified(),
        "{listen} is not reachable from outside"
    );
    assert_eq!(published(gateway), [listen.port()]);
    let files = &gateway["ulimits"]["nofile"];
    assert_eq!(
        (&files["soft"], &files["hard"]),
        (&65536.into(), &65536.into())
    );
    let dockerfile = read("deploy/Dockerfile");
    assert!(dockerfile.contains(&format!("\nEXPOSE {}\n", listen.port())));
    let data = config.storage.data_dir.to_str().unwrap();
    assert_eq!(seen(gateway, data).as_deref(), Some("gateway-data"));
    assert!(dockerfile.contains(&format!("\nVOLUME {data}\n")));
    let file = "/etc/zhiban/gateway.toml";
    assert_eq!(seen(gateway, file).as_deref(), Some("./gateway.toml"));
    assert!(dockerfile.contains(&format!("\nENV ZHIBAN_CONFIG={file}\n")));
    assert!(dockerfile.ends_with("\nCMD [\"run\"]\n"));
}

#[test]
fn the_gateway_finds_its_broker() {
    let Some(_) = require(Peer::Mosquitto) else {
        return;
    };
    let (compose, secrets) = (compose(), secrets());
    let config = configuration(secrets.path());
    let (host, port, user, _) = broker_link(&config);
    let broker = &compose["services"][host];
    assert!(broker.is_object(), "there is no service {host}");
    assert_eq!(published(broker), [port]);
    let conf = "/mosquitto/config/mosquitto.conf";
    assert_eq!(
        seen(broker, conf).as_deref(),
        Some("./mosquitto/mosquitto.conf")
    );
    let conf = read("deploy/mosquitto/mosquitto.conf");
    assert!(conf.contains(&format!("\nlistener {port}\n")));
    assert!(
        !conf.contains("\nper_listener_settings"),
        "loses messages that wait"
    );
    assert!(read("deploy/mosquitto/acl").contains(&format!("\nuser {user}\n")));
    for (key, place) in [
        ("password_file", "secrets/mosquitto-passwords"),
        ("acl_file", "./mosquitto/acl"),
        ("persistence_location", "mosquitto-data/"),
    ] {
        let line = conf
            .lines()
            .find_map(|line| line.strip_prefix(key))
            .unwrap();
        assert_eq!(seen(broker, line.trim()).as_deref(), Some(place), "{key}");
    }
}

#[test]
fn the_gateway_finds_its_influxdb() {
    let Some(_) = require(Peer::Mosquitto) else {
        return;
    };
    let (compose, secrets) = (compose(), secrets());
    let influx = configuration(secrets.path()).influxdb.unwrap();
    let address = influx.url.strip_prefix("http://").unwrap();
    let (host, port) = address.split_once(':').unwrap();
    assert_eq!(port, "8086", "the port of the image");
    let service = &compose["services"][host];
    let environment = &service["environment"];
    assert_eq!(environment["DOCKER_INFLUXDB_INIT_MODE"], "setup");
    assert_eq!(environment["DOCKER_INFLUXDB_INIT_ORG"], influx.org);
    assert_eq!(environment["DOCKER_INFLUXDB_INIT_BUCKET"], influx.bucket);
    assert!(published(service).is_empty(), "only the gateway needs it");
    let variables = environment.as_object().unwrap().iter();
    for (variable, file) in variables.filter(|(name, _)| name.ends_with("_FILE")) {
        let place = seen(service, file.as_str().unwrap()).unwrap();
        let name = place.strip_prefix("secrets/").unwrap();
        assert!(
            secrets.path().join(name).is_file(),
            "{variable}: nobody makes {name}"
        );
    }
    let text = |name: &str| std::fs::read_to_string(secrets.path().join(name)).unwrap();
    assert_ne!(
        text("influxdb-token"),
        text("influxdb-admin-token"),
        "the gateway must not have the one that may do everything"
    );
    assert!(
        text("influxdb-password").len() >= 8,
        "InfluxDB refuses shorter ones"
    );
}

#[test]
fn every_secret_that_the_gateway_reads_is_made() {
    let Some(_) = require(Peer::Mosquitto) else {
        return;
    };
    let secrets = secrets();
    let config = configuration(secrets.path());
    let influx = config.influxdb.as_ref().unwrap();
    influx.token().unwrap();
    let token = influx.token_file.clone().unwrap();
    let (_, _, _, password) = broker_link(&config);
    for file in [token.as_path(), password] {
        assert_eq!(file.parent(), Some(secrets.path()));
    }
    let script = read("deploy/secrets.sh");
    let dockerfile = read("deploy/Dockerfile");
    let user = dockerfile
        .lines()
        .find_map(|line| line.strip_prefix("USER "))
        .unwrap();
    let (uid, _) = user.split_once(':').unwrap();
    assert!(script.contains(&format!("ZHIBAN_GATEWAY_UID:-{uid}}}")));
    let compose = compose();
    for (service, variable) in [("influxdb", "INFLUXDB"), ("mosquitto", "MOSQUITTO")] {
        let user = compose["services"][service]["user"].as_str().unwrap();
        let (uid, _) = user.split_once(':').unwrap();
        assert!(
            script.contains(&format!("ZHIBAN_{variable}_UID:-{uid}}}")),
            "{service}"
        );
    }
}
