//! Reader of heap profiles in the format of Valgrind's DHAT. Sums allocations by call site in the server's code.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::{is_ours, short_name};

/// Allocations of one count.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profile {
    /// Duration of the count, in seconds.
    pub seconds: f64,
    /// Sum over all call sites.
    pub total: Tally,
    /// Allocations by call site, `function (file:line)`.
    pub sites: BTreeMap<String, Tally>,
}

/// Numbers of memory blocks and of their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Allocated blocks; a reallocation counts as another block.
    pub blocks: u64,
    /// Bytes of `blocks`.
    pub bytes: u64,
    /// Blocks in use at the peak, when the most bytes of the whole heap were in use.
    pub peak_blocks: u64,
    /// Bytes of `peak_blocks`.
    pub peak_bytes: u64,
    /// Blocks in use at the end.
    pub end_blocks: u64,
    /// Bytes of `end_blocks`.
    pub end_bytes: u64,
}

impl Profile {
    /// Parses a DHAT file. Returns `None` if the file is incomplete or in another format.
    pub fn parse(text: &str) -> Option<Self> {
        let json: Json = serde_json::from_str(text).ok()?;
        let frames: Vec<&str> = json.get("ftbl")?.as_array()?.iter().filter_map(Json::as_str).collect();
        let mut profile = Self { seconds: json.get("te")?.as_f64()? / 1e6, ..Self::default() };
        for point in json.get("pps")?.as_array()? {
            let tally = Tally::of(point);
            profile.total.add(&tally);
            let stack = point.get("fs")?.as_array()?.iter().filter_map(Json::as_u64);
            let stack = stack.filter_map(|index| frames.get(index as usize).copied());
            profile.sites.entry(site(stack)).or_default().add(&tally);
        }
        Some(profile)
    }
}

impl Tally {
    fn of(point: &Json) -> Self {
        let number = |key| point.get(key).and_then(Json::as_u64).unwrap_or_default();
        Self {
            blocks: number("tbk"),
            bytes: number("tb"),
            peak_blocks: number("gbk"),
            peak_bytes: number("gb"),
            end_blocks: number("ebk"),
            end_bytes: number("eb"),
        }
    }

    fn add(&mut self, other: &Self) {
        self.blocks += other.blocks;
        self.bytes += other.bytes;
        self.peak_blocks += other.peak_blocks;
        self.peak_bytes += other.peak_bytes;
        self.end_blocks += other.end_blocks;
        self.end_bytes += other.end_bytes;
    }
}

/// Returns the call site of an allocation: the innermost function of the server, or else the innermost function.
/// `stack` starts with the innermost frame.
fn site<'a>(stack: impl Iterator<Item = &'a str>) -> String {
    let mut innermost = None;
    for frame in stack {
        // `0x55d97169df48: function (file:line:column)`. The address differs between runs.
        let call = frame.split_once(": ").map_or(frame, |(_, call)| call);
        if is_ours(call) {
            return short_site(call);
        }
        innermost.get_or_insert(call);
    }
    innermost.map_or_else(|| "no stack".to_owned(), short_site)
}

/// Shortens a call site: drops the column and the directories above `src`.
fn short_site(call: &str) -> String {
    let Some((function, location)) = call.rsplit_once(" (") else { return short_name(call) };
    let line = location.trim_end_matches(')').rsplit_once(':').map_or(location, |(line, _)| line);
    let line = line.find("src/").map_or(line, |at| &line[at..]);
    format!("{} ({line})", short_name(function))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"{"dhatFileVersion":2,"mode":"rust-heap","te":2500000,"tg":9,"pps":[
        {"tb":300,"tbk":30,"gb":10,"gbk":1,"eb":0,"ebk":0,"fs":[1,2,3]},
        {"tb":60,"tbk":2,"gb":50,"gbk":2,"eb":50,"ebk":1,"fs":[1,2,4]},
        {"tb":7,"tbk":1,"gb":0,"gbk":0,"eb":0,"ebk":0,"fs":[1,4]}],
        "ftbl":["[root]","0x5: alloc::vec::Vec<T,A>::reserve (src/vec/mod.rs:1446:18)",
        "0x6: pixi_game_server::wire::message::ack (src/wire/message.rs:227:9)",
        "0x7: pixi_game_server::run (checkout/src/main.rs:63:18)","0x8: main (???:0:0)"]}"#;

    #[test]
    fn allocations_are_summed_by_the_innermost_server_function() {
        let profile = Profile::parse(FILE).unwrap();
        assert!((profile.seconds - 2.5).abs() < 1e-9);
        assert_eq!((profile.total.bytes, profile.total.blocks), (367, 33));
        let ack = profile.sites["wire::message::ack (src/wire/message.rs:227)"];
        assert_eq!((ack.bytes, ack.blocks, ack.peak_bytes, ack.peak_blocks), (360, 32, 60, 3));
        assert_eq!((ack.end_bytes, ack.end_blocks), (50, 1));
        assert_eq!(profile.sites["alloc::vec::Vec<T,A>::reserve (src/vec/mod.rs:1446)"].bytes, 7);
    }

    #[test]
    fn call_sites_start_at_the_source_directory() {
        assert_eq!(short_site("pixi_game_server::run (checkout/src/main.rs:63:18)"), "run (src/main.rs:63)");
        assert_eq!(site(std::iter::empty()), "no stack");
    }

    #[test]
    fn an_incomplete_file_is_rejected() {
        assert_eq!(Profile::parse(&FILE[..FILE.len() / 2]), None);
        assert_eq!(Profile::parse("{}"), None);
    }
}
