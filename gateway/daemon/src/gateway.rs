//! All wiring on one page: which parts there are, and in what order they start and stop.
//!
//! The record store is opened first and closed last; nothing is read before it can be kept.

use crate::accounts::Accounts;
use crate::channels::{self, Routes};
use crate::clock::Steps;
use crate::config::{LinkConfig, Loaded};
use crate::drivers::memory::Memory;
use crate::drivers::{self, DriverContext, LinkSpec};
use crate::engine::{Engine, EngineHandle, Inbox, Parts};
use crate::health::Board;
use crate::journal::Journal;
use crate::keeper::Keeper;
use crate::outbox::Outbox;
use crate::photos::PhotoFolder;
use crate::watchdog::Pulse;
use crate::{history, outbox, private, rota, server, watchdog};
use anyhow::{Context, Result};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, broadcast, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use zhiban_core::{Facility, Language, Snapshot, Text, Timestamp};
use zhiban_dashboard::ports::CommandRequest;
use zhiban_dashboard::{App, TrustedProxies};

/// How many live changes a slow reader may fall behind before it must ask for everything anew.
const LIVE: usize = 4096;
/// How many decisions of people may wait.
const COMMANDS: usize = 64;
/// How long the parts get to finish when the gateway stops.
const STOP: Duration = Duration::from_secs(8);

/// A running gateway.
pub struct Gateway {
    loaded: Loaded,
    address: SocketAddr,
    journal: Arc<Journal>,
    accounts: Arc<Accounts>,
    drivers: Group,
    engine: Group,
    rest: Group,
    again: watch::Receiver<Option<String>>,
}

/// Tasks that stop together.
#[derive(Default)]
struct Group {
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Group {
    async fn end(&self, what: &str) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(STOP, self.tasks.wait()).await.is_err() {
            tracing::warn!(what, "did not end in time");
        }
    }
}

/// The record store's file in the data folder.
pub fn journal_path(loaded: &Loaded) -> PathBuf {
    loaded.config.storage.data_dir.join("core.db")
}

/// Makes the data folder and opens the record store.
///
/// # Errors
/// The folder cannot be made or written, or the file is not one of ours; nothing is changed then.
pub async fn open_journal(loaded: &Loaded) -> Result<(Journal, zhiban_core::facility::Records)> {
    let folder = &loaded.config.storage.data_dir;
    std::fs::create_dir_all(folder).with_context(|| {
        let folder = folder.display();
        format!("cannot make the data folder {folder}: give its owner the right, or set storage.data_dir")
    })?;
    match private::tighten(folder) {
        Ok(0) => {}
        Ok(files) => tracing::warn!(
            files,
            "others could read these files of the data folder; now they cannot"
        ),
        Err(error) => tracing::warn!(%error, "who may read the data folder is not known"),
    }
    Ok(Journal::open(&journal_path(loaded), loaded.model.clone(), now()).await?)
}

impl Gateway {
    /// Starts every part.
    ///
    /// # Errors
    /// The address, the certificate, the record store or a secret cannot be had. A device, a broker or InfluxDB that
    /// is not there is no error: it is waited for.
    pub async fn start(loaded: Loaded) -> Result<Self> {
        install_crypto();
        let socket = server::open(&loaded.config.http)?;
        let address = socket.address;
        let (journal, records) = open_journal(&loaded).await?;
        let journal = Arc::new(journal);
        let (now, steps) = (now(), Arc::new(Steps::default()));
        let facility = Facility::restore(loaded.model.clone(), records, now);
        let out_of_service = out_of_service(&facility.snapshot(now));
        let board = new_board(&journal, &out_of_service);
        let (drivers, engine, rest) = (Group::default(), Group::default(), Group::default());

        let (options, model) = (history_options(&loaded, &journal)?, loaded.model.clone());
        let (history, series, health, elsewhere) =
            history::start_anyhow(options, model, rest.stop.clone(), &rest.tasks).await?;
        let (routes, unrecorded, wake) = start_outbox(&loaded, &journal, &board, &steps, &rest)?;
        let (snapshot, snapshots) = watch::channel(Arc::new(facility.snapshot(now)));
        let (live, _) = broadcast::channel(LIVE);
        let (handle, queue) = EngineHandle::channel();
        let pulse = Pulse::default();
        let parts = Parts {
            facility,
            journal: journal.clone(),
            routes,
            unrecorded,
            history,
            inbox: Inbox::restore(journal.recent_inbox(now).await?),
            snapshot,
            live: live.clone(),
            wake,
            board: board.clone(),
            tracker: rest.tasks.clone(),
            pulse: pulse.clone(),
            steps: steps.clone(),
        };
        engine
            .tasks
            .spawn(Engine::new(parts).run(queue, engine.stop.clone()));
        start_drivers(&loaded, &handle, &board, &drivers)?;
        maintain(journal.clone(), steps.clone(), &rest);
        let accounts = open_accounts(&loaded, &journal, steps, &board, &rest);
        let router = zhiban_dashboard::router(App {
            snapshot: snapshots,
            commands: forward_commands(handle, &rest),
            live,
            history: Arc::new(series),
            archive: journal.clone(),
            photos: Arc::new(open_photos(&loaded, &journal)),
            accounts: accounts.clone(),
            health: board.clone(),
            unwatched: [journal.unconfigured().about.clone(), out_of_service].concat(),
            tells: !loaded.config.notify.channels.is_empty(),
            proxies: TrustedProxies::new(&loaded.config.http.trusted_proxies),
            stop: drivers.stop.clone(),
            now: self::now,
        });
        let (http, stop) = (&loaded.config.http, drivers.stop.clone());
        server::serve(socket, http, router, &board, &rest.tasks, stop)?;
        let again = keep(&journal, &board, pulse, (health, elsewhere), &rest);
        Ok(Self {
            loaded,
            address,
            journal,
            accounts,
            drivers,
            engine,
            rest,
            again,
        })
    }

