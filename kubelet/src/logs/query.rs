//! The parameters of `/containerLogs` (PodLogOptions).

use api::time;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LogOptions {
    pub(crate) follow: bool,
    pub(crate) previous: bool,
    pub(crate) timestamps: bool,
    pub(crate) tail: Option<u64>,
    pub(crate) limit_bytes: Option<u64>,
    /// Nothing older: seconds before now, or a time in microseconds since 1970.
    pub(crate) since_seconds: Option<i64>,
    pub(crate) since_time: Option<i64>,
}

impl LogOptions {
    /// Reads a query; the error names the parameter.
    pub(crate) fn parse(query: &str) -> Result<Self, String> {
        let mut options = Self::default();
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            let bad = || format!("{name}={value} cannot be read");
            match name {
                "follow" => options.follow = flag(value).ok_or_else(bad)?,
                "previous" => options.previous = flag(value).ok_or_else(bad)?,
                "timestamps" => options.timestamps = flag(value).ok_or_else(bad)?,
                "tail" if value == "all" => {}
                "tailLines" | "tail" => options.tail = Some(value.parse().map_err(|_| bad())?),
                "limitBytes" => options.limit_bytes = Some(value.parse().map_err(|_| bad())?),
                "sinceSeconds" => options.since_seconds = Some(value.parse().map_err(|_| bad())?),
                "sinceTime" => {
                    let text = value.replace("%3A", ":").replace("%3a", ":").replace("%2B", "+").replace("%2b", "+");
                    options.since_time = Some(time::parse(&text).ok_or_else(bad)?);
                }
                // A simulated container writes everything to stdout.
                _ => {}
            }
        }
        Ok(options)
    }

    /// Nothing older than this is wanted.
    pub(crate) fn since(&self, now: i64) -> Option<i64> {
        self.since_seconds.map(|seconds| now.saturating_sub(seconds.saturating_mul(1_000_000))).or(self.since_time)
    }
}

fn flag(value: &str) -> Option<bool> {
    match value {
        "true" | "1" | "" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read() {
        let options = LogOptions::parse("follow=true&tailLines=5&sinceSeconds=60&timestamps=1&container=x").unwrap();
        assert_eq!((options.follow, options.tail, options.timestamps), (true, Some(5), true));
        assert_eq!(options.since(100_000_000), Some(40_000_000));
        let options = LogOptions::parse("sinceTime=1970-01-01T00%3A00%3A01Z").unwrap();
        assert_eq!(options.since(5), Some(1_000_000));
        assert_eq!(LogOptions::parse("tailLines=x").unwrap_err(), "tailLines=x cannot be read");
        assert_eq!(LogOptions::parse("").unwrap(), LogOptions::default());
    }
}
