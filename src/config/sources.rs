//! Resolves a setting's value: flag, file, variable or default. Problems are collected, and the default
//! replaces an invalid value, so that one pass finds all problems.

use std::ffi::OsString;
use std::fmt;

use super::command_line::CommandLine;
use super::env_file::EnvFile;
use super::settings::{RETIRED, SETTINGS, Setting, flag_of};
use super::value::Value;

/// Flags, environment file and environment, with the problems found so far.
pub(super) struct Sources<'a> {
    line: &'a CommandLine,
    file: &'a EnvFile,
    env: &'a dyn Fn(&str) -> Option<OsString>,
    /// One line for each problem.
    problems: Vec<String>,
    /// Variables of the settings with an invalid value. Their relations to other settings are not checked.
    invalid: Vec<&'static str>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    Flag,
    File,
    Variable,
    Default,
}

/// A setting's value as given; `Display` writes its origin and masks secrets.
struct Given<'a> {
    setting: &'static Setting,
    origin: Origin,
    text: String,
    file: &'a EnvFile,
}

impl fmt::Display for Given<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (variable, text) = (self.setting.variable, self.setting.secrecy.redacted_unvalidated(&self.text));
        match self.origin {
            Origin::File => write!(out, "{}: {variable}={text}", self.file.position(variable)),
            Origin::Flag if text.is_empty() => write!(out, "--{} ''", self.setting.flag()),
            Origin::Flag => write!(out, "--{} {text}", self.setting.flag()),
            Origin::Variable => write!(out, "{variable}={text}"),
            Origin::Default => write!(out, "{variable}={text} (the default)"),
        }
    }
}

impl<'a> Sources<'a> {
    pub fn new(line: &'a CommandLine, file: &'a EnvFile, env: &'a dyn Fn(&str) -> Option<OsString>) -> Self {
        Self { line, file, env, problems: line.problems.clone(), invalid: Vec::new() }
    }

    /// Returns every problem found, one per line; empty if all values are valid.
    pub fn into_problems(self) -> Vec<String> {
        self.problems
    }

    /// Returns one line per variable or flag of earlier servers that is set.
    pub fn notices(&self) -> Vec<String> {
        let set = RETIRED.iter().filter_map(|retired| {
            let variable = retired.variable;
            // The value is not validated, so it is not printed.
            let place = match self.lookup(variable)?.0 {
                Origin::File => format!("{}: {variable}", self.file.position(variable)),
                Origin::Flag => format!("--{}", flag_of(variable)),
                Origin::Variable | Origin::Default => variable.to_owned(),
            };
            Some(format!("{place} has no effect: {}", retired.instead))
        });
        set.collect()
    }

    /// Reports a violated relation between two settings, unless one of them is already invalid.
    pub fn require(&mut self, holds: bool, left: &'static str, relation: &str, right: &'static str) {
        if holds || self.invalid.contains(&left) || self.invalid.contains(&right) {
            return;
        }
        let (left, right) = (self.given(setting(left)), self.given(setting(right)));
        self.problems.push(format!("{left}: must be {relation} {right}"));
    }

    /// Returns whether a setting that was read has a valid value.
    pub fn is_valid(&self, variable: &str) -> bool {
        !self.invalid.contains(&variable)
    }

    /// Reads a setting. Its problem is recorded, and its default is returned instead.
    pub fn read<T: Value>(&mut self, variable: &str) -> T {
        let setting = setting(variable);
        let given = self.given(setting);
        let is_exposed = given.origin == Origin::Flag && setting.secrecy.is_present_in(&given.text);
        let value = if is_exposed { None } else { T::parse(setting.allowed, &given.text) };
        value.unwrap_or_else(|| {
            let problem = if is_exposed {
                format!(
                    "--{}: refused, since every user of this machine can read flags: set this secret as {variable} in the \
                     environment or in the file of --env-file",
                    setting.flag()
                )
            } else {
                format!("{given}: expected {}", setting.allowed)
            };
            self.report(setting, problem);
            T::parse(setting.allowed, setting.default).expect("defaults are valid: a test parses them all")
        })
    }

    fn report(&mut self, setting: &Setting, problem: String) {
        self.invalid.push(setting.variable);
        self.problems.push(problem);
    }

    fn given(&mut self, setting: &'static Setting) -> Given<'a> {
        let given = |origin, text| Given { setting, origin, text, file: self.file };
        let default = given(Origin::Default, setting.default.to_owned());
        match self.lookup(setting.variable).map(|(origin, text)| (origin, text.into_string())) {
            Some((origin, Ok(text))) => given(origin, text),
            Some((_, Err(text))) => {
                let shown = setting.secrecy.redacted_unvalidated(&text.to_string_lossy()).into_owned();
                self.report(setting, format!("{}={shown}: not valid UTF-8", setting.variable));
                default
            }
            None => default,
        }
    }

    /// Looks up a trimmed value: a flag wins over the file, the file over the environment. An empty one is unset,
    /// except in a flag.
    fn lookup(&self, variable: &str) -> Option<(Origin, OsString)> {
        if let Some(text) = self.line.values.get(&flag_of(variable)) {
            return Some((Origin::Flag, text.trim().into()));
        }
        if let Some(text) = self.file.value(variable).map(str::trim).filter(|text| !text.is_empty()) {
            return Some((Origin::File, text.into()));
        }
        let text = (self.env)(variable)?;
        let text = text.to_str().map_or_else(|| text.clone(), |text| text.trim().into());
        (!text.is_empty()).then_some((Origin::Variable, text))
    }
}

fn setting(variable: &str) -> &'static Setting {
    SETTINGS.iter().find(|setting| setting.variable == variable).expect("only settings of the table are read")
}
