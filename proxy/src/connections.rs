//! How many connections are open: so many together, and so many from one address.
//!
//! A connection costs memory and a file handle before anybody has said who they are, so it is counted as it comes in.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::auth::network;
use crate::limits::share_of_one;

/// How often connections that are turned away are told of in the log.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Counts the connections that are open.
#[derive(Debug)]
pub struct Connections {
    max: usize,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    open: usize,
    /// By address; none is nought.
    by_network: HashMap<IpAddr, usize>,
    refused: u64,
    told: Option<Instant>,
}

/// A connection that was let in; no longer counted when dropped.
#[derive(Debug)]
pub struct Connection {
    connections: Arc<Connections>,
    network: IpAddr,
}

/// Why a connection was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Crowded {
    /// There are as many as there may be.
    #[error("as many connections are open as `limits.connections` allows ({max})")]
    All {
        /// The limit.
        max: usize,
    },
    /// One address has as many as one may have.
    #[error(
        "as many connections are open from this address as one may have ({max}, a quarter of `limits.connections`)"
    )]
    OneAddress {
        /// The limit.
        max: usize,
    },
}

impl Connections {
    /// None is open, and at most so many may be.
    pub fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            max,
            book: Mutex::default(),
        })
    }

    /// Lets one in. An address is an IPv4 address or an IPv6 /64.
    ///
    /// # Errors
    /// When there are too many, altogether or from this address.
    pub fn admit(self: &Arc<Self>, address: IpAddr) -> Result<Connection, Crowded> {
        let network = network(address);
        let of_one = self.of_one();
        let book = &mut *self.book.lock();
        let theirs = book.by_network.get(&network).copied().unwrap_or(0);
        let crowded = if book.open >= self.max {
            Some(Crowded::All { max: self.max })
        } else if theirs >= of_one {
            Some(Crowded::OneAddress { max: of_one })
        } else {
            None
        };
        if let Some(crowded) = crowded {
            book.refused += 1;
            return Err(crowded);
        }
        book.open += 1;
        book.by_network.insert(network, theirs + 1);
        Ok(Connection {
            connections: Arc::clone(self),
            network,
        })
    }

    /// Tells the operator of one that was turned away, unless that was told a moment ago: whoever connects again and again
    /// fills no log.
    pub(crate) fn tell(&self, address: IpAddr, crowded: Crowded) {
        {
            let told = &mut self.book.lock().told;
            if told.is_some_and(|told| told.elapsed() < TELL_EVERY) {
                return;
            }
            *told = Some(Instant::now());
        }
        tracing::warn!(target: "landfast::serve", peer = %address, reason = %crowded, "a connection was turned away");
    }

    /// Connections that are open now.
    pub fn open(&self) -> usize {
        self.book.lock().open
    }

    /// Connections that were turned away since the start.
    pub fn refused(&self) -> u64 {
        self.book.lock().refused
    }

    /// Lets this process have as many files open as the system allows it to ask for, and warns the operator where that is
    /// fewer than there may be connections.
    #[cfg(unix)]
    pub(crate) fn raise_open_files(&self) {
        match rlimit::increase_nofile_limit(u64::MAX) {
            Ok(allowed) if allowed < self.max as u64 => tracing::warn!(
                target: "landfast::serve",
                allowed,
                connections = self.max,
                "the system allows this process fewer open files than `limits.connections`: raise it (systemd: LimitNOFILE), or lower the key"
            ),
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(target: "landfast::serve", %error, "the number of open files could not be raised");
            }
        }
    }

    #[cfg(not(unix))]
    pub(crate) fn raise_open_files(&self) {}

    fn of_one(&self) -> usize {
        share_of_one(self.max)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let book = &mut *self.connections.book.lock();
        book.open -= 1;
        if let Some(theirs) = book.by_network.get_mut(&self.network) {
            *theirs -= 1;
            if *theirs == 0 {
                book.by_network.remove(&self.network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(connections: &Arc<Connections>, address: &str) -> Result<Connection, Crowded> {
        connections.admit(address.parse().unwrap())
    }

    #[test]
    fn an_address_has_a_quarter_of_the_connections_and_all_have_no_more_than_there_may_be() {
        let connections = Connections::new(6);
        let two_each = ["10.0.0.1", "10.0.0.2", "10.0.0.3"].map(|address| {
            let own = [
                from(&connections, address).unwrap(),
                from(&connections, address).unwrap(),
            ];
            if connections.open() < 6 {
                assert_eq!(
                    from(&connections, address).unwrap_err(),
                    Crowded::OneAddress { max: 2 }
                );
            }
            own
        });
        let refused = from(&connections, "10.0.0.4").unwrap_err();
        assert_eq!(refused, Crowded::All { max: 6 });
        assert_eq!((connections.open(), connections.refused()), (6, 3));
        drop(two_each);
        assert_eq!(connections.open(), 0);
        assert!(connections.book.lock().by_network.is_empty());
        from(&connections, "10.0.0.1").unwrap();
    }

    #[test]
    fn whoever_has_one_ipv6_address_is_one_with_the_network_around_it() {
        let connections = Connections::new(4);
        let _open = from(&connections, "2001:db8::1").unwrap();
        let beside = from(&connections, "2001:db8::2").unwrap_err();
        assert_eq!(beside, Crowded::OneAddress { max: 1 });
        let _elsewhere = from(&connections, "2001:db8:0:1::1").unwrap();
        let _mapped = from(&connections, "::ffff:10.0.0.1").unwrap();
        let same = from(&connections, "10.0.0.1").unwrap_err();
        assert_eq!(same, Crowded::OneAddress { max: 1 });
    }
}
