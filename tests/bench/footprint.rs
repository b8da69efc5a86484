//! W11 and the demo: how soon the gateway works after its start, and what it takes of the machine.
//! It must never count the building's own cost as the gateway's without saying so.

use anyhow::{Context, Result};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep_until};

use crate::lean::Lean;
use crate::peers::Tools;
use crate::process::{Program, Usage, Watch};
use crate::site::Site;
use crate::stats::{figure, median, millis, row, table};
use crate::zhiban::{Api, PATIENCE, Zhiban, free_port, http};

const DEVICES: usize = 50;
/// People who look at the page in the loaded demo.
const STREAMS: usize = 20;
const LISTS_EVERY: Duration = Duration::from_millis(100);
const SETTLING: Duration = Duration::from_secs(4);
const SCENARIOS: [&str; 4] = ["entrapment", "smoke", "pump-overload", "sump-high"];

/// From the start of the process to the first poll, to all polled, to the page.
pub(crate) async fn start(tools: &Tools, launches: usize) -> Result<()> {
    println!("### W11: from start to work\n");
    println!("{DEVICES} devices × 100 registers; median of {launches} starts; milliseconds\n");
    let lean = Lean::start(DEVICES, Duration::ZERO)?;
    let mut rows = vec![row([
        "start",
        "first poll",
        "every device polled",
        "page answers",
    ])];
    let mut fresh = Vec::new();
    let mut again = Vec::new();
    for _ in 0..launches {
        let folder = tempfile::tempdir()?;
        let port = free_port()?;
        let config = Site::new(folder.path(), port)
            .polled(&lean.ports())?
            .write()?;
        fresh.push(launch(tools, &config, port, &lean).await?);
        again.push(launch(tools, &config, port, &lean).await?);
    }
    for (name, all) in [("new data folder", fresh), ("with its data", again)] {
        let middle = |place: fn(&[f64; 3]) -> f64| {
            figure(median(&all.iter().map(place).collect::<Vec<f64>>()))
        };
        let cells = [
            middle(|one| one[0]),
            middle(|one| one[1]),
            middle(|one| one[2]),
        ];
        rows.push([vec![name.to_owned()], cells.to_vec()].concat());
    }
    table(&rows);
    Ok(())
}

async fn launch(tools: &Tools, config: &Path, port: u16, lean: &Lean) -> Result<[f64; 3]> {
    lean.forget();
    let mut zhiban = Zhiban::start_cold(&tools.zhiban, config, port)?;
    let started = zhiban.program.started;
    zhiban.answers("/").await?;
    let page = millis(started.elapsed());
    let all_read = async || lean.first_reads().len() == DEVICES;
    zhiban
        .program
        .until("every device was read", PATIENCE, all_read)
        .await?;
    let reads = lean.first_reads();
    let first = reads.iter().min().context("nothing was read")?;
    let last = reads.iter().max().context("nothing was read")?;
    Ok([millis(*first - started), millis(*last - started), page])
}

/// The demo with its building in one process, and the gateway without it.
pub(crate) async fn demo(tools: &Tools, window: Duration) -> Result<()> {
    println!("### The demo\n");
    println!(
        "Loaded: {} at once, {STREAMS} open pages, two lists each {} ms; {} s each\n",
        SCENARIOS.join(", "),
        LISTS_EVERY.as_millis(),
        window.as_secs()
    );
    let mut rows = vec![row(["program", "CPU % of a core", "RSS MiB"])];
    let mut add = |name: &str, usage: Usage| {
        rows.push(vec![
            name.to_owned(),
            figure(usage.percent()),
            figure(usage.rss),
        ]);
    };
    match whole(tools, window).await {
        Ok([idle, loaded]) => {
            add("demo with its building, idle", idle);
            add("demo with its building, loaded", loaded);
        }
        Err(error) => println!("demo: {error:#}\n"),
    }
    match gateway(tools, window).await {
        Ok([idle, loaded]) => {
            add("gateway alone, idle", idle);
            add("gateway alone, loaded", loaded);
        }
        Err(error) => println!("gateway alone: {error:#}\n"),
    }
    table(&rows);
    Ok(())
}

