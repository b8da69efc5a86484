//! How the gateway itself is: one board that every part writes its own line on.
//!
//! Reading it is cheap and never waits for a part.

use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock, PoisonError};
use zhiban_dashboard::ports::{Check, DeviceFault, Health};

/// The board.
#[derive(Debug)]
pub struct Board {
    checks: Mutex<BTreeMap<String, Check>>,
    faults: Mutex<BTreeMap<String, DeviceFault>>,
    metrics: Option<PrometheusHandle>,
}

/// The process has one recorder, however many gateways a test starts in it.
static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// The upper bounds of every histogram's buckets, in seconds. Without fixed ones the exporter keeps
/// the spread of each histogram in up to 600 KiB, and there is one for each link.
const BUCKETS: [f64; 14] = [
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 60.0,
];

fn recorder() -> Result<PrometheusHandle, BuildError> {
    PrometheusBuilder::new()
        .set_buckets(&BUCKETS)?
        .install_recorder()
}

/// The memory of this process that is really there, in bytes; `None` where the system does not say.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

impl Default for Board {
    fn default() -> Self {
        let metrics = RECORDER.get_or_init(|| recorder().ok());
        Self {
            checks: Mutex::default(),
            faults: Mutex::default(),
            metrics: metrics.clone(),
        }
    }
}

impl Board {
    /// Writes one line: whether a part works, whether the gateway needs it, and a word on it.
    pub fn set(&self, name: &str, ok: bool, critical: bool, detail: impl Into<String>) {
        let check = Check {
            name: name.to_owned(),
            ok,
            critical,
            detail: detail.into(),
        };
        metrics::gauge!("zhiban_check_ok", "check" => check.name.clone())
            .set(f64::from(u8::from(ok)));
        let mut checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner);
        let before = checks.insert(check.name.clone(), check.clone());
        if before.map_or(!ok, |before| before.ok != ok) {
            tracing::info!(
                check = check.name,
                ok,
                detail = check.detail,
                "a part of the gateway"
            );
        }
    }

    /// Says why an asset is not read, by its code; `None` when it is.
    pub fn set_device_fault(&self, asset: &str, fault: Option<DeviceFault>) {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        match fault {
            Some(fault) => faults.insert(asset.to_owned(), fault),
            None => faults.remove(asset),
        };
    }

    /// Keeps histograms from growing, and measures the memory; to be called every few seconds.
    pub fn upkeep(&self) {
        if let Some(bytes) = resident() {
            #[expect(clippy::cast_precision_loss, reason = "exact up to 8 PiB")]
            metrics::gauge!("zhiban_memory_resident_bytes").set(bytes as f64);
        }
        if let Some(metrics) = &self.metrics {
            metrics.run_upkeep();
        }
    }
}

impl Health for Board {
    fn checks(&self) -> Vec<Check> {
        let checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner);
        checks.values().cloned().collect()
    }

    fn device_fault(&self, asset: &str) -> Option<DeviceFault> {
        let faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults.get(asset).cloned()
    }

    fn resident(&self) -> Option<u64> {
        resident()
    }

    fn metrics(&self) -> String {
        self.metrics
            .as_ref()
            .map(PrometheusHandle::render)
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_is_of_fixed_buckets_however_wide_its_values_spread() {
        let board = Board::default();
        for power in -9..9 {
            metrics::histogram!("spread_test_seconds").record(10_f64.powi(power));
        }
        board.upkeep();
        let told = board.metrics();
        let lines = told.lines();
        let buckets = lines.filter(|line| line.starts_with("spread_test_seconds_bucket"));
        assert_eq!(buckets.count(), BUCKETS.len() + 1, "{told}");
        assert!(!told.contains("quantile"), "{told}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_memory_that_is_really_there_is_told() {
        let board = Board::default();
        assert!(board.resident().unwrap() > 1 << 20);
        board.upkeep();
        let told = board.metrics();
        let mut samples = told.lines().filter(|line| !line.starts_with('#'));
        assert!(samples.any(|line| line.starts_with("zhiban_memory_resident_bytes")));
    }
}
