//! A count of allocations in the format of Valgrind's DHAT, and the same by the place in the project's code that asked.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::text::{is_ours, short_name};

/// What was counted between two moments.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profile {
    /// How long was counted, in seconds.
    pub seconds: f64,
    /// Everything together.
    pub total: Tally,
    /// By place, `function (file:line)`.
    pub sites: BTreeMap<String, Tally>,
}

/// Blocks of memory and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Allocated, each growth of a block counted as well.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// In use when the most bytes were.
    pub peak_blocks: u64,
    /// Their bytes.
    pub peak_bytes: u64,
    /// Still in use at the end.
    pub end_blocks: u64,
    /// Their bytes.
    pub end_bytes: u64,
}

impl Profile {
    /// Reads a file of DHAT; none if it is not whole, or something else.
    pub fn parse(text: &str) -> Option<Self> {
        let json: Json = serde_json::from_str(text).ok()?;
        let frames: Vec<&str> = json.get("ftbl")?.as_array()?.iter().filter_map(Json::as_str).collect();
        let mut profile = Self { seconds: json.get("te")?.as_f64()? / 1e6, ..Self::default() };
        for point in json.get("pps")?.as_array()? {
            let tally = Tally::of(point);
            profile.total.add(&tally);
            let stack = point.get("fs")?.as_array()?.iter().filter_map(Json::as_u64);
            let stack = stack.filter_map(|place| frames.get(place as usize).copied());
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

/// The project's function nearest to the allocation, innermost frames first; without any, the innermost of all.
fn site<'a>(stack: impl Iterator<Item = &'a str>) -> String {
    let mut outside = None;
    for frame in stack {
        // `0x55d97169df48: function (file:line:column)`, the address another one in each run.
        let call = frame.split_once(": ").map_or(frame, |(_, call)| call);
        if is_ours(call) {
            return short_site(call);
        }
        outside.get_or_insert(call);
    }
    outside.map_or_else(|| "no stack".to_owned(), short_site)
}

/// Without the column, and without the folders above `src`.
fn short_site(call: &str) -> String {
    let Some((function, place)) = call.rsplit_once(" (") else { return short_name(call) };
    let line = place.trim_end_matches(')').rsplit_once(':').map_or(place, |(line, _)| line);
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
    fn points_are_summed_by_the_projects_nearest_function() {
        let profile = Profile::parse(FILE).unwrap();
        assert!((profile.seconds - 2.5).abs() < 1e-9);
        assert_eq!((profile.total.bytes, profile.total.blocks), (367, 33));
        let ack = profile.sites["wire::message::ack (src/wire/message.rs:227)"];
        assert_eq!((ack.bytes, ack.blocks, ack.peak_bytes, ack.peak_blocks), (360, 32, 60, 3));
        assert_eq!((ack.end_bytes, ack.end_blocks), (50, 1));
        assert_eq!(profile.sites["alloc::vec::Vec<T,A>::reserve (src/vec/mod.rs:1446)"].bytes, 7);
    }

    #[test]
    fn places_are_named_from_the_source_folder_on() {
        assert_eq!(short_site("pixi_game_server::run (checkout/src/main.rs:63:18)"), "run (src/main.rs:63)");
        assert_eq!(site(std::iter::empty()), "no stack");
    }

    #[test]
    fn half_a_file_is_none() {
        assert_eq!(Profile::parse(&FILE[..FILE.len() / 2]), None);
        assert_eq!(Profile::parse("{}"), None);
    }
}
