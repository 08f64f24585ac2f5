/// How much of the account's limits is used, as the provider told last.
///
/// ```
/// use codex_telemetry::turn::{Progress, RateLimitWindow, RateLimits};
///
/// /// Whether a program should begin no more turns.
/// fn is_scarce(progress: &Progress) -> bool {
///     let Progress::RateLimits(limits) = progress else { return false };
///     let is_nearly_used = |window: &RateLimitWindow| window.used_percent >= 90.0;
///     limits.reached.is_some() || limits.primary.iter().chain(&limits.secondary).any(is_nearly_used)
/// }
///
/// let mut limits = RateLimits::default();
/// let mut week = RateLimitWindow::default();
/// week.used_percent = 93.5;
/// limits.secondary = Some(week);
/// assert!(is_scarce(&Progress::RateLimits(limits)));
/// assert!(!is_scarce(&Progress::RateLimits(RateLimits::default())));
/// ```
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
///
/// ```
/// use codex_telemetry::turn::RateLimitWindow;
/// use std::time::{Duration, SystemTime, UNIX_EPOCH};
///
/// /// How long until there is room again.
/// fn wait(window: &RateLimitWindow, now: SystemTime) -> Option<Duration> {
///     let resets = UNIX_EPOCH + Duration::from_secs(window.resets_at?);
///     Some(resets.duration_since(now).unwrap_or_default())
/// }
///
/// let mut window = RateLimitWindow::default();
/// assert_eq!(wait(&window, UNIX_EPOCH), None);
/// window.resets_at = Some(90);
/// assert_eq!(wait(&window, UNIX_EPOCH), Some(Duration::from_secs(90)));
/// ```
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
