//! Figures out of samples: percentiles, medians and how they are written.
//! It must never smooth or leave out a sample.

use std::time::Duration;

/// The value below which this share (0 to 1) of the samples lies; `NaN` without samples.
pub(crate) fn percentile(samples: &[f64], share: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    let place = (last as f64 * share).round() as usize;
    sorted.get(place).copied().unwrap_or(f64::NAN)
}

/// The middle one.
pub(crate) fn median(samples: &[f64]) -> f64 {
    percentile(samples, 0.5)
}

/// The mean; `NaN` without samples.
pub(crate) fn mean(samples: &[f64]) -> f64 {
    samples.iter().sum::<f64>() / samples.len() as f64
}

/// Milliseconds with their fraction.
pub(crate) fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1000.0
}

/// A figure with three significant digits, or `-` where there is none.
pub(crate) fn figure(value: f64) -> String {
    let digits = match value.abs() {
        size if size.is_nan() => return "-".to_owned(),
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:.digits$}")
}

/// A table as Markdown writes it; the first row is the head.
pub(crate) fn table(rows: &[Vec<String>]) {
    for (index, row) in rows.iter().enumerate() {
        println!("| {} |", row.join(" | "));
        if index == 0 {
            println!("|{}", "---|".repeat(row.len()));
        }
    }
    println!();
}

/// A row of a table.
pub(crate) fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}
