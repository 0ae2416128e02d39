//! The settings file.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use clap::{
    Arg, ArgAction, Command,
    error::{ContextKind, ContextValue},
};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::layer::{self, Entry, Layer, Origin};
use crate::{Error, error::plain};

/// gunicorn's names for what has no name on the command line.
const OTHER_NAMES: [(&str, &str); 2] = [("proc_name", "name"), ("wsgi_app", "app")];

/// Reads the file, and checks each setting in it by itself.
pub(super) fn read(path: &Path, settings: &Command) -> Result<Layer, Error> {
    let text = fs::read_to_string(path).map_err(|error| {
        Error::Usage(format!("cannot read the settings file {}: {}", path.display(), plain(&error)))
    })?;
    File { path: path.to_owned(), text: &text, settings }.parse()
}

struct File<'a> {
    path: PathBuf,
    text: &'a str,
    settings: &'a Command,
}

impl File<'_> {
    fn parse(&self) -> Result<Layer, Error> {
        let table = DeTable::parse(self.text).map_err(|error| {
            let python = self.path.extension().is_some_and(|extension| extension == "py");
            let hint =
                if python { "\nhint: a settings file is TOML; gunicorn's Python files are not read" } else { "" };
            let what = error.message().replace('\n', ", ");
            self.wrong(error.span().map_or(0, |span| span.start), format!("not TOML: {what}{hint}"))
        })?;
        // The table is sorted by key, and of two mistakes the first in the file is to be named.
        let mut entries: Vec<_> = table.get_ref().iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let mut layer = Layer::new();
        for (key, value) in entries {
            let start = key.span().start;
            if value.get_ref().is_table() {
                return Err(self.wrong(start, format!("'{}' is a table: settings stand in none", key.get_ref())));
            }
            let setting = self.find(key.get_ref()).map_err(|what| self.wrong(start, what))?;
            let name = setting.get_id().to_string();
            let values = self.values(setting, key.get_ref(), value)?;
            let origin = Origin::File { path: self.path.clone(), line: self.line(start) };
            if let Some(Entry { origin: Origin::File { line, .. }, .. }) = layer.insert(name, Entry { values, origin })
            {
                return Err(
                    self.wrong(start, format!("'{key}' is what line {line} sets by another name", key = key.get_ref()))
                );
            }
        }
        Ok(layer)
    }

    fn find(&self, key: &str) -> Result<&Arg, String> {
        let name = OTHER_NAMES.iter().find_map(|&(other, name)| (other == key).then_some(name)).unwrap_or(key);
        let known = |name: &str| self.settings.get_arguments().find(|arg| arg.get_id() == name);
        known(name).ok_or_else(|| {
            // One spelling, so that a setting can be searched for.
            let snake = name.replace('-', "_");
            let near = known(&snake).map(|arg| arg.get_id().to_string()).or_else(|| near(self.settings, name));
            match near {
                Some(near) => format!("no setting '{key}'\nhint: did you mean '{near}'?"),
                None => format!("no setting '{key}'\nhint: --help lists what there is; in a file, '-' is '_'"),
            }
        })
    }

    fn values(&self, setting: &Arg, key: &str, value: &Spanned<DeValue<'_>>) -> Result<Vec<OsString>, Error> {
        let scalar = |value: &Spanned<DeValue<'_>>| match scalar(value.get_ref()) {
            Some(text) => Ok((value.span().start, text)),
            None => Err(self.wrong(
                value.span().start,
                format!(
                    "'{key}' is {}: a setting is a string, a number, true, false, or a list of them",
                    kind(value.get_ref())
                ),
            )),
        };
        let values = match value.get_ref() {
            DeValue::Array(list) => list.iter().map(scalar).collect::<Result<Vec<_>, _>>()?,
            _ => vec![scalar(value)?],
        };
        let values = if matches!(setting.get_action(), ArgAction::Append) {
            values
        } else {
            // As on the command line, a list has commas in it.
            let texts: Vec<&str> = values.iter().map(|(_, text)| text.as_str()).collect();
            vec![(value.span().start, texts.join(","))]
        };
        if values.is_empty() {
            return Err(self.wrong(value.span().start, format!("'{key}' is an empty list: leave it out")));
        }
        values
            .into_iter()
            .map(|(start, text)| {
                let text = OsString::from(text);
                layer::check(self.settings, setting.get_id().as_str(), &text, key)
                    .map_err(|what| self.wrong(start, what))?;
                Ok(text)
            })
            .collect()
    }

    fn wrong(&self, offset: usize, what: String) -> Error {
        Error::Usage(format!("{}:{}: {what}", self.path.display(), self.line(offset)))
    }

    fn line(&self, offset: usize) -> usize {
        1 + self.text.as_bytes().iter().take(offset).filter(|&&byte| byte == b'\n').count()
    }
}

/// A value as it would be typed.
pub(super) fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => {
            let decimal = i64::from_str_radix(number.as_str(), number.radix()).map(|number| number.to_string());
            // One that is too large for us is too large for every setting, whose reader will say so.
            Some(decimal.unwrap_or_else(|_| number.to_string()))
        }
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        DeValue::Boolean(truth) => Some(truth.to_string()),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list in a list",
        DeValue::Table(_) => "a table in a list",
        DeValue::String(_) | DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) => "a single value",
    }
}

/// The setting whose name is nearest, in clap's opinion.
fn near(settings: &Command, key: &str) -> Option<String> {
    let flag = format!("--{}", key.replace('_', "-"));
    let error = settings.clone().try_get_matches_from(["rserve", &flag]).err()?;
    match error.get(ContextKind::SuggestedArg)? {
        ContextValue::String(flag) => Some(flag.strip_prefix("--")?.replace('-', "_")),
        _ => None,
    }
}
