//! Writes the sites that Zhiban is measured on: a configuration with its profile and its rules.
//! It must never set anything that a real site would not.

use anyhow::Result;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::lean::FAULT_REGISTER;

/// The user who may read everything.
pub(crate) const USER: &str = "bench";
/// Units behind each port of the ticket workload.
pub(crate) const UNITS: u8 = 10;

/// Registers of each device of the polling workload.
pub(crate) const REGISTERS: u16 = 100;

/// A site in a folder.
pub(crate) struct Site {
    folder: PathBuf,
    config: String,
}

impl Site {
    /// A site without equipment whose dashboard listens on this port.
    pub(crate) fn new(folder: &Path, port: u16) -> Self {
        let config = format!(
            "[site]\ncode = \"bench\"\nname = {{ zh = \"测量\", en = \"Bench\" }}\n\n\
             [http]\nlisten = \"127.0.0.1:{port}\"\n\n[storage]\ndata_dir = \"data\"\n"
        );
        Self {
            folder: folder.to_owned(),
            config,
        }
    }

    /// Polling: a device on each port, a hundred registers a second, one limit and "no data".
    pub(crate) fn polled(mut self, ports: &[u16]) -> Result<Self> {
        for (index, port) in ports.iter().enumerate() {
            self.modbus_link(index, *port)?;
            let code = format!("D{index:03}");
            self.asset(&code, "bench-hundred", index, "unit = 1")?;
        }
        let rows = (0..REGISTERS).map(|register| {
            format!(
                "[[point]]\npoint = \"r{register:03}\"\nkind = \"analog\"\n\
                 name = {{ zh = \"值\", en = \"Value\" }}\n\
                 modbus = {{ table = \"holding\", address = {register}, type = \"u16\" }}\n\
                 example = {{ raw = [7], value = 7 }}\n"
            )
        });
        self.profile("bench-hundred", "bench", "modbus = {}", rows)?;
        let limit = "{ limit = { point = \"r050\", above = 60000.0 } }";
        self.rules("bench", &[("limit", limit), ("silent", "{ no_data = {} }")])?;
        Ok(self)
    }

    /// Faults by Modbus: units behind each port, read every 100 ms; one bit is a fault.
    pub(crate) fn bits(mut self, ports: &[u16]) -> Result<Self> {
        for (index, port) in ports.iter().enumerate() {
            self.modbus_link(index, *port)?;
            for unit in 1..=UNITS {
                let code = modbus_code(index, unit);
                self.asset(&code, "bench-bit", index, &format!("unit = {unit}"))?;
            }
        }
        let row = format!(
            "[[point]]\npoint = \"fault\"\nkind = \"flag\"\npoll = \"fast\"\n\
             name = {{ zh = \"故障\", en = \"Fault\" }}\n\
             modbus = {{ table = \"holding\", address = {FAULT_REGISTER}, type = \"bool\", bit = 0 }}\n\
             example = {{ raw = [1], value = true }}\n"
        );
        let settings = "modbus = { poll = { fast = \"100ms\" } }";
        self.profile("bench-bit", "bench", settings, [row].into_iter())?;
        self.rules("bench", &[("fault", "{ flag = { point = \"fault\" } }")])?;
        Ok(self)
    }

    /// Faults by MQTT: this many assets on one broker, each with a topic of its own.
    pub(crate) fn messages(mut self, broker: u16, assets: usize) -> Result<Self> {
        writeln!(
            self.config,
            "\n[link.dev0]\nmqtt = {{ host = \"127.0.0.1\", port = {broker} }}"
        )?;
        for index in 0..assets {
            let topic = format!("topic = \"bench/{}\"", mqtt_code(index));
            self.asset(&mqtt_code(index), "bench-message", 0, &topic)?;
        }
        let row = |point: &str, kind: &str, value: &str| {
            format!(
                "[[point]]\npoint = \"{point}\"\nkind = \"{kind}\"\n\
                 name = {{ zh = \"值\", en = \"Value\" }}\n\
                 mqtt = {{ topic = \"{{topic}}/state\", read = {{ json = \"/{point}\" }} }}\n\
                 example = {{ value = {value} }}\n"
            )
        };
        let rows = [row("fault", "flag", "true"), row("level", "analog", "7")];
        let sample = "{\"fault\":true,\"level\":7}";
        let settings = format!("mqtt = {{ period = \"60s\", sample = '{sample}' }}");
        self.profile("bench-message", "bench", &settings, rows.into_iter())?;
        self.rules("bench", &[("fault", "{ flag = { point = \"fault\" } }")])?;
        Ok(self)
    }

    /// New orders are told to this port.
    pub(crate) fn tells(mut self, port: u16) -> Result<Self> {
        writeln!(
            self.config,
            "\n[notify.channel.crew]\nreasons = [\"raised\"]\n\
             to = {{ webhook = {{ url = \"http://127.0.0.1:{port}/\" }} }}"
        )?;
        Ok(self)
    }

    /// Writes it down and says where the configuration is.
    pub(crate) fn write(self) -> Result<PathBuf> {
        let path = self.folder.join("gateway.toml");
        std::fs::write(&path, self.config)?;
        Ok(path)
    }

    fn modbus_link(&mut self, index: usize, port: u16) -> Result<()> {
        writeln!(
            self.config,
            "\n[link.dev{index}]\nmodbus_tcp = {{ host = \"127.0.0.1\", port = {port} }}"
        )?;
        Ok(())
    }

    fn asset(&mut self, code: &str, profile: &str, link: usize, place: &str) -> Result<()> {
        writeln!(
            self.config,
            "\n[[asset]]\ncode = \"{code}\"\nname = {{ zh = \"{code}\", en = \"{code}\" }}\n\
             profile = \"{profile}\"\nlink = \"dev{link}\"\n{place}"
        )?;
        Ok(())
    }

    fn profile(
        &self,
        id: &str,
        class: &str,
        settings: &str,
        rows: impl Iterator<Item = String>,
    ) -> Result<()> {
        let head = format!(
            "id = \"{id}\"\nclass = \"{class}\"\ntitle = {{ zh = \"测量\", en = \"Bench\" }}\n\
             trust = \"bench\"\nsource = \"tests/bench/lean.rs\"\n{settings}\n\n"
        );
        let rows: Vec<String> = rows.collect();
        let folder = self.folder.join("profiles");
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join(format!("{id}.toml")), head + &rows.join("\n"))?;
        Ok(())
    }

    fn rules(&self, class: &str, rules: &[(&str, &str)]) -> Result<()> {
        let text = "{ zh = \"测量\", en = \"Bench\" }";
        let rules = rules.iter().map(|(id, when)| {
            format!(
                "[[rule]]\nid = \"{id}\"\nfamily = \"{id}\"\npriority = 2\ntitle = {text}\n\
                 cause = {text}\nconsequence = {text}\naction = {text}\ndue = \"4h\"\n\
                 when = {when}\n"
            )
        });
        let rules: Vec<String> = rules.collect();
        let file = format!("class = \"{class}\"\n\n{}", rules.join("\n"));
        let folder = self.folder.join("alarms");
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join(format!("{class}.toml")), file)?;
        Ok(())
    }
}

/// The asset behind a port and a unit of the ticket workload.
pub(crate) fn modbus_code(port: usize, unit: u8) -> String {
    format!("M{port:02}-{unit:02}")
}

/// An asset of the MQTT workload.
pub(crate) fn mqtt_code(index: usize) -> String {
    format!("Q{index:03}")
}
