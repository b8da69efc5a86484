//! Commands beside a gateway that runs as an account of its own. Everything is of that account afterwards, whoever
//! typed the command; and who may not write the data folder is told which account may.
//!
//! Only root can start programs as other accounts: without it this is skipped, and says so.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::support::zhiban::{Zhiban, program};
use crate::support::{free_port, skipped};

/// An account that owns nothing.
const NOBODY: u32 = 65534;
/// Another one.
const SOMEBODY: u32 = 65533;

const BUILDING: &str = r#"
[site]
code = "accounts"
name = { zh = "试验", en = "Test" }
[link.plant]
modbus_tcp = { host = "127.0.0.1", port = 1 }
[[asset]]
code = "A1"
name = { zh = "1 号电梯", en = "Elevator 1" }
profile = "virtual-elevator"
link = "plant"
unit = 1
"#;

struct Site {
    folder: tempfile::TempDir,
    url: String,
}

impl Site {
    /// The program where every account may run it, and a data folder of nobody's.
    fn new() -> Option<Self> {
        if !is_root() {
            skipped("only root can start programs as other accounts");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let all = |path: &Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        all(folder.path(), 0o755);
        let copy = folder.path().join("zhiban");
        std::fs::hard_link(program(), &copy)
            .or_else(|_| std::fs::copy(program(), &copy).map(drop))
            .unwrap();
        all(&copy, 0o755);
        let listen = format!("127.0.0.1:{}", free_port());
        let config = folder.path().join("gateway.toml");
        let text = format!("{BUILDING}[http]\nlisten = \"{listen}\"\n");
        std::fs::write(&config, text).unwrap();
        all(&config, 0o644);
        // A debug build reads its library where it was built, which may be a place for root alone.
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for library in ["profiles", "alarms"] {
            let mut copy = Command::new("cp");
            copy.arg("-r").arg(source.join("config").join(library));
            copy.arg(folder.path());
            assert!(copy.status().unwrap().success());
        }
        let readable = ["-R", "go=rX"];
        let given = Command::new("chmod")
            .args(readable)
            .arg(folder.path())
            .status();
        assert!(given.unwrap().success());
        let data = folder.path().join("data");
        std::fs::create_dir(&data).unwrap();
        chown(&data, Some(NOBODY), Some(NOBODY)).unwrap();
        let url = format!("http://{listen}");
        Some(Self { folder, url })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, user: u32, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.path("zhiban"));
        command
            .args(arguments)
            .arg("--config")
            .arg(self.path("gateway.toml"));
        if user != 0 {
            command.uid(user).gid(user);
        }
        command
    }

    fn run(&self, user: u32, arguments: &[&str]) -> Output {
        let mut command = self.command(user, arguments);
        command.stdin(Stdio::null()).output().unwrap()
    }

