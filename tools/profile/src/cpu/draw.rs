//! Flame graph of all stacks, for a browser.

use game_client::Failure;
use inferno::flamegraph::color::{MultiPalette, Palette};
use inferno::flamegraph::{Options, from_lines};

use super::stacks::Stack;

/// Returns an SVG with zoom and search. The width of a function is its share of the time; kernel functions have another
/// color.
///
/// # Errors
/// `stacks` is empty.
pub fn flame_graph(stacks: &[Stack], headline: &str) -> Result<Vec<u8>, Failure> {
    let mut options = Options::default();
    "CPU time of pixi-game-server".clone_into(&mut options.title);
    options.subtitle = Some(headline.to_owned());
    options.colors = Palette::Multi(MultiPalette::Rust);
    options.deterministic = true;
    // In percent of the time. Narrower functions are invisible, and there are thousands.
    options.min_width = 0.05;
    let lines: Vec<String> = stacks.iter().map(Stack::folded).collect();
    let mut picture = Vec::new();
    from_lines(&mut options, lines.iter().map(String::as_str), &mut picture)?;
    Ok(picture)
}
