//! The image: the build stage of the Dockerfile is carried out in a clean folder, copy by copy and
//! command by command. It must never see a file that the Dockerfile does not copy.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::{read, root};
use crate::support::zhiban::program;

/// An instruction of a Dockerfile: its name and the rest, continued lines joined.
fn instructions() -> Vec<(String, String)> {
    let mut text = read("deploy/Dockerfile").replace("\\\n", " ");
    // What stands before the first stage gives the base images their versions.
    for line in text.clone().lines() {
        let argument = line
            .strip_prefix("ARG ")
            .and_then(|rest| rest.split_once('='));
        if let Some((name, version)) = argument {
            text = text.replace(&format!("${{{name}}}"), version);
        }
    }
    let lines = text.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split_once(' ').unwrap())
        .map(|(name, rest)| (name.to_owned(), rest.trim().to_owned()))
        .collect()
}

/// The instructions of the stage that starts with the `number`th FROM.
fn stage(number: usize) -> Vec<(String, String)> {
    let mut stages = 0;
    let numbered = instructions().into_iter().map(|instruction| {
        stages += usize::from(instruction.0 == "FROM");
        (stages, instruction)
    });
    numbered
        .filter(|(stage, _)| *stage == number + 1)
        .map(|(_, instruction)| instruction)
        .collect()
}

/// What git has, as a build context: neither build output nor anything that was never added.
fn context() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let archive = "git ls-files -z --cached --others --exclude-standard \
         | tar --create --null --files-from=- --ignore-failed-read | tar --extract -C \"$0\"";
    let status = Command::new("sh")
        .args(["-c", archive])
        .arg(folder.path())
        .current_dir(root())
        .status()
        .unwrap();
    assert!(status.success(), "{archive}");
    folder
}

/// Copies as COPY does: files into a folder, or what is in a folder into another.
fn copy(context: &Path, stage: &Path, rest: &str) {
    let words: Vec<&str> = rest.split_whitespace().collect();
    let (target, sources) = words.split_last().unwrap();
    let target = stage.join(target);
    for source in sources {
        let from = context.join(source);
        assert!(from.exists(), "COPY {rest}: there is no {source}");
        let (from, to) = if from.is_dir() {
            (from.join("."), target.clone())
        } else {
            (from, target.clone())
        };
        std::fs::create_dir_all(&to).unwrap();
        let status = Command::new("cp").arg("-R").args([&from, &to]).status();
        assert!(status.unwrap().success(), "COPY {rest}");
    }
}

/// The dependencies that the tests themselves were built with, so that they are not built again.
///
/// Cargo writes its notes in place, so those are copies; what the compiler made is replaced, never
/// written, so that may be hard links. Nothing of ours is among it: it has the same names there.
fn target_folder(inside: &Path) -> PathBuf {
    let debug = program().parent().unwrap();
    let target = inside.join("target");
    std::fs::create_dir_all(target.join("debug")).unwrap();
    for (part, how) in [(".fingerprint", "-a"), ("build", "-a"), ("deps", "-al")] {
        let copy = target.join("debug").join(part);
        let status = Command::new("cp")
            .arg(how)
            .args([&debug.join(part), &copy])
            .status();
        assert!(status.unwrap().success(), "{part}");
        for entry in copy.read_dir().unwrap().map(Result::unwrap) {
            let name = entry.file_name().into_string().unwrap();
            let ours = name.starts_with("zhiban") || name.starts_with("libzhiban");
            match (ours, entry.file_type().unwrap().is_dir()) {
                (true, true) => std::fs::remove_dir_all(entry.path()).unwrap(),
                (true, false) => std::fs::remove_file(entry.path()).unwrap(),
                (false, _) => {}
            }
        }
    }
    target
}

