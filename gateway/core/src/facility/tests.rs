//! Timelines and properties of the facility.
//!
//! A timeline is a `.script` file: a line `time what…` is done, the lines `> …` under it are what
//! must come of it. `UPDATE=1 cargo test -p zhiban-core` writes what came instead of comparing.
#![expect(
    clippy::disallowed_methods,
    reason = "scripts are files beside the test"
)]

mod properties;
mod runner;

use std::path::PathBuf;

#[test]
fn timelines() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/facility/tests");
    let mut failed = Vec::new();
    let mut count = 0;
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|f| f.unwrap().path())
        .collect();
    files.sort();
    for file in files
        .iter()
        .filter(|file| file.extension().is_some_and(|e| e == "script"))
    {
        count += 1;
        let text = std::fs::read_to_string(file).unwrap();
        let came = runner::play(&text);
        if came != text && std::env::var_os("UPDATE").is_some() {
            std::fs::write(file, came).unwrap();
        } else if came != text {
            let differs = came.lines().zip(text.lines()).find(|(new, old)| new != old);
            failed.push(format!("{}: {differs:?}\n{came}", file.display()));
        }
    }
    assert!(count > 10, "the scripts were found");
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}
