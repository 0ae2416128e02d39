use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::fs::chown;
use std::path::Path;

use nix::sys::stat::{Mode, umask};
use nix::unistd::{
    Gid, Group, Uid, User, getegid, geteuid, getgrouplist, getresgid, getresuid, setgroups, setresgid, setresuid,
};

/// Who the workers are, if they are to be somebody else than the arbiter: privileges that a worker gives up before it has
/// made anything, for good.
///
/// The arbiter stays who it is, so that it can go on binding addresses and shutting gates. The default changes nothing.
///
/// ```
/// use rserve_arbiter::{Identity, IdentityError};
///
/// let nobody = Identity::find(None, None, false)?;
/// assert_eq!(nobody, Identity::default());
/// let unknown = Identity::find(Some("no-such-user"), None, false);
/// assert!(matches!(unknown, Err(IdentityError::NoUser(_))));
/// # Ok::<(), IdentityError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    user: Option<u32>,
    group: Option<u32>,
    groups: Vec<u32>,
    /// The file mode creation mask (umask(2)); `None`: as it is, but 0 for Unix sockets, as gunicorn has it.
    pub umask: Option<u32>,
    /// Whether workers and what they start can never gain privileges, as by set-user-id programs (prctl(2),
    /// `PR_SET_NO_NEW_PRIVS`).
    pub no_new_privs: bool,
}

/// Why nobody can become that user. Each message is one line that names the way out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// A user that the machine does not know.
    #[error("no such user: '{0}'; give the name or the number of one that this machine knows")]
    NoUser(String),
    /// A group that the machine does not know.
    #[error("no such group: '{0}'; give the name or the number of one that this machine knows")]
    NoGroup(String),
    /// A number without an entry in the user database, from which the groups would come.
    #[error("user {0} is not in the user database, so that nobody knows its groups; {1}")]
    NoEntry(u32, &'static str),
    /// `initgroups` without a user.
    #[error("--initgroups needs --user: it is about that user's groups")]
    InitgroupsWithoutUser,
    /// This process may not become another.
    #[error(
        "user {own} has no right to become user {user} of group {group}; start the server as root, or as that user"
    )]
    Forbidden {
        /// Who this process is.
        own: u32,
        /// Who it was to become.
        user: u32,
        /// And the group.
        group: u32,
    },
    /// The database cannot be read.
    #[error("cannot look up '{name}': {source}")]
    LookUp {
        /// Who was looked up.
        name: String,
        /// The system's word.
        source: io::Error,
    },
}

impl Identity {
    /// Looks a user and a group up, each a name or a number, as gunicorn's `--user`, `--group` and `--initgroups` say.
    ///
    /// Without a group it is the user's own. The other groups are none, or with `initgroups` all those of the user. Whether
    /// this process may become it is another question: [`permitted`](Self::permitted).
    ///
    /// # Errors
    ///
    /// One that is not known.
    pub fn find(user: Option<&str>, group: Option<&str>, initgroups: bool) -> Result<Self, IdentityError> {
        let user = user.map(find_user).transpose()?;
        let group = group.map(find_group).transpose()?;
        let entry = user.as_ref().and_then(|(_, entry)| entry.as_ref());
        let (uid, gid) = match (&user, group) {
            (None, None) if initgroups => return Err(IdentityError::InitgroupsWithoutUser),
            (None, None) => return Ok(Self::default()),
            (None, Some(gid)) => (geteuid(), gid),
            (Some((uid, _)), Some(gid)) => (*uid, gid),
            (Some((uid, None)), None) => return Err(IdentityError::NoEntry(uid.as_raw(), "say which with --group")),
            (Some((uid, Some(entry))), None) => (*uid, entry.gid),
        };
        let groups = match (initgroups, &user, entry) {
            (false, ..) => vec![gid],
            (true, None, _) => return Err(IdentityError::InitgroupsWithoutUser),
            (true, Some((uid, _)), None) => {
                return Err(IdentityError::NoEntry(uid.as_raw(), "leave --initgroups out"));
            }
            (true, _, Some(entry)) => groups_of(entry, gid)?,
        };
        let groups = groups.into_iter().map(Gid::as_raw).collect();
        Ok(Self { user: Some(uid.as_raw()), group: Some(gid.as_raw()), groups, ..Self::default() })
    }

    /// This, if this process has the right to become it (`CAP_SETUID` and `CAP_SETGID`). To become who it is already takes none.
    ///
    /// # Errors
    ///
    /// [`IdentityError::Forbidden`].
    pub fn permitted(mut self) -> Result<Self, IdentityError> {
        let (Some(user), Some(group)) = (self.user, self.group) else { return Ok(self) };
        let own = geteuid().as_raw();
        if !may_change() {
            if (user, group) != (own, getegid().as_raw()) {
                return Err(IdentityError::Forbidden { own, user, group });
            }
            (self.user, self.group) = (None, None);
        }
        Ok(self)
    }

