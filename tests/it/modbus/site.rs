//! The built program with lines of Modbus units whose registers say who they are. What is shown of a
//! unit is held against what it has.

use super::*;
use crate::support::http;
use crate::support::zhiban::{Zhiban, run};
use serde_json::Value as Json;
use std::fmt::Write as _;
use tempfile::TempDir;

/// What is written down of a site before it starts.
pub(super) struct Site {
    text: String,
    addresses: Vec<u16>,
    page: u16,
    folder: TempDir,
}

impl Site {
    /// A site whose units have these registers, and these lines in `[http]`.
    pub(super) fn new(addresses: &[u16], http: &str) -> Self {
        let mut profile = String::from(
            "id = \"box\"\nclass = \"box\"\ntitle = { zh = \"盒\", en = \"Box\" }\ntrust = \"bench\"\n\
             source = \"made for this test\"\n[modbus]\n\
             poll = { fast = \"50ms\", normal = \"50ms\", slow = \"50ms\" }\n",
        );
        for address in addresses {
            write!(
                profile,
                "[[point]]\npoint = \"r{address}\"\nname = {{ zh = \"点\", en = \"Point\" }}\nkind = \"counter\"\n\
                 modbus = {{ table = \"holding\", address = {address}, type = \"u16\" }}\n\
                 example = {{ raw = [7], value = 7 }}\n"
            )
            .unwrap();
        }
        let folder = tempfile::tempdir().unwrap();
        let profiles = folder.path().join("profiles/box");
        std::fs::create_dir_all(&profiles).unwrap();
        std::fs::write(profiles.join("box.toml"), profile).unwrap();
        let page = free_port();
        let text = format!(
            "[site]\ncode = \"lines\"\nname = {{ zh = \"试验\", en = \"Test\" }}\n\
             [http]\nlisten = \"127.0.0.1:{page}\"\n{http}\n"
        );
        Self {
            text,
            addresses: addresses.to_vec(),
            page,
            folder,
        }
    }

    /// Adds a line with the assets `NAME-1` and so on, which are its units.
    pub(super) fn line(&mut self, name: &str, framing: Framing, port: u16, units: u8) {
        let kind = match framing {
            Framing::Tcp => "modbus_tcp",
            Framing::RtuOverTcp => "modbus_rtu_over_tcp",
        };
        write!(
            self.text,
            "[link.{name}]\n{kind} = {{ host = \"127.0.0.1\", port = {port}, timeout = \"200ms\", \
             gap = \"0ms\", repeat_window = \"0ms\" }}\n"
        )
        .unwrap();
        for unit in 1..=units {
            write!(
                self.text,
                "[[asset]]\ncode = \"{name}-{unit}\"\nname = {{ zh = \"甲\", en = \"X\" }}\nprofile = \"box\"\n\
                 link = \"{name}\"\nunit = {unit}\n"
            )
            .unwrap();
        }
    }

    pub(super) async fn start(self) -> Running {
        let file = self.folder.path().join("gateway.toml");
        std::fs::write(&file, &self.text).unwrap();
        let file = file.to_str().unwrap();
        let mut gateway = Zhiban::start(&["run", "--config", file]);
        let url = format!("http://127.0.0.1:{}", self.page);
        gateway.answers(&format!("{url}/healthz")).await;
        let token = run(&["token", "add", "script", "--config", file]).stdout;
        Running {
            gateway,
            url,
            token: String::from_utf8(token).unwrap().trim().to_owned(),
            site: self,
        }
    }
}

/// The running program, with a token to read its page.
pub(super) struct Running {
    pub(super) gateway: Zhiban,
    pub(super) url: String,
    token: String,
    site: Site,
}

impl Running {
    async fn ask(&self, path: &str) -> reqwest::Response {
        let ask = http().get(format!("{}{path}", self.url));
        let answer = ask.bearer_auth(&self.token).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        answer
    }

    pub(super) async fn get(&self, path: &str) -> Json {
        let answer = self.ask(&format!("/api/v1{path}")).await;
        answer.json().await.unwrap()
    }

    /// The sum of a metric over all its labels.
    pub(super) async fn metric(&self, name: &str) -> f64 {
        let text = self.ask("/metrics").await.text().await.unwrap();
        let named = text.lines().filter(|line| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with(['{', ' ']))
        });
        named
            .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
            .sum()
    }

    /// Checks that every value that is shown of a unit is one that it has; says how many are good.
    pub(super) async fn good(&self, asset: &str) -> usize {
        let unit: u8 = asset.rsplit('-').next().unwrap().parse().unwrap();
        let points = self.get(&format!("/assets/{asset}/points?limit=200")).await;
        let points = points["items"].as_array().unwrap();
        assert_eq!(points.len(), self.site.addresses.len(), "{points:?}");
        for point in points {
            let key = point["key"].as_str().unwrap();
            let address = key.rsplit('r').next().unwrap().parse().unwrap();
            let right = Asked::value(unit, address);
            let value = &point["value"];
            assert!(value.is_null() || *value == right, "{point}");
        }
        let good = |point: &&Json| point["quality"] == "good";
        points.iter().filter(good).count()
    }
}
