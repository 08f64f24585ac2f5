use crate::turn::request::Parameters;

/// What is shorter is left alone: words such as `high` and `true` say nothing, and stand everywhere.
const SHORTEST: usize = 8;

/// Takes a request's own content out of what Codex says: it repeats a setting that it cannot use, and may
/// repeat a prompt.
pub(super) struct Redactor {
    secrets: Vec<String>,
}

impl Redactor {
    pub(super) fn new(p: &Parameters) -> Self {
        let config = p
            .config
            .iter()
            .map(|(_, value)| value.trim_matches(['"', '\'']));
        let environment = p
            .environment
            .iter()
            .filter_map(|(_, value)| value.as_ref()?.to_str());
        let mut secrets: Vec<_> = config
            .chain(environment)
            .chain([p.prompt.trim()])
            .filter(|secret| secret.len() >= SHORTEST)
            .map(str::to_owned)
            .collect();
        // The longest first: one may be a part of another.
        secrets.sort_unstable_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self { secrets }
    }

    pub(super) fn apply(&self, text: String) -> String {
        self.secrets.iter().fold(text, |text, secret| {
            if text.contains(secret) {
                text.replace(secret, "***")
            } else {
                text
            }
        })
    }
}