    /// Returns when only a new start of all parts can help, with the reason.
    pub async fn wants_a_new_start(&mut self) -> String {
        loop {
            if let Some(reason) = self.again.borrow_and_update().clone() {
                return reason;
            }
            if self.again.changed().await.is_err() {
                // The keeper ended: the gateway is being stopped, and nothing is asked for.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Where the dashboard is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it was started with.
    pub fn loaded(&self) -> &Loaded {
        &self.loaded
    }

    /// Accounts and tokens.
    pub fn accounts(&self) -> &Arc<Accounts> {
        &self.accounts
    }

    /// Stops in order: first nothing new comes in, then the engine finishes what waits, then the rest.
    pub async fn stop(self) {
        self.drivers.end("drivers").await;
        self.engine.end("engine").await;
        self.rest.end("stores and server").await;
        self.journal.store().close().await;
    }
}

fn maintain(journal: Arc<Journal>, steps: Arc<Steps>, rest: &Group) {
    let stop = rest.stop.clone();
    rest.tasks
        .spawn(async move { journal.maintain(steps, stop).await });
}

/// A board on which the record store, which is open, works as far as it does; it names what nobody watches any more.
fn new_board(journal: &Journal, out_of_service: &[Text]) -> Arc<Board> {
    let board = Arc::new(Board::default());
    let refusal = journal
        .store()
        .stand_in()
        .map(|one| one.refusal().to_string());
    board.set(
        "journal",
        refusal.is_none(),
        true,
        refusal.unwrap_or_default(),
    );
    let disabled = (!out_of_service.is_empty()).then(|| {
        let about: Vec<&str> = out_of_service
            .iter()
            .map(|one| one.get(Language::En))
            .collect();
        format!(
            "alarms are open on assets that are disabled, so nobody watches them: {}",
            about.join(", ")
        )
    });
    let told = [journal.unconfigured().told(), disabled];
    let told: Vec<String> = told.into_iter().flatten().collect();
    board.set("unconfigured", told.is_empty(), false, told.join("; "));
    board
}

/// The open alarms of assets that the configuration says are out of service, by code and title.
fn out_of_service(snapshot: &Snapshot) -> Vec<Text> {
    let model = &snapshot.model;
    let open = snapshot.alarms.values();
    open.filter(|alarm| model.asset(alarm.asset).disabled)
        .map(|alarm| {
            let (code, title) = (
                &model.asset(alarm.asset).code,
                &model.rule(alarm.rule).rule.title,
            );
            let both = |language| format!("{code} {}", title.get(language));
            Text::new(both(Language::ZhCn), both(Language::En))
        })
        .collect()
}

fn open_photos(loaded: &Loaded, journal: &Journal) -> PhotoFolder {
    let storage = &loaded.config.storage;
    let quota = u64::from(storage.photo_quota_mib) << 20;
    let photos = PhotoFolder::open(storage.data_dir.join("photos"), quota);
    photos.on(journal.store().disk().clone())
}

/// Starts looking after the data folder, and telling whoever restarts the gateway how it is.
fn keep(
    journal: &Arc<Journal>,
    board: &Arc<Board>,
    pulse: Pulse,
    (health, elsewhere): (history::HistoryHealth, Option<history::Elsewhere>),
    rest: &Group,
) -> watch::Receiver<Option<String>> {
    let (again, asked) = watch::channel(None);
    let keeper = Keeper {
        journal: journal.clone(),
        board: board.clone(),
        pulse: pulse.clone(),
        again,
        elsewhere,
    };
    rest.tasks.spawn(keeper.run(rest.stop.clone()));
    let watch = watchdog::run(pulse, board.clone(), health, rest.stop.clone());
    rest.tasks.spawn(watch);
    asked
}

fn history_options(loaded: &Loaded, journal: &Journal) -> Result<history::Options> {
    let storage = &loaded.config.storage;
    let mut options = history::Options::new(storage.data_dir.join("telemetry.db"));
    options.disk = Some(journal.store().disk().clone());
    options.retention = storage.history_retention;
    if let Some(influx) = &loaded.config.influxdb {
        options.influxdb = Some(history::influxdb::Options {
            url: influx.url.clone(),
            org: influx.org.clone(),
            bucket: influx.bucket.clone(),
            token: influx.token().context("influxdb")?,
            token_file: influx.token_file.clone(),
            retention: influx.retention,
            batch_lines: influx.batch_lines,
            batch_wait: influx.batch_wait,
            timeout: influx.timeout,
        });
    }
    Ok(options)
}

fn open_accounts(
    loaded: &Loaded,
    journal: &Journal,
    steps: Arc<Steps>,
    board: &Arc<Board>,
    rest: &Group,
) -> Arc<Accounts> {
    let accounts = Accounts::with_steps(journal.store().clone(), steps);
    let accounts = Arc::new(accounts.at(&loaded.config.site));
    let lines = loaded.config.notify.rota.iter();
    let named = lines.map(|line| line.person.clone()).collect();
    let watch = rota::watch(accounts.clone(), board.clone(), named, rest.stop.clone());
    rest.tasks.spawn(watch);
    accounts
}

fn start_outbox(
    loaded: &Loaded,
    journal: &Arc<Journal>,
    board: &Arc<Board>,
    steps: &Arc<Steps>,
    rest: &Group,
) -> Result<(Arc<Routes>, outbox::Unrecorded, Arc<Notify>)> {
    let wake = Arc::new(Notify::new());
    let (channels, routes) = channels::set_up(&loaded.config.notify.channels)?;
    let routes = Arc::new(routes);
    let (outbox, unrecorded) = Outbox::new(outbox::Parts {
        journal: journal.clone(),
        channels,
        routes: routes.clone(),
        url: loaded.config.http.public_url.clone(),
        board: board.clone(),
        pace: outbox::Pace::default(),
        steps: steps.clone(),
    })?;
    rest.tasks
        .spawn(outbox.run(wake.clone(), rest.stop.clone()));
    Ok((routes, unrecorded, wake))
}

fn start_drivers(
    loaded: &Loaded,
    engine: &EngineHandle,
    board: &Arc<Board>,
    group: &Group,
) -> Result<()> {
    let memory = Memory::open(&loaded.config.storage.data_dir);
    for (name, devices) in &loaded.devices {
        let Some(link) = loaded.config.links.get(name) else {
            continue;
        };
        let spec = link_spec(link, &loaded.config.site.code)
            .with_context(|| format!("link \"{name}\""))?;
        let context = DriverContext {
            link: name.clone(),
            engine: engine.clone(),
            board: board.clone(),
            memory: memory.clone(),
            stop: group.stop.clone(),
        };
        drivers::spawn(&group.tasks, context, spec, devices.clone());
    }
    Ok(())
}

fn link_spec(link: &LinkConfig, site: &str) -> Result<LinkSpec> {
    if let Some(modbus) = link.modbus() {
        return Ok(LinkSpec::Modbus(modbus));
    }
    let mqtt = link.mqtt(site).context("the link is of no known kind")??;
    Ok(LinkSpec::Mqtt(mqtt))
}

/// Decisions of people share the engine's queue with everything else.
fn forward_commands(engine: EngineHandle, rest: &Group) -> mpsc::Sender<CommandRequest> {
    let (sender, mut receiver) = mpsc::channel(COMMANDS);
    let stop = rest.stop.clone();
    rest.tasks.spawn(async move {
        while let Some(Some(request)) = stop.run_until_cancelled(receiver.recv()).await {
            if engine.command(request).await.is_err() {
                break;
            }
        }
    });
    sender
}

/// One provider of cryptography for the whole process, chosen here and nowhere else.
pub(crate) fn install_crypto() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // A second gateway in the same process may have been faster; then it is installed.
        drop(rustls::crypto::ring::default_provider().install_default());
    }
}

fn now() -> Timestamp {
    Timestamp::from(chrono::Utc::now())
}
