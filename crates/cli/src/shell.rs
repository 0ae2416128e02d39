//! `rserve shell`: completions for shells, and the man pages, from the definition of the command line. A subcommand, so that
//! who packages a program with apps and worker classes of its own gets what that program has.

use std::{ffi::OsString, io};

use clap::{Args, Command, CommandFactory, Parser, ValueEnum, builder::PossibleValuesParser};
use clap_complete::{Shell, generate};
use clap_mangen::Man;
use rserve_arbiter::Exit;

use crate::{
    drain_check,
    flags::Asked,
    terminal::{complain, show},
    usage::answer,
};

/// The word that asks for it. No app can be called so.
pub(crate) const NAME: &str = "shell";

/// Prints completions for a shell, or a man page.
#[derive(Debug, Parser)]
#[command(name = "rserve shell", override_usage = "rserve shell WHAT", max_term_width = 110)]
#[command(after_help = "For all users, as a package does it, with a PREFIX such as /usr:\n\n  \
    rserve shell bash > PREFIX/share/bash-completion/completions/rserve\n  \
    rserve shell zsh  > PREFIX/share/zsh/site-functions/_rserve\n  \
    rserve shell fish > PREFIX/share/fish/vendor_completions.d/rserve.fish\n  \
    rserve shell man  > PREFIX/share/man/man1/rserve.1\n  \
    rserve shell man-drain-check > PREFIX/share/man/man1/rserve-drain-check.1")]
pub(crate) struct Flags {
    /// What to print
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    Bash,
    Zsh,
    Fish,
    Man,
    ManDrainCheck,
}

/// Runs it; `words` begin with [`NAME`]. `settings` are the server's, and `classes` the names of its worker classes.
pub(crate) fn run(words: &[OsString], settings: Command, classes: Vec<&'static str>) -> Exit {
    let what = match Flags::try_parse_from(words) {
        Ok(flags) => flags.what,
        Err(error) => return answer(&error).give(),
    };
    let mut command = command(settings, classes);
    let mut text = Vec::new();
    let written = match what {
        What::Bash => completions(Shell::Bash, &mut command, &mut text),
        What::Zsh => completions(Shell::Zsh, &mut command, &mut text),
        What::Fish => completions(Shell::Fish, &mut command, &mut text),
        What::Man => Man::new(command).section("1").render(&mut text),
        What::ManDrainCheck => Man::new(drain_check::Flags::command().name("rserve-drain-check")).render(&mut text),
    };
    match written {
        Ok(()) => {
            show(String::from_utf8_lossy(&text));
            Exit::Ok
        }
        Err(error) => {
            complain(error);
            Exit::Failed
        }
    }
}

/// All that can be typed.
fn command(settings: Command, classes: Vec<&'static str>) -> Command {
    Asked::augment_args(settings)
        .mut_arg("worker_class", |arg| arg.value_parser(PossibleValuesParser::new(classes)))
        .subcommand(drain_check::Flags::command().name(drain_check::NAME))
        .subcommand(Flags::command().name(NAME))
        .disable_help_subcommand(true)
}

fn completions(shell: Shell, command: &mut Command, text: &mut Vec<u8>) -> io::Result<()> {
    generate(shell, command, "rserve", text);
    Ok(())
}
