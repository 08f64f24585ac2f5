/// How much of the account's limits is used, as the provider told last.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
#[non_exhaustive]
pub struct RateLimits {
    /// The id of the limit, such as `codex`.
    pub limit_id: Option<String>,
    /// The first window, which is usually the shorter one.
    pub primary: Option<RateLimitWindow>,
    /// The second window.
    pub secondary: Option<RateLimitWindow>,
    /// The account's plan.
    pub plan: Option<String>,
    /// The limit that is reached, if one is.
    pub reached: Option<String>,
}

/// A window of time in which the use is limited.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
#[non_exhaustive]
pub struct RateLimitWindow {
    /// How much is used, in per cent.
    pub used_percent: f64,
    /// The length of the window, in minutes.
    pub window_minutes: Option<u64>,
    /// When the window starts again, in seconds since the Unix epoch.
    pub resets_at: Option<u64>,
}
