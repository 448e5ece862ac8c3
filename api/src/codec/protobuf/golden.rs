//! The reference's own bytes, where they are at hand: `SHARDPLANE_GOLDEN` names a folder of `GROUP.VERSION.KIND.json` and
//! `.pb` pairs, such as `testdata/v1.36.0` of github.com/kubernetes/api. Without it nothing is compared.

use std::fs;
use std::path::Path;

use crate::builtin::{RuntimeConfig, registry};
use crate::codec::{Format, decode, encode};

#[test]
fn every_kind_is_written_as_the_reference_writes_it() {
    let Some(folder) = std::env::var_os("SHARDPLANE_GOLDEN") else { return };
    let registry = registry(&RuntimeConfig::parse("api/all").unwrap());
    let (mut met, mut wrong) = (0, Vec::new());
    for resource in registry.iter() {
        for served in resource.served.iter().filter(|served| served.is_public()) {
            let group = if served.group.is_empty() { "core" } else { served.group.as_str() };
            let path = Path::new(&folder).join(format!("{group}.{}.{}", served.version, resource.kind));
            let (Ok(json), Ok(bytes)) =
                (fs::read(path.with_added_extension("json")), fs::read(path.with_added_extension("pb")))
            else {
                // Kinds of other repositories have theirs there.
                continue;
            };
            met += 1;
            let shape = resource.shape(served);
            let document = decode(shape, &json, Format::Json).unwrap();
            if !document.problems.is_empty() {
                wrong.push(format!("{}: {:?}", path.display(), document.problems));
            }
            match decode(shape, &bytes, Format::Protobuf) {
                Ok(read) if read.value == document.value => {}
                Ok(read) => {
                    wrong.push(format!("{}: reads as\n{}\nnot\n{}", path.display(), read.value, document.value))
                }
                Err(error) => wrong.push(format!("{}: {error}", path.display())),
            }
            let written = encode(shape, &document.value, Format::Protobuf).unwrap();
            if written != bytes {
                let at = written.iter().zip(&bytes).position(|(a, b)| a != b).unwrap_or(written.len().min(bytes.len()));
                let around =
                    |text: &[u8]| text[at.saturating_sub(24)..text.len().min(at + 24)].escape_ascii().to_string();
                wrong.push(format!(
                    "{} ({} bytes, {}): at {at}\n  ours {}\n  them {}",
                    path.display(),
                    written.len(),
                    bytes.len(),
                    around(&written),
                    around(&bytes)
                ));
            }
        }
    }
    assert!(met > 80, "{met} kinds");
    assert!(wrong.is_empty(), "{} of {met}:\n{}", wrong.len(), wrong.join("\n"));
}
