//! Charts as inline SVG: lines over time and bars over ranges. Colors and fonts come from the page's style sheet, so
//! that one drawing serves light and dark mode.

use std::fmt::Write as _;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 58.0;
const RIGHT: f64 = 92.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 40.0;

/// Most points of a line. A longer run shows the maximum of each interval.
const POINTS_MAX: usize = 400;

/// One line.
pub struct Series {
    /// Its label, drawn at its end.
    pub name: &'static str,
    /// Its style class.
    pub class: &'static str,
    /// Its points: seconds and values.
    pub points: Vec<(f64, f64)>,
}

/// Scale of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Linear from zero.
    Linear,
    /// Logarithmic.
    Log,
}

/// An axis: its range and its marks.
struct Axis {
    low: f64,
    high: f64,
    marks: Vec<f64>,
    scale: Scale,
}

impl Axis {
    /// Returns an axis that covers these non-negative values.
    fn over(values: impl Iterator<Item = f64> + Clone, scale: Scale) -> Axis {
        let high = values.clone().fold(0.0, f64::max);
        match scale {
            Scale::Linear => {
                let step = nice_step(high);
                let steps = (high / step).ceil().max(1.0);
                let marks = (0..=steps as usize).map(|mark| mark as f64 * step).collect();
                Axis { low: 0.0, high: steps * step, marks, scale }
            }
            Scale::Log => {
                let low = values.filter(|value| *value > 0.0).fold(high.max(1e-3), f64::min);
                let (first, last) = (low.log10().floor() as i32, high.max(low).log10().ceil() as i32);
                let last = last.max(first + 1);
                let marks: Vec<f64> = (first..=last).map(|exponent| 10f64.powi(exponent)).collect();
                Axis { low: marks[0], high: marks[marks.len() - 1], marks, scale }
            }
        }
    }

    /// Returns the position of a value: 0 at the low end, 1 at the high end.
    fn position(&self, value: f64) -> f64 {
        let position = match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Log => (value.max(self.low) / self.low).ln() / (self.high / self.low).ln(),
        };
        position.clamp(0.0, 1.0)
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - self.position(value) * (HEIGHT - TOP - BOTTOM)
    }
}

/// Returns a step of 1, 2 or 5 times a power of ten, for about five steps up to `high`.
fn nice_step(high: f64) -> f64 {
    let rough = high.max(1e-6) / 5.0;
    let magnitude = 10f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| factor * magnitude >= rough);
    factor.unwrap_or(10.0) * magnitude
}

/// Formats a number with as many digits as it needs.
pub fn short(number: f64) -> String {
    let text = match number.abs() {
        size if size >= 100.0 => format!("{number:.0}"),
        size if size >= 10.0 => format!("{number:.1}"),
        size if size >= 0.1 => format!("{number:.2}"),
        _ => format!("{number:.3}"),
    };
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    text.to_owned()
}

/// Draws lines over time. `shaded` is the measured window, in seconds.
pub fn lines(label: &str, unit: &str, scale: Scale, series: &[Series], shaded: Option<(f64, f64)>) -> String {
    let end_s = series.iter().flat_map(|line| &line.points).map(|point| point.0).fold(1.0, f64::max);
    let values = series.iter().flat_map(|line| &line.points).map(|point| point.1);
    let axis = Axis::over(values, scale);
    let x = |at_s: f64| LEFT + at_s / end_s * (WIDTH - LEFT - RIGHT);
    let mut svg = begin(label);
    if let Some((from_s, until_s)) = shaded {
        let (from, width) = (x(from_s), x(until_s) - x(from_s));
        let _ = write!(
            svg,
            "<rect class=\"window\" x=\"{from:.1}\" y=\"{TOP}\" width=\"{width:.1}\" height=\"{:.1}\"><title>measured</title></rect>",
            HEIGHT - TOP - BOTTOM
        );
    }
    grid(&mut svg, &axis, unit);
    let step = nice_step(end_s);
    for mark in (0..).map(|mark| f64::from(mark) * step).take_while(|at_s| *at_s <= end_s) {
        axis_text(&mut svg, x(mark), "middle", &format!("{} s", short(mark)));
    }
    let mut label_ys: Vec<f64> = Vec::new();
    for line in series {
        draw_line(&mut svg, line, &axis, unit, &x, &mut label_ys);
    }
    svg + "</svg>"
}

