use super::{
    ConfigWarning, Signal,
    flaw::Flaw,
    variables::{Setting, Variables},
};

/// Reads variables, and collects one warning for each that is not usable.
pub(super) struct Reader<'a> {
    pub(super) variables: &'a Variables,
    warnings: Vec<ConfigWarning>,
}

/// The variables that were passed over, because a bad value counts as unset.
#[derive(Default)]
pub(super) struct PassedOver(Vec<Passed>);

struct Passed {
    variable: String,
    flaw: Flaw,
    /// What is used instead, by signal.
    used: Vec<(Signal, String)>,
}

// === impl Reader ===

impl<'a> Reader<'a> {
    pub(super) fn new(variables: &'a Variables) -> Self {
        Self {
            variables,
            warnings: Vec::new(),
        }
    }

    pub(super) fn into_warnings(self) -> Vec<ConfigWarning> {
        self.warnings
    }

    /// Warns of a variable, unless that was done.
    pub(super) fn warn(&mut self, variable: &str, flaw: Flaw, instead: impl Into<String>) {
        let known = |warning: &ConfigWarning| warning.variable() == variable;
        if !self.warnings.iter().any(known) {
            let warning = ConfigWarning::new(variable, flaw, instead);
            self.warnings.push(warning);
        }
    }

    /// The value of a variable that stands alone; a bad one counts as unset.
    pub(super) fn read<T>(
        &mut self,
        variable: &str,
        parse: fn(&str) -> Result<T, Flaw>,
        instead: impl Into<String>,
    ) -> Option<T> {
        match self.variables.get(variable)?.and_then(parse) {
            Ok(value) => Some(value),
            Err(flaw) => {
                self.warn(variable, flaw, instead);
                None
            }
        }
    }

    /// The value of a setting for a signal; a bad one counts as unset, so that the next in line is asked.
    pub(super) fn read_setting<T>(
        &self,
        setting: Setting,
        signal: Signal,
        parse: fn(&str) -> Result<T, Flaw>,
        default: T,
        show: impl Fn(&T) -> String,
        passed_over: &mut PassedOver,
    ) -> T {
        let mut passed = Vec::new();
        let mut found = None;
        for (_, name) in setting.names(signal) {
            match self.variables.get(&name).map(|value| value.and_then(parse)) {
                None => {}
                Some(Ok(value)) => {
                    found = Some(value);
                    break;
                }
                Some(Err(flaw)) => passed.push((name, flaw)),
            }
        }
        let value = found.unwrap_or(default);
        for (name, flaw) in passed {
            passed_over.add(name, flaw, signal, show(&value));
        }
        value
    }

    /// Warns of what was passed over.
    pub(super) fn warn_of(&mut self, passed_over: PassedOver) {
        for passed in passed_over.0 {
            self.warn(&passed.variable, passed.flaw, instead(&passed.used));
        }
    }
}

// === impl PassedOver ===

impl PassedOver {
    fn add(&mut self, variable: String, flaw: Flaw, signal: Signal, used: String) {
        match self.0.iter_mut().find(|old| old.variable == variable) {
            Some(old) => old.used.push((signal, used)),
            None => self.0.push(Passed {
                variable,
                flaw,
                used: vec![(signal, used)],
            }),
        }
    }
}

/// `using this`, or `using this for traces, that for logs`.
fn instead(used: &[(Signal, String)]) -> String {
    match used {
        [(_, first), rest @ ..] if rest.iter().all(|(_, other)| other == first) => {
            format!("using {first}")
        }
        _ => {
            let each = used.iter();
            let each: Vec<_> = each
                .map(|(signal, it)| format!("{it} for {signal}"))
                .collect();
            format!("using {}", each.join(", "))
        }
    }
}
