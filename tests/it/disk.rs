//! A full disk under the whole program: faults go on being recorded from the reserve, then wait,
//! and are all durable, once each, seconds after there is room. Nobody restarts anything.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::support::beacon::{Beacons, count, try_count};
use crate::support::mosquitto::Mosquitto;
use crate::support::mount::SmallDisk;
use crate::support::zhiban::Zhiban;
use crate::support::{PATIENCE, free_port, http, wait_until};

const BEACONS: Beacons = Beacons {
    devices: 95,
    faults: 10,
};

/// Seconds, on a machine that may be four times slower.
const SECONDS: Duration = Duration::from_secs(40);

const ORDERS: &str = "select count(*) from work_order";

struct Site {
    broker: Mosquitto,
    disk: SmallDisk,
    folder: tempfile::TempDir,
    url: String,
}

impl Site {
    async fn new() -> Option<Self> {
        let broker = Mosquitto::start().await?;
        let disk = SmallDisk::mount(96)?;
        let folder = tempfile::tempdir().unwrap();
        let listen = format!("127.0.0.1:{}", free_port());
        let data = disk.path().join("data");
        let more = format!(
            "[http]\nlisten = \"{listen}\"\n[storage]\ndata_dir = \"{}\"",
            data.display()
        );
        BEACONS.configure(folder.path(), broker.port(), &more);
        let url = format!("http://{listen}");
        Some(Self {
            broker,
            disk,
            folder,
            url,
        })
    }

    fn start(&self) -> Zhiban {
        let config = self.folder.path().join("gateway.toml");
        Zhiban::start(&["run", "--config", config.to_str().unwrap()])
    }

    fn data(&self) -> PathBuf {
        self.disk.path().join("data")
    }

    fn db(&self) -> PathBuf {
        self.data().join("core.db")
    }

    fn reserve(&self) -> PathBuf {
        self.data().join("core.db.reserve")
    }

    async fn healthz(&self) -> u16 {
        let answer = http().get(format!("{}/healthz", self.url)).send().await;
        answer.map_or(0, |answer| answer.status().as_u16())
    }

    async fn send(&self, kinds: std::ops::Range<usize>) {
        let port = self.broker.port();
        BEACONS
            .publish(port, kinds, Duration::from_millis(500))
            .await;
    }

    async fn orders(&self) -> i64 {
        count(&self.db(), ORDERS).await
    }

    async fn wait_for_orders(&self, kinds: usize, within: Duration, gateway: &Zhiban) {
        let wanted = i64::try_from(kinds * BEACONS.devices).unwrap();
        let deadline = Instant::now() + within;
        let mut looks = tokio::time::interval(Duration::from_millis(100));
        loop {
            looks.tick().await;
            let have = try_count(&self.db(), ORDERS).await;
            if have.as_ref().is_ok_and(|have| *have >= wanted) {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{have:?} of {wanted} orders\n{}",
                gateway.log()
            );
        }
    }
}