#[test]
fn the_build_stage_builds_the_program_from_what_it_copies() {
    let context = context();
    let scratch = tempfile::tempdir_in(program().parent().unwrap()).unwrap();
    let target = target_folder(scratch.path());
    let stage_folder = scratch.path().join("build");
    std::fs::create_dir(&stage_folder).unwrap();
    for (name, rest) in stage(0) {
        match name.as_str() {
            "COPY" => copy(context.path(), &stage_folder, &rest),
            "RUN" => {
                let output = Command::new("sh")
                    .args(["-c", &rest])
                    .current_dir(&stage_folder)
                    .env("ZHIBAN_PROFILE", "dev")
                    .env("CARGO_TARGET_DIR", &target)
                    .env_remove("RUSTFLAGS")
                    .output()
                    .unwrap();
                let errors = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "RUN {rest}\n{errors}");
            }
            "FROM" | "WORKDIR" => {}
            other => panic!("{other} is not known to this test"),
        }
    }
    let built = stage_folder.join("out/zhiban");
    let help = Command::new(&built).arg("--help").output().unwrap();
    let known = Command::new(program()).arg("--help").output().unwrap();
    assert!(help.status.success());
    assert!(
        !help.stdout.is_empty(),
        "that is the stand-in, not the program"
    );
    assert_eq!(help.stdout, known.stdout);
    assert!(stage_folder.join("out/data").is_dir());
}

#[test]
fn what_is_copied_exists_and_is_let_into_the_context() {
    let ignore = read("deploy/Dockerfile.dockerignore");
    let let_in: Vec<&str> = ignore
        .lines()
        .filter_map(|line| line.strip_prefix('!'))
        .collect();
    for (_, rest) in instructions()
        .iter()
        .filter(|(name, rest)| name == "COPY" && !rest.starts_with("--"))
    {
        let words: Vec<&str> = rest.split_whitespace().collect();
        for source in words.split_last().unwrap().1 {
            assert!(root().join(source).exists(), "there is no {source}");
            let known = let_in
                .iter()
                .any(|path| Path::new(source).starts_with(path));
            assert!(known, "{source} is kept out by Dockerfile.dockerignore");
        }
    }
}

#[test]
fn the_image_is_small_and_not_root() {
    let run = stage(1);
    let of = |name: &str| -> Vec<&str> {
        let found = run.iter().filter(|(this, _)| this == name);
        found.map(|(_, rest)| rest.as_str()).collect()
    };
    assert_eq!(of("USER"), ["10001:10001"]);
    assert!(of("RUN").is_empty(), "nothing is installed into it");
    let base = of("FROM");
    assert!(base[0].starts_with("debian:") && base[0].ends_with("-slim"));
    let copied = of("COPY").join("\n");
    assert!(copied.contains("/build/out/zhiban /usr/local/bin/zhiban"));
    assert!(copied.contains("--chown=10001:10001 /build/out/data /var/lib/zhiban"));
    assert!(of("ENTRYPOINT")[0].contains("/usr/local/bin/zhiban"));
}

#[test]
fn the_image_is_built_with_the_compiler_of_the_project() {
    let toolchain: toml::Table = read("rust-toolchain.toml").parse().unwrap();
    let channel = toolchain["toolchain"]["channel"].as_str().unwrap();
    let base = &stage(0)[0].1;
    assert!(
        base.starts_with(&format!("rust:{channel}-")),
        "{base}, {channel}"
    );
}

#[test]
fn the_health_check_is_a_command_of_the_program() {
    let check = stage(1)
        .into_iter()
        .find(|(name, _)| name == "HEALTHCHECK")
        .unwrap()
        .1;
    let words: Vec<&str> = check.split('"').skip(1).step_by(2).collect();
    let (program_path, arguments) = words.split_first().unwrap();
    assert_eq!(*program_path, "/usr/local/bin/zhiban");
    // It asks where the configuration says, which the image's environment names.
    assert_eq!(arguments, ["health"]);
    let port = crate::support::free_port();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("gateway.toml");
    std::fs::write(&config, format!("[http]\nlisten = \"0.0.0.0:{port}\"\n")).unwrap();
    // Nobody is there: it says so with 1, not with 2 as for a wrong usage.
    let answer = crate::support::zhiban::run(&["health", "--config", config.to_str().unwrap()]);
    assert_eq!(answer.status.code(), Some(1), "{answer:?}");
    let said = String::from_utf8_lossy(&answer.stderr);
    assert!(
        said.contains(&format!("http://127.0.0.1:{port}/healthz does not answer")),
        "{said}"
    );
}

#[test]
fn scripts_can_be_run() {
    for script in [
        "deploy/build/dependencies.sh",
        "deploy/build/program.sh",
        "deploy/influxdb.sh",
        "deploy/secrets.sh",
    ] {
        let mode = root().join(script).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o111, 0o111, "{script}");
    }
}
