//! The contract on a real cluster. Without `FDB_CLUSTER_FILE` there is none, and each test says that it was skipped.

use super::*;

/// Lets the client library fail by chance, if `SHARDPLANE_FDB_FAULTS` says with which probability in percent.
pub(super) fn with_faults(
    builder: ::foundationdb::api::NetworkBuilder,
) -> Result<::foundationdb::api::NetworkBuilder, FdbError> {
    use ::foundationdb::options::NetworkOption;
    let Ok(percent) = std::env::var("SHARDPLANE_FDB_FAULTS") else { return Ok(builder) };
    let percent = percent.parse().expect("SHARDPLANE_FDB_FAULTS is a number");
    builder
        .set_option(NetworkOption::ClientBuggifyEnable)?
        .set_option(NetworkOption::ClientBuggifySectionActivatedProbability(100))?
        .set_option(NetworkOption::ClientBuggifySectionFiredProbability(percent))
}
