//! Who the workers are, and what the processes are called.

use clap::Args;
use rserve_arbiter::{Identity, IdentityError};

use super::values;

const IDENTITY: &str = "Identity";

#[derive(Args, Clone, Debug, Default, PartialEq)]
pub(crate) struct IdentityFlags {
    /// User, by name or number, that the workers become before they load the app
    #[arg(short, long, value_name = "USER", help_heading = IDENTITY)]
    pub(crate) user: Option<String>,

    /// Group, by name or number, that the workers become [default: the user's own]
    #[arg(short, long, value_name = "GROUP", help_heading = IDENTITY)]
    pub(crate) group: Option<String>,

    /// Keep the workers in all groups that the user is in, instead of --group alone
    #[arg(long, help_heading = IDENTITY)]
    pub(crate) initgroups: bool,

    /// Permissions that new files do not get, octal with a leading 0 [default: as it is; 0 for Unix sockets]
    #[arg(short = 'm', long, value_name = "MASK", help_heading = IDENTITY, value_parser = values::mask)]
    pub(crate) umask: Option<u32>,

    /// Workers and what they start never gain privileges, as by set-user-id programs
    #[arg(long, help_heading = IDENTITY)]
    pub(crate) no_new_privs: bool,

    /// What ps shows the server as [default: the app's name]
    #[arg(short, long, value_name = "NAME", help_heading = IDENTITY)]
    pub(crate) name: Option<String>,
}

impl IdentityFlags {
    /// Looks up who that is.
    pub(crate) fn find(&self) -> Result<Identity, IdentityError> {
        let mut found = Identity::find(self.user.as_deref(), self.group.as_deref(), self.initgroups)?;
        (found.umask, found.no_new_privs) = (self.umask, self.no_new_privs);
        Ok(found)
    }
}
