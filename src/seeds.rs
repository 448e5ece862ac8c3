//! `--shards`: where shards are, or how many of them this process runs itself.

use std::net::SocketAddr;
use std::str::FromStr;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use shards::rpc::membership::Seeds;

/// What `--shards` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ShardsAt {
    /// So many in this process.
    Here(u16),
    /// In other processes.
    There(Found),
}

/// How shards of other processes are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// `dns:host:port`: every address of a name, asked again whenever shards are looked for. A headless Service has one for
    /// each Pod.
    Dns(String),
    /// `host:port,…`
    Listed(Vec<String>),
}

/// How many shards one process runs at most.
const MOST: u16 = 1024;
const EXPECTED: &str = "a number from 1 to 1024, dns:HOST:PORT, or HOST:PORT with commas between several";

impl FromStr for ShardsAt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(count) = text.parse::<u64>() {
            return match u16::try_from(count) {
                Ok(count @ 1..=MOST) => Ok(Self::Here(count)),
                _ => Err(format!("{count} is not from 1 to {MOST}")),
            };
        }
        if let Some(name) = text.strip_prefix("dns:") {
            check(name)?;
            return Ok(Self::There(Found::Dns(name.to_owned())));
        }
        let listed: Vec<String> = text.split(',').map(str::to_owned).collect();
        listed.iter().try_for_each(|address| check(address))?;
        Ok(Self::There(Found::Listed(listed)))
    }
}

fn check(address: &str) -> Result<(), String> {
    let port = address.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port.parse::<u16>());
    match port {
        Some(Ok(1..)) => Ok(()),
        _ => Err(format!("{address:?} is no HOST:PORT; {EXPECTED} is wanted")),
    }
}

impl Seeds for Found {
    fn addresses(&self) -> BoxFuture<'_, Result<Vec<String>, String>> {
        async move {
            match self {
                Self::Listed(listed) => Ok(listed.clone()),
                Self::Dns(name) => {
                    let found = tokio::net::lookup_host(name.as_str()).await;
                    let found = found.map_err(|error| format!("dns:{name}: {error}"))?;
                    Ok(found.map(|address: SocketAddr| address.to_string()).collect())
                }
            }
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_told_from_numbers() {
        assert_eq!("4".parse(), Ok(ShardsAt::Here(4)));
        assert_eq!("dns:shards.svc:7400".parse(), Ok(ShardsAt::There(Found::Dns("shards.svc:7400".into()))));
        let listed = ShardsAt::There(Found::Listed(vec!["a:1".into(), "[::1]:2".into()]));
        assert_eq!("a:1,[::1]:2".parse(), Ok(listed));
        for wrong in ["", "0", "1025", "99999999", "a", "a:", ":1", "a:0", "a:1,", "dns:a", "a:70000"] {
            assert!(wrong.parse::<ShardsAt>().is_err(), "{wrong}");
        }
    }
}
