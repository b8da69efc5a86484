//! How the gateway itself is: one board that every part writes its own line on.
//!
//! Reading it is cheap and never waits for a part.

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
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

impl Default for Board {
    fn default() -> Self {
        let metrics = RECORDER.get_or_init(|| PrometheusBuilder::new().install_recorder().ok());
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

    /// Keeps histograms from growing; to be called every few seconds.
    pub fn upkeep(&self) {
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

    fn metrics(&self) -> String {
        self.metrics
            .as_ref()
            .map(PrometheusHandle::render)
            .unwrap_or_default()
    }
}