async fn whole(tools: &Tools, window: Duration) -> Result<[Usage; 2]> {
    let folder = tempfile::tempdir()?;
    let mut command = Command::new(&tools.zhiban);
    command.args(["demo", "--json", "--listen", "127.0.0.1:0", "--data-dir"]);
    command
        .arg(folder.path().join("data"))
        .stdout(Stdio::piped());
    let mut program = Program::start("zhiban demo", &mut command, &folder.path().join("log"))?;
    let stdout = program.child().stdout.take().context("no output")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    let where_all_is: Value = serde_json::from_str(&line).context("the demo's first line")?;
    let text = |key: &str| {
        where_all_is
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let api = Api::new(text("dashboard"), text("token"))?;
    measure(&program, &api, &text("control"), window).await
}

async fn gateway(tools: &Tools, window: Duration) -> Result<[Usage; 2]> {
    let apart = Apart::start(tools).await?;
    let control = format!("http://127.0.0.1:{}", apart.control);
    measure(&apart.zhiban.program, &apart.zhiban.api, &control, window).await
}

/// The demo's gateway and its building, a process each.
pub(crate) struct Apart {
    /// The gateway.
    pub(crate) zhiban: Zhiban,
    control: u16,
    _building: Program,
    _folder: tempfile::TempDir,
}

impl Apart {
    /// Starts both; returns when the gateway is ready.
    pub(crate) async fn start(tools: &Tools) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let [modbus, mqtt, control] = [free_port()?, free_port()?, free_port()?];
        let building = folder.path().join("building.toml");
        let text = format!(
            "modbus = \"127.0.0.1:{modbus}\"\nmqtt = \"127.0.0.1:{mqtt}\"\ncontrol = \"127.0.0.1:{control}\"\n"
        );
        std::fs::write(&building, text)?;
        let mut command = Command::new(&tools.zhiban);
        command
            .args(["simulate", "--config"])
            .arg(building)
            .stdout(Stdio::null());
        let log = folder.path().join("building.log");
        let mut building = Program::start("zhiban simulate", &mut command, &log)?;
        let listens = async || {
            tokio::net::TcpStream::connect(("127.0.0.1", control))
                .await
                .is_ok()
        };
        building.until("it listens", PATIENCE, listens).await?;
        let port = free_port()?;
        let config = demo_config(tools, folder.path(), port, modbus, mqtt)?;
        let zhiban = Zhiban::start(&tools.zhiban, &config, port).await?;
        Ok(Self {
            zhiban,
            control,
            _building: building,
            _folder: folder,
        })
    }
}

/// The demo's own configuration, pointed at a building outside.
fn demo_config(tools: &Tools, folder: &Path, port: u16, modbus: u16, mqtt: u16) -> Result<PathBuf> {
    let text = std::fs::read_to_string(tools.root.join("config/demo.toml"))?;
    let mut config: toml::Table = text.parse()?;
    let http = [("listen".to_owned(), format!("127.0.0.1:{port}").into())];
    config.insert("http".to_owned(), toml::Table::from_iter(http).into());
    let links = config.get_mut("link").and_then(toml::Value::as_table_mut);
    for (_, link) in links.context("no links")? {
        for (kind, port) in [("modbus_tcp", modbus), ("mqtt", mqtt)] {
            if let Some(link) = link.get_mut(kind).and_then(toml::Value::as_table_mut) {
                link.insert("host".to_owned(), "127.0.0.1".into());
                link.insert("port".to_owned(), i64::from(port).into());
            }
        }
    }
    let path = folder.join("gateway.toml");
    std::fs::write(&path, config.to_string())?;
    Ok(path)
}

/// Idle, then with faults and people.
async fn measure(
    program: &Program,
    api: &Api,
    control: &str,
    window: Duration,
) -> Result<[Usage; 2]> {
    sleep_until((Instant::now() + SETTLING).into()).await;
    let idle = used(program, window).await;
    let mut people = JoinSet::new();
    for _ in 0..STREAMS {
        let mut stream = api.get("/api/v1/stream").await?;
        people.spawn(async move { while let Ok(Some(_)) = stream.chunk().await {} });
    }
    let lists = api.clone();
    people.spawn(async move {
        let mut beat = interval(LISTS_EVERY);
        loop {
            beat.tick().await;
            for path in ["/api/v1/alarms?state=open", "/api/v1/work-orders"] {
                if let Ok(answer) = lists.get(path).await {
                    drop(answer.bytes().await);
                }
            }
        }
    });
    let client = http()?;
    for scenario in SCENARIOS {
        let answer = client
            .post(format!("{control}/scenarios/{scenario}"))
            .send()
            .await?;
        answer.error_for_status()?;
    }
    let loaded = used(program, window).await;
    people.shutdown().await;
    Ok([idle, loaded])
}

async fn used(program: &Program, window: Duration) -> Usage {
    let watch = Watch::start(program);
    sleep_until((Instant::now() + window).into()).await;
    watch.stop()
}