fn draw_line(
    svg: &mut String,
    line: &Series,
    axis: &Axis,
    unit: &str,
    x: &dyn Fn(f64) -> f64,
    label_ys: &mut Vec<f64>,
) {
    let points = thinned(&line.points);
    let Some(&(last_s, last)) = points.last() else { return };
    let path: Vec<String> =
        points.iter().map(|&(at_s, value)| format!("{:.1},{:.1}", x(at_s), axis.y(value))).collect();
    let _ = write!(svg, "<polyline class=\"line {}\" points=\"{}\"/>", line.class, path.join(" "));
    for &(at_s, value) in &points {
        let _ = write!(
            svg,
            "<circle class=\"touch\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"5\"><title>{} at {at_s:.0} s: {} {unit}</title></circle>",
            x(at_s),
            axis.y(value),
            line.name,
            short(value)
        );
    }
    // Moves a label down if it would overlap an earlier one.
    let mut label_y = axis.y(last);
    while let Some(&taken) = label_ys.iter().find(|taken| (label_y - **taken).abs() < 14.0) {
        label_y = taken + 14.0;
    }
    label_ys.push(label_y);
    let _ = write!(
        svg,
        "<text class=\"label {}\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
        line.class,
        x(last_s) + 6.0,
        label_y + 4.0,
        line.name
    );
}

/// Returns at most [`POINTS_MAX`] points: the maximum of each interval.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let interval = points.len().div_ceil(POINTS_MAX).max(1);
    let highest = |interval: &[(f64, f64)]| interval.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1));
    points.chunks(interval).filter_map(highest).collect()
}

/// Draws bars over ranges of upper ends and counts, as percentages of all counts.
pub fn bars(label: &str, unit: &str, ranges: &[(f64, u64)]) -> String {
    let total = ranges.iter().map(|(_, count)| count).sum::<u64>().max(1) as f64;
    let parts = ranges.iter().map(|(_, count)| *count as f64 / total * 100.0);
    let axis = Axis::over(parts.clone(), Scale::Linear);
    let slot = (WIDTH - LEFT - RIGHT) / ranges.len().max(1) as f64;
    let mut svg = begin(label);
    grid(&mut svg, &axis, "%");
    let labelled = ranges.len().div_ceil(9).max(1);
    for (index, (&(end, _), part)) in ranges.iter().zip(parts).enumerate() {
        let (x, y) = (LEFT + index as f64 * slot, axis.y(part));
        let _ = write!(
            svg,
            "<rect class=\"bar\" x=\"{:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\">\
             <title>up to {} {unit}: {} %</title></rect>",
            x + 1.0,
            (slot - 2.0).max(1.0),
            HEIGHT - BOTTOM - y,
            short(end),
            short(part)
        );
        if index % labelled == 0 {
            axis_text(&mut svg, x + slot, "middle", &format!("{} {unit}", short(end)));
        }
    }
    svg + "</svg>"
}

fn begin(label: &str) -> String {
    format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{label}\">")
}

fn grid(svg: &mut String, axis: &Axis, unit: &str) {
    for &mark in &axis.marks {
        let (y, right) = (axis.y(mark), WIDTH - RIGHT);
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text class=\"axis\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{} {unit}</text>",
            LEFT - 6.0,
            y + 4.0,
            short(mark)
        );
    }
}

fn axis_text(svg: &mut String, x: f64, anchor: &str, text: &str) {
    let y = HEIGHT - BOTTOM + 20.0;
    let _ =
        write!(svg, "<text class=\"axis\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_covers_its_values() {
        let linear = Axis::over([0.0, 3.0, 47.0].into_iter(), Scale::Linear);
        assert!((linear.high - 50.0).abs() < 1e-9 && linear.position(25.0) > 0.49, "{}", linear.high);
        let log = Axis::over([0.0, 0.3, 40.0].into_iter(), Scale::Log);
        assert!((log.low - 0.1).abs() < 1e-9 && (log.high - 100.0).abs() < 1e-9);
        assert!(log.position(0.0).abs() < 1e-9);
        assert!((log.position(1.0) - 1.0 / 3.0).abs() < 1e-9);
        let empty = Axis::over(std::iter::empty(), Scale::Log);
        assert!(empty.high > empty.low);
    }

    #[test]
    fn long_runs_keep_their_peaks() {
        let mut points: Vec<(f64, f64)> = (0..10_000).map(|second| (f64::from(second), 1.0)).collect();
        points[5_432].1 = 9.0;
        let thinned = thinned(&points);
        assert!(thinned.len() <= POINTS_MAX);
        assert!(thinned.contains(&(5_432.0, 9.0)));
    }

    #[test]
    fn numbers_have_no_surplus_digits() {
        for (number, text) in [(0.0, "0"), (0.05, "0.05"), (1.5, "1.5"), (20.0, "20"), (1234.5, "1234")] {
            assert_eq!(short(number), text);
        }
    }
}
