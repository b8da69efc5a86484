//! Who polls: Zhiban and the programs beside it, each set up as its makers recommend for this
//! work. A peer must never be asked for more than the product is: it reads, decodes and writes down.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::process::Program;
use crate::site::{REGISTERS, Site};
use crate::zhiban::{Zhiban, free_port};

/// Where everything is; a peer that is not there is left out.
#[derive(Debug, Clone)]
pub(crate) struct Tools {
    pub(crate) zhiban: PathBuf,
    pub(crate) mosquitto: Option<PathBuf>,
    pub(crate) python: Option<PathBuf>,
    pub(crate) node_red: Option<PathBuf>,
    pub(crate) telegraf: Option<PathBuf>,
    /// The project.
    pub(crate) root: PathBuf,
}

/// A program that polls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Poller {
    Zhiban,
    Pymodbus,
    NodeRed,
    Telegraf,
}

impl Poller {
    /// All of them, the product first.
    pub(crate) const ALL: [Self; 4] = [Self::Zhiban, Self::Pymodbus, Self::NodeRed, Self::Telegraf];

    /// What people call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Zhiban => "Zhiban",
            Self::Pymodbus => "pymodbus (asyncio)",
            Self::NodeRed => "Node-RED",
            Self::Telegraf => "Telegraf",
        }
    }

    /// Whether it is installed.
    pub(crate) fn is_there(self, tools: &Tools) -> bool {
        match self {
            Self::Zhiban => true,
            Self::Pymodbus => tools.python.is_some(),
            Self::NodeRed => tools.node_red.is_some(),
            Self::Telegraf => tools.telegraf.is_some(),
        }
    }

    /// Starts it in a folder of its own against these ports; returns when it runs.
    pub(crate) async fn start(
        self,
        tools: &Tools,
        folder: &Path,
        ports: &[u16],
    ) -> Result<Running> {
        let output = folder.join("output.txt");
        std::fs::write(&output, "")?;
        let mut command = match self {
            Self::Zhiban => {
                let port = free_port()?;
                let config = Site::new(folder, port).polled(ports)?.write()?;
                let zhiban = Zhiban::start(&tools.zhiban, &config, port).await?;
                return Ok(Running::Zhiban(zhiban));
            }
            Self::Pymodbus => {
                let settings = folder.join("settings.json");
                let what = json!({ "ports": ports, "registers": REGISTERS, "output": output });
                std::fs::write(&settings, what.to_string())?;
                let mut command = Command::new(tools.python.as_ref().context("no Python")?);
                command
                    .arg(tools.root.join("tests/bench/peers/pymodbus_poller.py"))
                    .arg(settings);
                command
            }
            Self::NodeRed => {
                let flow = node_red_flow(ports, &output);
                std::fs::write(folder.join("flow.json"), flow.to_string())?;
                let settings = "module.exports = { flowFile: 'flow.json', httpAdminRoot: false, \
                     httpNodeRoot: false, uiHost: '127.0.0.1', logging: { console: { level: 'warn' } } };";
                std::fs::write(folder.join("settings.js"), settings)?;
                let mut command = Command::new("node");
                command.arg(tools.node_red.as_ref().context("no Node-RED")?);
                command.arg("--userDir").arg(folder);
                command.args(["--port", &free_port()?.to_string()]);
                command
            }
            Self::Telegraf => {
                let config = folder.join("telegraf.conf");
                std::fs::write(&config, telegraf_config(ports, &output)?)?;
                let mut command = Command::new(tools.telegraf.as_ref().context("no Telegraf")?);
                command.arg(config);
                command
            }
        };
        command.stdout(Stdio::null());
        let log = folder.join("log");
        let program = Program::start(self.name(), &mut command, &log)?;
        Ok(Running::Writer(program, output))
    }
}

/// A program that polls, running.
pub(crate) enum Running {
    /// The product; what it read is asked for through its API.
    Zhiban(Zhiban),
    /// A peer, and the file it writes.
    Writer(Program, PathBuf),
}

impl Running {
    /// The program.
    pub(crate) fn program(&mut self) -> &mut Program {
        match self {
            Self::Zhiban(zhiban) => &mut zhiban.program,
            Self::Writer(program, _) => program,
        }
    }

