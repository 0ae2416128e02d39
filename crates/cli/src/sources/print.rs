//! All settings, as a file that says the same.

use std::{ffi::OsStr, fmt::Write};

use clap::{Arg, ArgAction, Command};
use toml::{Value, de::DeValue};

use super::{
    file::scalar,
    layer::{self, Layer},
};

/// A line for each setting, in alphabetical order. What has no value of its own is a comment.
pub(super) fn print(settings: &Command, layer: &Layer) -> String {
    let mut args: Vec<&Arg> = settings.get_arguments().collect();
    args.sort_by_key(|arg| arg.get_id().as_str());
    let mut text = String::new();
    for arg in args {
        let name = arg.get_id().as_str();
        let values: Vec<String> = layer::values(settings, layer, name).into_iter().map(literal).collect();
        let origin = layer.get(name).map_or_else(|| "default".to_owned(), |entry| entry.origin.to_string());
        let line = match &values[..] {
            [] => format!("# {name} = ({})  # {origin}", default_in_words(arg)),
            values if matches!(arg.get_action(), ArgAction::Append) => {
                format!("{name} = [{}]  # {origin}", values.join(", "))
            }
            values => format!("{name} = {}  # {origin}", values[0]),
        };
        writeln!(text, "{line}").expect("invariant: a string takes what is written");
    }
    text
}

/// Bare if it means the same without quotation marks.
fn literal(value: &OsStr) -> String {
    let text = value.to_string_lossy();
    match DeValue::parse(&text) {
        Ok(bare) if scalar(bare.get_ref()).as_deref() == Some(&text) => text.into_owned(),
        _ => Value::String(text.into_owned()).to_string(),
    }
}

/// A default that depends on something, as the help says it.
fn default_in_words(arg: &Arg) -> String {
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let words = help.split_once("[default: ").and_then(|(_, rest)| rest.split_once(']'));
    words.map_or("none", |(words, _)| words).to_owned()
}
