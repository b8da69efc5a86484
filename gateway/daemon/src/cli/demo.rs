//! `zhiban demo`: the whole product against a virtual building, with nothing else installed.
//!
//! It talks to its building only over real sockets, as to any other.

use super::say;
use crate::accounts::Accounts;
use crate::config::{Config, Fault, LinkConfig, Loaded};
use crate::gateway::Gateway;
use anyhow::{Context, Result, anyhow, bail};
use serde_json::json;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use zhiban_sim::{Building, BuildingOptions, MqttChoice};

/// The demo's configuration, part of the program.
const CONFIG: &str = include_str!("../../../../config/demo.toml");
/// The demo's accounts: who did a repair does not verify it.
const USERS: [(&str, &str); 2] = [("demo", "Demo"), ("demo2", "Demo 2")];
/// The name of the demo's token.
const TOKEN: &str = "demo";

/// How to sign in to a demo.
struct SignIn {
    /// Of each of the accounts, in their order.
    passwords: [String; 2],
    token: String,
}

/// Starts a virtual building and the gateway against it; needs nothing else.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the dashboard listens; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDR", value_parser = address)]
    pub listen: SocketAddr,
    /// Keeps everything in this folder; without it, in one that goes when the demo ends.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// How much faster than real time the building lives.
    #[arg(long, default_value_t = 1.0, value_name = "N", value_parser = speed)]
    pub speed: f64,
    /// The same seed gives the same building.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
    /// A scenario that holds from the start; may be given more than once.
    #[arg(long, value_name = "NAME")]
    pub scenario: Vec<String>,
    /// A file of scenarios and times.
    #[arg(long, value_name = "FILE")]
    pub script: Option<PathBuf>,
    /// Prints where everything is as one JSON object on one line, and nothing else on stdout.
    #[arg(long)]
    pub json: bool,
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let wrong = |_| "write an address of this machine and a port, for example 127.0.0.1:8080";
    text.parse().map_err(wrong).map_err(str::to_owned)
}

fn speed(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(speed) if (0.1..=100.0).contains(&speed) => Ok(speed),
        _ => Err("write a number from 0.1 to 100".to_owned()),
    }
}

pub(crate) async fn run(args: Args) -> Result<()> {
    let temporary = match &args.data_dir {
        None => Some(tempfile::tempdir().context("cannot make a temporary folder")?),
        Some(_) => None,
    };
    let folder = args
        .data_dir
        .as_deref()
        .or(temporary.as_ref().map(tempfile::TempDir::path));
    let folder = folder.context("no data folder")?.to_path_buf();
    let building = start_building(&args).await?;
    let loaded = configure(&args, &folder, &building)?;
    let mut gateway = Gateway::start(loaded).await?;
    let sign_in = sign_in(gateway.accounts()).await?;
    tell(&args, &gateway, &building, &sign_in)?;
    let ended = tokio::select! {
        stopped = super::until_stopped() => stopped,
        why = gateway.wants_a_new_start() => Err(anyhow!("{why}; start the demo again")),
    };
    gateway.stop().await;
    building.stop().await;
    ended
}

async fn start_building(args: &Args) -> Result<Building> {
    let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let building = zhiban_sim::start(BuildingOptions {
        seed: args.seed,
        speed: args.speed,
        modbus: free,
        control: free,
        mqtt: MqttChoice::Embedded(free),
        script: args.script.clone(),
        scenario: args.scenario.clone(),
        ..BuildingOptions::default()
    });
    building
        .await
        .context("the virtual building does not start")
}

/// Fresh passwords and a fresh token; those of an earlier demo end.
async fn sign_in(accounts: &Accounts) -> Result<SignIn> {
    let passwords = USERS.map(|_| uuid::Uuid::new_v4().simple().to_string());
    let known = accounts.users().await?;
    for ((user, name), password) in USERS.iter().zip(&passwords) {
        if known.iter().any(|account| account.name == *user) {
            accounts.set_password(user, password.clone()).await?;
        } else {
            accounts.add_user(user, name, password.clone()).await?;
        }
    }
    // An earlier demo may have been ended between the two, or somebody revoked it.
    let tokens = accounts.tokens().await?;
    if tokens.iter().any(|token| token.name == TOKEN) {
        accounts.revoke_token(TOKEN).await?;
    }
    Ok(SignIn {
        passwords,
        token: accounts.add_token(TOKEN).await?,
    })
}

/// The demo's configuration, with the addresses that the building got.
fn configure(args: &Args, folder: &Path, building: &Building) -> Result<Loaded> {
    let loaded = Config::parse(&folder.join("demo.toml"), CONFIG);
    let mut loaded = match loaded {
        Ok(loaded) => loaded,
        Err(faults) => {
            let lines: Vec<String> = faults.iter().map(Fault::to_string).collect();
            bail!("{}", lines.join("\n"));
        }
    };
    loaded.config.http.listen = args.listen;
    loaded.config.storage.data_dir = folder.to_path_buf();
    for link in loaded.config.links.values_mut() {
        match link {
            LinkConfig::ModbusTcp(modbus) => {
                modbus.host = building.modbus_addr().ip().to_string();
                modbus.port = building.modbus_addr().port();
            }
            LinkConfig::Mqtt(mqtt) => {
                let address = building.mqtt_addr().context("the building has no broker")?;
                mqtt.host = address.ip().to_string();
                mqtt.port = Some(address.port());
            }
            LinkConfig::ModbusRtuOverTcp(_) => bail!("the demo has no serial server"),
        }
    }
    Ok(loaded)
}

fn tell(args: &Args, gateway: &Gateway, building: &Building, sign_in: &SignIn) -> Result<()> {
    let [(user, _), (second_user, _)] = USERS;
    let [password, second_password] = &sign_in.passwords;
    let token = &sign_in.token;
    let dashboard = super::url("http", gateway.address());
    let control = format!("http://{}", building.control_addr());
    let modbus = format!("modbus+tcp://{}", building.modbus_addr());
    let mqtt = building
        .mqtt_addr()
        .map(|address| format!("mqtt://{address}"));
    if args.json {
        return say(json!({
            "dashboard": dashboard,
            "user": user,
            "password": password,
            "second_user": second_user,
            "second_password": second_password,
            "token": token,
            "control": control,
            "modbus": [modbus],
            "mqtt": mqtt,
        }));
    }
    say(format!("Dashboard     {dashboard}"))?;
    say(format!("Sign in       {user} / {password}"))?;
    say(format!(
        "              {second_user} / {second_password}   (who did a repair does not verify it)"
    ))?;
    say(format!("API token     {token}"))?;
    say(format!(
        "Control port  {control}   (try: curl -X POST {control}/scenarios/entrapment)"
    ))?;
    say(format!("Modbus TCP    {modbus}"))?;
    say(format!("MQTT broker   {}", mqtt.unwrap_or_default()))?;
    say("Ctrl-C ends it.")
}
