use crate::turn::TurnRequest;

/// The minimum length of a secret, in bytes. Shorter values, such as `high` and `true`, reveal nothing and
/// are frequent in any text.
const MIN_LENGTH: usize = 8;

/// Replaces the content of a request in Codex's messages: Codex repeats an invalid setting, and may repeat
/// the prompt.
pub(super) struct Redactor {
    secrets: Vec<String>,
}

impl Redactor {
    pub(super) fn new(request: &TurnRequest) -> Self {
        let config = request
            .config()
            .map(|(_, value)| value.trim_matches(['"', '\'']));
        let environment = request
            .environment()
            .filter_map(|(_, value)| value?.to_str());
        let mut secrets: Vec<_> = config
            .chain(environment)
            .chain([request.prompt().trim()])
            .filter(|secret| secret.len() >= MIN_LENGTH)
            .map(str::to_owned)
            .collect();
        // The longest first: a secret may contain another one.
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
