/// Any error, as tower's own middleware returns it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