    /// Gives a file that the arbiter has made to the workers' user and group; does nothing if they are the arbiter's.
    ///
    /// # Errors
    ///
    /// Those of chown(2).
    pub fn own(&self, file: &Path) -> io::Result<()> {
        if self.user.is_none() { Ok(()) } else { chown(file, self.user, self.group) }
    }

    /// Runs `make`, which makes a Unix socket, under the mask for it.
    pub(crate) fn masked<T>(&self, make: impl FnOnce() -> T) -> T {
        let before = umask(mode(self.umask.unwrap_or(0)));
        let made = make();
        umask(before);
        made
    }

    /// Becomes it, and makes sure that there is no way back.
    pub(crate) fn assume(&self) -> io::Result<()> {
        if let Some(mask) = self.umask {
            umask(mode(mask));
        }
        if let (Some(user), Some(group)) = (self.user, self.group) {
            let (uid, gid) = (Uid::from_raw(user), Gid::from_raw(group));
            // The groups first: without privileges they cannot be changed any more.
            setgroups(&self.groups.iter().copied().map(Gid::from_raw).collect::<Vec<_>>())?;
            setresgid(gid, gid, gid)?;
            setresuid(uid, uid, uid)?;
            verify(uid, gid)?;
        }
        if self.no_new_privs {
            nix::sys::prctl::set_no_new_privs()?;
        }
        Ok(())
    }
}

fn verify(uid: Uid, gid: Gid) -> io::Result<()> {
    let (users, groups) = (getresuid()?, getresgid()?);
    let became = [users.real, users.effective, users.saved].iter().all(|is| *is == uid)
        && [groups.real, groups.effective, groups.saved].iter().all(|is| *is == gid);
    let root = Uid::from_raw(0);
    // Capabilities that survive (capabilities(7), SECBIT_NO_SETUID_FIXUP) would show here.
    if !became || !uid.is_root() && setresuid(root, root, root).is_ok() {
        return Err(io::Error::other("privileges could not be given up for good"));
    }
    Ok(())
}

fn mode(mask: u32) -> Mode {
    Mode::from_bits_truncate(mask as _)
}

fn find_user(text: &str) -> Result<(Uid, Option<User>), IdentityError> {
    let failed = |error: nix::Error| IdentityError::LookUp { name: text.to_owned(), source: error.into() };
    if let Ok(number) = text.parse() {
        let uid = Uid::from_raw(number);
        return Ok((uid, User::from_uid(uid).map_err(failed)?));
    }
    let user = User::from_name(text).map_err(failed)?.ok_or_else(|| IdentityError::NoUser(text.to_owned()))?;
    Ok((user.uid, Some(user)))
}

fn find_group(text: &str) -> Result<Gid, IdentityError> {
    if let Ok(number) = text.parse() {
        return Ok(Gid::from_raw(number));
    }
    let failed = |error: nix::Error| IdentityError::LookUp { name: text.to_owned(), source: error.into() };
    let group = Group::from_name(text).map_err(failed)?;
    group.map(|group| group.gid).ok_or_else(|| IdentityError::NoGroup(text.to_owned()))
}

fn groups_of(user: &User, gid: Gid) -> Result<Vec<Gid>, IdentityError> {
    let failed = |source: io::Error| IdentityError::LookUp { name: user.name.clone(), source };
    let name = CString::new(user.name.as_str()).map_err(|error| failed(error.into()))?;
    getgrouplist(&name, gid).map_err(|error| failed(error.into()))
}

/// Whether this process may become whom it likes.
fn may_change() -> bool {
    const NEEDED: u64 = 1 << 6 | 1 << 7; // CAP_SETGID and CAP_SETUID, capabilities(7)
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    match effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()) {
        Some(capabilities) => capabilities & NEEDED == NEEDED,
        None => geteuid().is_root(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_not_known_is_named() {
        let wrong = |user, group, initgroups| Identity::find(user, group, initgroups).unwrap_err().to_string();
        assert!(wrong(Some("no-such"), None, false).starts_with("no such user: 'no-such'; "));
        assert!(wrong(None, Some("no-such"), false).starts_with("no such group: 'no-such'; "));
        assert!(wrong(Some("4123456"), None, false).starts_with("user 4123456 is not in the user database"));
        assert!(wrong(Some("4123456"), Some("1"), true).ends_with("leave --initgroups out"));
        assert!(wrong(None, None, true).starts_with("--initgroups needs --user"));
    }

    #[test]
    fn without_a_group_it_is_the_users_own_and_no_other() {
        let root = Identity::find(Some("root"), None, false).unwrap();
        assert_eq!(root, Identity { user: Some(0), group: Some(0), groups: vec![0], ..Identity::default() });
        assert_eq!(Identity::find(Some("0"), Some("7"), false).unwrap().groups, [7]);
        assert!(Identity::find(Some("root"), None, true).unwrap().groups.contains(&0));
    }
}
