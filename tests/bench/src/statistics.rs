//! Middles and shares of what was measured.

/// The median; NaN of nothing.
pub fn median(values: &[f64]) -> f64 {
    percentile(values, 50)
}

/// The value that this share of all, in per cent, does not exceed; NaN of nothing.
pub fn percentile(values: &[f64], share: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = (sorted.len() * share / 100).min(sorted.len().saturating_sub(1));
    sorted.get(at).copied().unwrap_or(f64::NAN)
}

/// The smallest value; NaN of nothing.
pub fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NAN, f64::min)
}

/// How many times as long the first took as the second: the median over rounds that both were in.
pub fn ratio(reference: &[f64], own: &[f64]) -> f64 {
    let rounds = reference.iter().zip(own).map(|(r, o)| r / o);
    median(&rounds.collect::<Vec<_>>())
}