/// Fills the disk again and again until records find no room either, and health says so.
async fn fill_until_nothing_is_written(site: &Site, gateway: &Zhiban) {
    let deadline = Instant::now() + PATIENCE;
    let mut looks = tokio::time::interval(Duration::from_millis(50));
    while site.healthz().await != 503 {
        looks.tick().await;
        site.disk.fill();
        let late = Instant::now() > deadline;
        assert!(!late, "{} orders\n{}", site.orders().await, gateway.log());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_records_go_on_and_are_all_there_when_there_is_room() {
    let Some(site) = Site::new().await else {
        return;
    };
    let mut gateway = site.start();
    gateway.answers(&format!("{}/healthz", site.url)).await;
    wait_until(PATIENCE, "the subscription", async || {
        gateway.log().contains("subscribed")
    })
    .await;
    site.send(0..1).await;
    site.wait_for_orders(1, SECONDS, &gateway).await;
    wait_until(PATIENCE, "the reserve", async || site.reserve().exists()).await;

    // Somebody fills the disk: the reserve is given up, and faults are recorded as before.
    site.disk.fill();
    site.send(1..3).await;
    site.wait_for_orders(3, SECONDS, &gateway).await;
    assert!(!site.reserve().exists(), "it was given up");

    // That room is taken as well: nothing can be recorded, and nobody is told otherwise.
    let ((), ()) = tokio::join!(
        site.send(3..10),
        fill_until_nothing_is_written(&site, &gateway)
    );
    let missing = BEACONS.all() - site.orders().await;
    assert!(missing > 0, "the disk was full");

    // There is room again.
    site.disk.free();
    site.wait_for_orders(10, SECONDS, &gateway).await;
    wait_until(SECONDS, "health", async || site.healthz().await == 200).await;
    wait_until(SECONDS, "a new reserve", async || site.reserve().exists()).await;
    BEACONS.assert_exactly_once(&site.db()).await;
    assert!(gateway.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_starts_on_a_full_disk_and_records_when_there_is_room() {
    let Some(site) = Site::new().await else {
        return;
    };
    let mut gateway = site.start();
    wait_until(PATIENCE, "the subscription", async || {
        gateway.log().contains("subscribed")
    })
    .await;
    site.send(0..1).await;
    site.wait_for_orders(1, SECONDS, &gateway).await;
    assert!(gateway.stop().await.success());

    // With a reserve: it is given up, and the night is recorded.
    site.disk.fill();
    let mut gateway = site.start();
    site.send(1..2).await;
    site.wait_for_orders(2, SECONDS, &gateway).await;
    assert!(!site.reserve().exists());
    gateway.kill();

    // Without one: it starts, shows what is there, and records as soon as it can.
    site.disk.fill();
    remove_shared_index(&site.data());
    site.disk.fill();
    let mut gateway = site.start();
    gateway.answers(&format!("{}/readyz", site.url)).await;
    let ((), ()) = tokio::join!(
        site.send(2..10),
        wait_until(PATIENCE, "the truth about it", async || {
            site.healthz().await == 503
        })
    );
    site.disk.free();
    wait_until(SECONDS, "health", async || site.healthz().await == 200).await;
    // The file was opened for one process alone: it is looked at when that one has ended.
    wait_until(SECONDS, "the last acknowledgement", async || {
        gateway.log().contains("nothing was lost")
    })
    .await;
    assert!(gateway.stop().await.success());
    let gateway = site.start();
    site.wait_for_orders(10, SECONDS, &gateway).await;
    BEACONS.assert_exactly_once(&site.db()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_starts_on_a_disk_that_takes_nothing_and_opens_it_when_it_does() {
    let Some(site) = Site::new().await else {
        return;
    };
    // A new box whose disk is full already: there is not even room for an empty record store.
    std::fs::create_dir(site.data()).unwrap();
    site.disk.fill();
    let mut gateway = site.start();
    wait_until(PATIENCE, "the truth about it", async || {
        site.healthz().await == 503
    })
    .await;
    assert!(gateway.log().contains("no room"), "{}", gateway.log());
    site.disk.free();
    // It starts anew by itself; what the broker kept is recorded.
    site.send(0..1).await;
    site.wait_for_orders(1, SECONDS * 2, &gateway).await;
    gateway.kill();

    // A disk that the system will not write any more, as after a fault of a memory card.
    site.disk.set_read_only(true);
    let mut gateway = site.start();
    // It never says that it is ready, from its first answer on.
    wait_until(PATIENCE, "a first answer", async || {
        let answer = http().get(format!("{}/readyz", site.url)).send().await;
        answer.is_ok_and(|answer| {
            assert_eq!(answer.status().as_u16(), 503);
            true
        })
    })
    .await;
    wait_until(PATIENCE, "the subscription", async || {
        gateway.log().contains("subscribed")
    })
    .await;
    site.send(1..2).await;
    wait_until(PATIENCE, "the truth about it", async || {
        site.healthz().await == 503
    })
    .await;
    let log = gateway.log();
    assert!(log.contains("its disk is read-only"), "{log}");
    assert!(log.contains("a copy in memory"), "{log}");
    site.disk.set_read_only(false);
    site.wait_for_orders(2, SECONDS * 2, &gateway).await;
    wait_until(SECONDS, "health", async || site.healthz().await == 200).await;
    assert!(gateway.stop().await.success());
    let orders = i64::try_from(2 * BEACONS.devices).unwrap();
    assert_eq!(site.orders().await, orders, "none twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_on_the_size_of_files_ends_no_gateway() {
    let folder = tempfile::tempdir().unwrap();
    let listen = format!("127.0.0.1:{}", free_port());
    let config = folder.path().join("gateway.toml");
    let text = format!(
        "[site]\ncode = \"limit\"\nname = {{ zh = \"试验\", en = \"Test\" }}\n[http]\nlisten = \"{listen}\"\n\
         [storage]\ndata_dir = \"{}\"\n",
        folder.path().join("data").display()
    );
    std::fs::write(&config, text).unwrap();
    let mut gateway =
        Zhiban::start_with_file_size(600, &["run", "--config", config.to_str().unwrap()]);
    let url = format!("http://{listen}/readyz");
    gateway.answers(&url).await;
    // Not even the reserve can be made.
    wait_until(PATIENCE, "the truth about it", async || {
        let answer = http().get(&url).send().await.unwrap();
        answer.text().await.unwrap().contains("\"disk\"")
    })
    .await;
    assert!(gateway.stop().await.success());
}

/// What a restart of the machine leaves on a disk of its own: the index of the log is in memory.
fn remove_shared_index(data: &Path) {
    for file in ["core.db-shm", "telemetry.db-shm"] {
        drop(std::fs::remove_file(data.join(file)));
    }
}
