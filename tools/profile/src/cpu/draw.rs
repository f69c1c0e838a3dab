//! The flame graph: all stacks in one picture, for a browser.

use inferno::flamegraph::color::{MultiPalette, Palette};
use inferno::flamegraph::{Options, from_lines};
use stage::Failure;

use super::stacks::Stack;

/// An SVG to zoom and search in; wide is what takes long, the kernel's functions differ in colour.
///
/// # Errors
/// There is no stack.
pub fn flame_graph(stacks: &[Stack], headline: &str) -> Result<Vec<u8>, Failure> {
    let mut options = Options::default();
    "CPU time of pixi-game-server".clone_into(&mut options.title);
    options.subtitle = Some(headline.to_owned());
    options.colors = Palette::Multi(MultiPalette::Rust);
    options.deterministic = true;
    // In percent: narrower functions can't be seen, and there are thousands of them.
    options.min_width = 0.05;
    let lines: Vec<String> = stacks.iter().map(Stack::folded).collect();
    let mut picture = Vec::new();
    from_lines(&mut options, lines.iter().map(String::as_str), &mut picture)?;
    Ok(picture)
}