    fn done(&self, user: u32, arguments: &[&str]) -> String {
        let done = self.run(user, arguments);
        let words = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success(), "{arguments:?}: {words}");
        String::from_utf8(done.stdout).unwrap()
    }

    fn refused(&self, user: u32, arguments: &[&str]) -> String {
        let done = self.run(user, arguments);
        assert_eq!(done.status.code(), Some(1), "{arguments:?}");
        String::from_utf8(done.stderr).unwrap()
    }

    async fn start(&self) -> Zhiban {
        let mut gateway = Zhiban::started(&mut self.command(NOBODY, &["run"]));
        gateway.answers(&format!("{}/healthz", self.url)).await;
        gateway
    }

    fn all_of_it_belongs_to_the_gateway(&self) {
        let mut folders = vec![self.path("data")];
        let mut files = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                // What is only there for a moment may be gone.
                let Ok(found) = std::fs::metadata(&path) else {
                    continue;
                };
                assert_eq!(found.uid(), NOBODY, "{}", path.display());
                files += 1;
                if found.is_dir() {
                    folders.push(path);
                }
            }
        }
        assert!(files > 1);
    }
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_root_does_beside_a_gateway_stays_the_gateways() {
    let Some(site) = Site::new() else { return };
    // Before the first start, too.
    let secret = site.path("password");
    std::fs::write(&secret, "a long enough one 42\n").unwrap();
    let secret = secret.to_str().unwrap();
    site.done(0, &["user", "add", "wang", "--password-file", secret]);
    site.all_of_it_belongs_to_the_gateway();

    let gateway = site.start().await;
    site.done(0, &["token", "add", "script"]);
    let backup = site.path("night.tar");
    let backup = backup.to_str().unwrap();
    site.done(0, &["backup", backup]);
    assert_eq!(std::fs::metadata(backup).unwrap().uid(), 0);
    let said = site.done(0, &["restore", backup]);
    assert!(said.contains("The running gateway has put"), "{said}");
    site.all_of_it_belongs_to_the_gateway();

    drop(gateway);
    let said = site.done(0, &["restore", backup]);
    assert!(said.contains("for its next start"), "{said}");
    site.all_of_it_belongs_to_the_gateway();
    let gateway = site.start().await;
    assert!(site.done(NOBODY, &["user", "list"]).contains("wang"));
    drop(gateway);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_write_the_records_is_told_who_may() {
    let Some(site) = Site::new() else { return };
    let gateway = site.start().await;
    let backup = site.path("night.tar");
    let backup = backup.to_str().unwrap();
    site.done(0, &["backup", backup]);
    let data = site.path("data");
    let owner = format!(
        "the data folder {} belongs to the account nobody",
        data.display()
    );
    for arguments in [
        &["restore", backup][..],
        &["backup", "/tmp/never.tar"],
        &["user", "list"],
        &["set-aside", "replay"],
    ] {
        let words = site.refused(SOMEBODY, arguments);
        assert!(
            words.contains(&owner) && words.contains("sudo -u nobody"),
            "{words}"
        );
    }
    // The file is root's; the account of the gateway may not read it.
    let words = site.refused(NOBODY, &["restore", backup]);
    assert!(
        words.contains("that the account nobody may read"),
        "{words}"
    );
    assert!(words.contains("Nothing was changed"), "{words}");
    drop(gateway);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_goes_through_pipes() {
    let Some(site) = Site::new() else { return };
    let gateway = site.start().await;
    let made = site.run(NOBODY, &["backup", "-"]);
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    assert!(String::from_utf8_lossy(&made.stderr).contains("0 work orders"));
    let file = site.path("piped.tar");
    std::fs::write(&file, &made.stdout).unwrap();
    let put = site
        .command(NOBODY, &["restore", "-"])
        .stdin(std::fs::File::open(&file).unwrap())
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&put.stderr);
    assert!(put.status.success(), "{words}");
    site.all_of_it_belongs_to_the_gateway();

    std::fs::write(&file, &made.stdout[..made.stdout.len() / 2]).unwrap();
    let cut = site
        .command(NOBODY, &["restore", "-"])
        .stdin(std::fs::File::open(&file).unwrap())
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&cut.stderr);
    assert!(
        words.contains("standard input is no whole backup"),
        "{words}"
    );
    drop(gateway);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_written_over_nothing_that_the_gateway_works_with() {
    let Some(site) = Site::new() else { return };
    let gateway = site.start().await;
    let link = site.path("elsewhere");
    std::os::unix::fs::symlink(site.path("data"), &link).unwrap();
    let names = [
        "core.db",
        "core.db-wal",
        "telemetry.db",
        "photos/night.tar",
        "modbus-reads.json",
    ];
    let data = names.iter().map(|name| site.path("data").join(name));
    let others = [link.join("core.db"), site.path("gateway.toml")];
    for place in data.chain(others) {
        let before = std::fs::read(&place).ok().map(|bytes| bytes.len());
        let words = site.refused(0, &["backup", place.to_str().unwrap()]);
        assert!(
            words.contains("name another file for the backup"),
            "{words}"
        );
        let after = std::fs::read(&place).ok().map(|bytes| bytes.len());
        assert_eq!(before.is_some(), after.is_some(), "{}", place.display());
    }
    assert!(
        std::fs::read(site.path("gateway.toml"))
            .unwrap()
            .starts_with(b"\n[site]")
    );
    // A file of one's own in the data folder is allowed, as in a container.
    let own = site.path("data/night.tar");
    site.done(0, &["backup", own.to_str().unwrap()]);
    drop(gateway);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_meets_files_of_another_account_says_whose_they_are() {
    let Some(site) = Site::new() else { return };
    drop(site.start().await);
    chown(site.path("data/core.db"), Some(0), Some(0)).unwrap();
    chown(site.path("data/core.db.lock"), Some(0), Some(0)).unwrap();
    let words = site.refused(NOBODY, &["user", "list"]);
    assert!(words.contains("belongs to the account root"), "{words}");
    assert!(words.contains("chown -R nobody"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_where_no_backup_can_be_written_is_named() {
    let Some(site) = Site::new() else { return };
    let gateway = site.start().await;
    for (place, cure) in [
        ("nowhere/night.tar", "make its folder"),
        ("data", "it is a folder"),
        ("night.tar", "in a folder that this account may write"),
    ] {
        let place = site.path(place);
        let words = site.refused(NOBODY, &["backup", place.to_str().unwrap()]);
        let target = format!("the backup {} cannot be written", place.display());
        assert!(
            words.starts_with(&target) && words.contains(cure),
            "{words}"
        );
    }
    drop(gateway);
}

#[test]
fn root_is_told_that_a_folder_it_makes_is_its_own() {
    let Some(site) = Site::new() else { return };
    std::fs::remove_dir(site.path("data")).unwrap();
    let done = site.run(0, &["set-aside", "list"]);
    let words = String::from_utf8_lossy(&done.stderr);
    assert!(words.contains("will belong to root"), "{words}");
    assert!(words.contains("chown -R"), "{words}");
}
