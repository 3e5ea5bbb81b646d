//! Addresses that the domain name system knows.

mod resolver;
mod seeds;
mod srv;

pub use seeds::DnsSeeds;
pub use srv::SrvSeeds;

#[cfg(test)]
mod tests;
