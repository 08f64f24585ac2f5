use std::ops::AddAssign;

use serde_json::{Value, json};

/// How many tokens were used.
#[derive(Clone, Copy, Default)]
pub(super) struct Usage {
    pub(super) input: u64,
    pub(super) output: u64,
}

impl Usage {
    pub(super) fn from_json(usage: &Value) -> Self {
        let count = |key: &str| usage[key].as_u64().unwrap_or_default();
        Self {
            input: count("inputTokens"),
            output: count("outputTokens"),
        }
    }

    pub(super) fn to_json(self) -> Value {
        json!({
            "totalTokens": self.input + self.output,
            "inputTokens": self.input,
            "cachedInputTokens": 0,
            "outputTokens": self.output,
            "reasoningOutputTokens": 0,
        })
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.input += other.input;
        self.output += other.output;
    }
}
