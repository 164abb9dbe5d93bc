//! Where a connection comes from, and what its client certificate says.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use landfast_planner::Groups;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// The longest name that a certificate may give.
const NAME_BYTES_MAX: usize = 256;

/// What is known of a connection before anybody says anything.
#[derive(Clone, Debug, Default)]
pub struct Arrival {
    /// The other end.
    pub address: Option<SocketAddr>,
    /// Whom its certificate names, if it has one that a trusted authority signed.
    pub certificate: Option<Arc<CertificateName>>,
}

impl Arrival {
    /// The other end's address without its port.
    pub fn ip(&self) -> Option<IpAddr> {
        self.address.map(|address| address.ip())
    }
}

/// What counts as one address: whoever has one of IPv6 has the 2^64 beside it.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

/// What a certificate says about its holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateName {
    /// The name.
    pub name: Arc<str>,
    /// The groups.
    pub groups: Groups,
}

/// The part of a certificate that is its holder's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameSource {
    /// The subject's common name.
    CommonName,
    /// The alternative name of kind DNS.
    SanDns,
    /// The alternative name of kind e-mail.
    SanEmail,
    /// The alternative name of kind URI, as SPIFFE has it.
    SanUri,
}

/// How a certificate is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerName {
    /// Where the name is.
    pub name: NameSource,
    /// Whether the subject's organizational units are groups.
    pub groups: bool,
}

impl PeerName {
    /// Whom a certificate names. One that has no such name, or several, names nobody.
    pub fn read(self, der: &[u8]) -> Option<CertificateName> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let mut names = match self.name {
            NameSource::CommonName => certificate
                .subject()
                .iter_common_name()
                .map(|name| name.as_str().ok())
                .collect::<Option<Vec<&str>>>()?,
            source => alternative(&certificate, source)?,
        };
        let name = match (names.pop(), names.is_empty()) {
            (Some(name), true) => usable(name)?,
            _ => return None,
        };
        let groups = match self.groups {
            false => Groups::default(),
            true => Groups::new(
                certificate
                    .subject()
                    .iter_organizational_unit()
                    .filter_map(|unit| usable(unit.as_str().ok()?)),
            ),
        };
        Some(CertificateName {
            name: name.into(),
            groups,
        })
    }
}

fn alternative<'a>(
    certificate: &'a X509Certificate<'_>,
    source: NameSource,
) -> Option<Vec<&'a str>> {
    let names = &certificate
        .subject_alternative_name()
        .ok()??
        .value
        .general_names;
    let wanted = names.iter().filter_map(|name| match (source, name) {
        (NameSource::SanDns, GeneralName::DNSName(name))
        | (NameSource::SanEmail, GeneralName::RFC822Name(name))
        | (NameSource::SanUri, GeneralName::URI(name)) => Some(*name),
        _ => None,
    });
    Some(wanted.collect())
}

fn usable(name: &str) -> Option<&str> {
    let fits =
        !name.trim().is_empty() && name.len() <= NAME_BYTES_MAX && !name.contains(char::is_control);
    fits.then_some(name)
}

/// How and from where somebody came, for records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// How they proved who they are.
    pub method: super::Method,
    /// The other end of their connection.
    pub address: Option<SocketAddr>,
    /// What their program says it is.
    pub client: Option<Arc<str>>,
}
