use std::path::PathBuf;

use clap::Args;

// What is asked of one run of the program: a settings file cannot say it. (Not a doc comment, which clap would show.)
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Asked {
    /// Read settings from this TOML file [default: ./rserve.toml, if it is there]
    #[arg(short, long, value_name = "PATH")]
    pub(crate) config: Option<PathBuf>,

    /// Check the settings, load the app, say so and exit
    #[arg(long)]
    pub(crate) check_config: bool,

    /// Print every setting and where it comes from, as a settings file, and go on as --check-config
    #[arg(long)]
    pub(crate) print_config: bool,
}

impl Asked {
    /// Whether the program ends before it serves.
    pub(crate) const fn only_check(&self) -> bool {
        self.check_config || self.print_config
    }

    /// What is asked for here or there; of two files the one that is named here.
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            config: self.config.or(other.config),
            check_config: self.check_config || other.check_config,
            print_config: self.print_config || other.print_config,
        }
    }
}
