use std::{collections::BTreeMap, ffi::OsString};

use super::{
    ConfigError, Signal,
    value::{InvalidValue, parse_keyword},
};

/// The variables of a setting that each signal has: that of this crate, and the standard ones. The `*` of
/// these stands for the signal and `_`, or for nothing.
pub(super) type Setting = [&'static str; 2];

/// The environment variables, and the warnings about those that were read so far.
pub(super) struct Environment {
    pub(super) variables: BTreeMap<String, OsString>,
    pub(super) warnings: Vec<ConfigError>,
}

// === impl Environment ===

impl Environment {
    /// Returns the trimmed value; `None` if it is unset or blank.
    pub(super) fn get(&self, name: &str) -> Option<Result<&str, InvalidValue>> {
        match self.variables.get(name)?.to_str().map(str::trim) {
            Some("") => None,
            Some(value) => Some(Ok(value)),
            None => Some(Err("invalid UTF-8".into())),
        }
    }

    /// Returns the first variable of a setting that is set, valid or not, and its value.
    pub(super) fn first(
        &self,
        setting: Setting,
        signal: Signal,
    ) -> Option<(String, Result<&str, InvalidValue>)> {
        let mut variables = variables(setting, signal).into_iter();
        variables.find_map(|name| self.get(&name).map(|value| (name, value)))
    }

    /// Reads a variable. Warns about an invalid value and treats it as unset.
    pub(super) fn read<T>(
        &mut self,
        name: &str,
        parse: fn(&str) -> Result<T, InvalidValue>,
    ) -> Option<T> {
        match self.get(name)?.and_then(parse) {
            Ok(value) => Some(value),
            Err(invalid) => {
                self.warn(name, invalid, "the variable is ignored");
                None
            }
        }
    }

    /// Reads the first valid one of these variables. Warns about invalid ones before it.
    pub(super) fn read_any<T>(
        &mut self,
        names: &[impl AsRef<str>],
        parse: fn(&str) -> Result<T, InvalidValue>,
    ) -> Option<T> {
        names
            .iter()
            .find_map(|name| self.read(name.as_ref(), parse))
    }

    /// Sets a value to that of a variable, if the variable is set and valid.
    pub(super) fn set<T>(
        &mut self,
        value: &mut T,
        name: &str,
        parse: fn(&str) -> Result<T, InvalidValue>,
    ) {
        if let Some(found) = self.read(name, parse) {
            *value = found;
        }
    }

    /// Reads the first valid variable of a setting, and returns its name and its value. Warns about invalid
    /// ones before it.
    pub(super) fn read_first<T>(
        &mut self,
        setting: Setting,
        signal: Signal,
        parse: fn(&str) -> Result<T, InvalidValue>,
    ) -> Option<(String, T)> {
        let mut variables = variables(setting, signal).into_iter();
        variables.find_map(|name| self.read(&name, parse).map(|value| (name, value)))
    }

    /// Reads a list of case-insensitive keywords. Warns about invalid items and leaves them out.
    pub(super) fn read_list<T: Copy>(&mut self, name: &str, keywords: &[(&str, T)]) -> Vec<T> {
        let text = self.read(name, |text| Ok(text.to_owned()));
        let mut values = Vec::new();
        for (position, item) in (1..).zip(text.iter().flat_map(|text| text.split(','))) {
            match parse_keyword(&format!("item {position}"), keywords, item.trim()) {
                Ok(value) => values.push(value),
                Err(_) if item.trim().is_empty() => {}
                Err(invalid) => self.warn(name, invalid, "invalid items are ignored"),
            }
        }
        values
    }

    /// Adds a warning, unless there is one about this variable: several signals may read it.
    pub(super) fn warn(&mut self, variable: &str, reason: InvalidValue, effect: &'static str) {
        let is_known = |warning: &ConfigError| warning.setting == variable;
        if !self.warnings.iter().any(is_known) {
            self.warnings.push(ConfigError {
                setting: variable.to_owned().into(),
                reason,
                effect: Some(effect),
            });
        }
    }
}

/// Returns the variables of a setting in their order of precedence: that of this crate, the standard one of
/// the signal, the standard one of all signals.
pub(super) fn variables([crate_variable, standard]: Setting, signal: Signal) -> [String; 3] {
    let signal = signal.as_str().to_ascii_uppercase() + "_";
    [
        crate_variable.to_owned(),
        standard.replace('*', &signal),
        standard.replace('*', ""),
    ]
}
