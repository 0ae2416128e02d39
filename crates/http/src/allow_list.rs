use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

/// Who is believed: IP addresses and networks, as `--proxy-allow-from` and `--forwarded-allow-ips` list them.
///
/// Written with commas between addresses (`192.0.2.7`), networks (`10.0.0.0/8`) and `*`. Nothing at all is a list too:
/// that of nobody.
///
/// ```
/// use rserve_http::AllowList;
///
/// let list: AllowList = "127.0.0.1, 10.0.0.0/8, fd00::/8".parse()?;
/// assert!(list.allows(Some("10.1.2.3".parse().unwrap())));
/// assert!(!list.allows(Some("192.0.2.7".parse().unwrap())));
/// # Ok::<(), rserve_http::AllowListError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowList {
    everybody: bool,
    networks: Vec<IpNet>,
}

/// What is wrong with a list. The message names the entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AllowListError {
    /// An entry is none of the three.
    #[error("'{0}' is not an IP address, a network like 10.0.0.0/8, or *")]
    Entry(String),
    /// A network has bits beyond its prefix: an address was meant, or another prefix.
    #[error("'{typed}' has bits beyond its prefix: write {network} for the network")]
    HostBits {
        /// The entry.
        typed: String,
        /// The network it lies in.
        network: IpNet,
    },
}

impl AllowList {
    /// Whether a peer with this address is on the list, or `*` is. A peer on a Unix socket, which has none, always
    /// passes: the rights of the socket's file have let it in.
    pub fn allows(&self, peer: Option<IpAddr>) -> bool {
        self.everybody || peer.is_none_or(|ip| self.names(ip))
    }

    /// Whether an entry other than `*` has this address: `*` says something about who connects to us, and nothing about
    /// who connects to others.
    pub fn names(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.networks.iter().any(|network| network.contains(&ip))
    }
}

impl Default for AllowList {
    /// This machine: `127.0.0.1` and `::1`.
    fn default() -> Self {
        let loopback = [IpAddr::from([127, 0, 0, 1]), IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])];
        Self { everybody: false, networks: loopback.map(IpNet::from).to_vec() }
    }
}

impl FromStr for AllowList {
    type Err = AllowListError;

    fn from_str(text: &str) -> Result<Self, AllowListError> {
        let mut list = Self { everybody: false, networks: Vec::new() };
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            match entry {
                "*" => list.everybody = true,
                _ => list.networks.push(network(entry)?),
            }
        }
        Ok(list)
    }
}

fn network(entry: &str) -> Result<IpNet, AllowListError> {
    if let Ok(ip) = entry.parse::<IpAddr>() {
        return Ok(ip.to_canonical().into());
    }
    let network: IpNet = entry.parse().map_err(|_| AllowListError::Entry(entry.to_owned()))?;
    if network != network.trunc() {
        return Err(AllowListError::HostBits { typed: entry.to_owned(), network: network.trunc() });
    }
    Ok(network)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_networks_of_both_families() {
        let everybody = ["127.0.0.1", "10.9.8.7", "192.0.2.7", "::1", "fd00::7", "2001:db8::7", "::ffff:10.9.8.7"];
        for (list, allowed) in [
            ("", &[][..]),
            (" , ,", &[]),
            ("127.0.0.1,::1", &["127.0.0.1", "::1"]),
            ("10.0.0.0/8", &["10.9.8.7", "::ffff:10.9.8.7"]),
            (" 10.9.8.6/31 ,fd00::/8", &["10.9.8.7", "fd00::7", "::ffff:10.9.8.7"]),
            ("::ffff:192.0.2.7", &["192.0.2.7"]),
            ("0.0.0.0/0", &["127.0.0.1", "10.9.8.7", "192.0.2.7", "::ffff:10.9.8.7"]),
            ("::/0", &["::1", "fd00::7", "2001:db8::7"]),
            ("10.9.8.7/32,2001:db8::7/128", &["10.9.8.7", "2001:db8::7", "::ffff:10.9.8.7"]),
            ("*", &everybody),
            ("192.0.2.7,*", &everybody),
        ] {
            let list: AllowList = list.parse().unwrap();
            for ip in everybody {
                assert_eq!(list.allows(Some(ip.parse().unwrap())), allowed.contains(&ip), "{ip} {list:?}");
            }
            assert!(list.allows(None), "a Unix socket");
        }
    }

    #[test]
    fn everybody_who_connects_is_not_everybody_who_is_mentioned() {
        let list: AllowList = "*,10.0.0.0/8".parse().unwrap();
        assert!(list.names([10, 0, 0, 1].into()) && !list.names([127, 0, 0, 1].into()));
    }

    #[test]
    fn the_default_is_this_machine() {
        assert_eq!(AllowList::default(), "127.0.0.1,::1".parse().unwrap());
    }

    #[test]
    fn an_entry_that_is_neither_is_named() {
        for wrong in
            ["localhost", "10.0.0.0/33", "10.0.0/8", "::/129", "1.2.3.4:80", "**", "10.0.0.0-10.0.0.9", "010.0.0.1"]
        {
            let error = format!("127.0.0.1,{wrong}").parse::<AllowList>().unwrap_err();
            assert_eq!(error.to_string(), format!("'{wrong}' is not an IP address, a network like 10.0.0.0/8, or *"));
        }
        let error = "192.168.1.1/24".parse::<AllowList>().unwrap_err().to_string();
        assert_eq!(error, "'192.168.1.1/24' has bits beyond its prefix: write 192.168.1.0/24 for the network");
    }
}