    /// The newest value of register 0 of a device that it hands out.
    pub(crate) async fn newest(&self, device: usize) -> Result<Option<u64>> {
        match self {
            Self::Zhiban(zhiban) => {
                let value = zhiban.api.value(&format!("D{device:03}"), "r000").await?;
                Ok(value.as_f64().map(|value| value as u64))
            }
            Self::Writer(_, output) => newest_line(output, device),
        }
    }
}

/// Looks for a device's last line at the end of what was written.
fn newest_line(output: &Path, device: usize) -> Result<Option<u64>> {
    const END: u64 = 4 << 20;
    let mut file = std::fs::File::open(output)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(END)))?;
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    let plain = format!("{device} ");
    let tagged = format!(",device={device},");
    Ok(text.lines().rev().find_map(|line| {
        let value = if let Some(values) = line.strip_prefix(&plain) {
            values.split(' ').next()
        } else if line.contains(&tagged) {
            let (_, after) = line.split_once("r000=")?;
            after.split(['i', 'u', ',']).next()
        } else {
            None
        };
        value?.parse().ok()
    }))
}

/// A read node and a connection for each device, a line of text for each reading into one file.
fn node_red_flow(ports: &[u16], output: &Path) -> Value {
    let mut flow = vec![
        json!({ "id": "page", "type": "tab", "label": "bench" }),
        json!({
            "id": "as-text", "type": "function", "z": "page", "outputs": 1, "wires": [["to-file"]],
            "func": "msg.payload = msg.topic + ' ' + msg.payload.join(' '); return msg;",
        }),
        json!({
            "id": "to-file", "type": "file", "z": "page", "filename": output, "filenameType": "str",
            "appendNewline": true, "overwriteFile": "false", "wires": [[]],
        }),
    ];
    for (index, port) in ports.iter().enumerate() {
        let client = format!("client{index}");
        flow.push(json!({
            "id": client, "type": "modbus-client", "clienttype": "tcp", "tcpHost": "127.0.0.1",
            "tcpPort": port, "tcpType": "DEFAULT", "unit_id": 1, "bufferCommands": true,
            "commandDelay": 1, "clientTimeout": 1000, "reconnectOnTimeout": true,
            "reconnectTimeout": 2000, "parallelUnitIdsAllowed": true,
        }));
        flow.push(json!({
            "id": format!("read{index}"), "type": "modbus-read", "z": "page", "server": client,
            "topic": index.to_string(), "unitid": 1, "dataType": "HoldingRegister", "adr": 0,
            "quantity": REGISTERS, "rate": 1, "rateUnit": "s", "delayOnStart": false,
            "wires": [["as-text"], []],
        }));
    }
    Value::Array(flow)
}

/// An input for each device, one request for all its registers, line protocol into one file.
fn telegraf_config(ports: &[u16], output: &Path) -> Result<String> {
    let mut text = format!(
        "[agent]\ninterval = \"1s\"\nflush_interval = \"1s\"\nomit_hostname = true\nquiet = true\n\
         metric_batch_size = 1000\nmetric_buffer_limit = 10000\n\n\
         [[outputs.file]]\nfiles = [{output:?}]\ndata_format = \"influx\"\n"
    );
    let mut fields = String::new();
    for register in 0..REGISTERS {
        writeln!(
            fields,
            "  {{ address = {register}, name = \"r{register:03}\", type = \"UINT16\" }},"
        )?;
    }
    for (index, port) in ports.iter().enumerate() {
        writeln!(
            text,
            "\n[[inputs.modbus]]\nname = \"d{index}\"\ncontroller = \"tcp://127.0.0.1:{port}\"\n\
             timeout = \"1s\"\nconfiguration_type = \"request\"\n\
             [[inputs.modbus.request]]\nslave_id = 1\nbyte_order = \"ABCD\"\nregister = \"holding\"\n\
             fields = [\n{fields}]\n\
             [inputs.modbus.request.tags]\ndevice = \"{index}\""
        )?;
    }
    Ok(text)
}
