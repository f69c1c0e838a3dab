//! The report as one HTML file: no script, no external resources, light and dark mode.

use std::fmt::Write as _;

use super::chart::{Scale, Series, bars, lines};
use super::text::{headline, text};
use super::{Churn, Report, Storm};
use crate::measure::Second;

const STYLE: &str = "
:root { --page: #fcfcfb; --ink: #1a1a19; --soft: #62615c; --rule: #dddcd6; --shade: #f1f0ec; --good: #1b7a3d;
  --bad: #c22f2f; --low: #86b6ef; --mid: #2a78d6; --high: #104281; --other: #eb6834; }
@media (prefers-color-scheme: dark) {
  :root { --page: #1a1a19; --ink: #f3f2ee; --soft: #a9a8a1; --rule: #3c3b38; --shade: #242422; --good: #5cc983;
    --bad: #f07d7d; --low: #3573c4; --mid: #5b9bea; --high: #b7d3f6; --other: #eb6834; } }
body { background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto;
  max-width: 60rem; padding: 0 1rem; }
h1 { font-size: 1.4rem; margin-bottom: 0; }
h2 { font-size: 1.05rem; margin: 2rem 0 .4rem; }
p, li { color: var(--soft); margin: .2rem 0; }
strong.good { color: var(--good); } strong.bad { color: var(--bad); }
pre { background: var(--shade); border-radius: 6px; overflow-x: auto; padding: 1rem; font-size: 12.5px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid var(--rule); padding: .3rem .6rem; text-align: right; }
th:first-child, td:first-child { text-align: left; }
th { color: var(--soft); font-weight: 500; }
svg { display: block; width: 100%; }
svg .grid { stroke: var(--rule); } svg .window { fill: var(--shade); }
svg .axis { fill: var(--soft); font-size: 11px; } svg .label { font-size: 12px; font-weight: 600; }
svg .line { fill: none; stroke-width: 2; stroke-linejoin: round; } svg .touch { fill: transparent; }
svg .bar { fill: var(--mid); } svg .bar:hover { fill: var(--high); }
svg .line.low { stroke: var(--low); } svg .line.mid { stroke: var(--mid); } svg .line.high { stroke: var(--high); }
svg .line.other { stroke: var(--other); }
svg .label.low { fill: var(--low); } svg .label.mid { fill: var(--mid); } svg .label.high { fill: var(--high); }
svg .label.other { fill: var(--other); }
";

/// Returns the whole file.
pub fn html(report: &Report) -> String {
    let headline = escape(&headline(report));
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Load test: {headline}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
         <h1>Load test</h1>\n<p>{headline}</p>\n<p>{} on {}</p>\n",
        escape(&report.started),
        escape(&report.machine)
    );
    page.push_str(&verdict(report));
    page.push_str(&table(report));
    for (title, note, chart) in charts(report) {
        let _ = writeln!(page, "<h2>{title}</h2>\n<p>{note}</p>\n{chart}");
    }
    let _ = writeln!(page, "<h2>In full</h2>\n<pre>{}</pre>\n</body>\n</html>", escape(&text(report)));
    page
}

fn verdict(report: &Report) -> String {
    let problems = report.problems();
    let (_, statement) = report.bottleneck();
    let judgement = if problems.is_empty() {
        "<p><strong class=\"good\">Nothing was lost or wrong.</strong></p>".to_owned()
    } else {
        let items: Vec<String> = problems.iter().map(|problem| escape(problem)).collect();
        let items = items.join("</li><li>");
        format!("<p><strong class=\"bad\">Failed:</strong></p><ul><li>{items}</li></ul>")
    };
    format!("{judgement}\n<p>{}.</p>\n", escape(&statement))
}

fn table(report: &Report) -> String {
    let (storm, churn) = (Storm::default(), Churn::default());
    let (storm, churn) = (report.storm.as_ref().unwrap_or(&storm), report.churn.as_ref().unwrap_or(&churn));
    let rows = [
        ("Ack round trip, from the due time", &report.ack),
        ("Ack round trip, from the write", &report.ack_from_write),
        ("Ack round trip while clients connected", &report.ack_while_connecting),
        ("Change of a player to another player's screen", &report.to_screen),
        ("Ack round trip of unaffected clients during a storm", &storm.ack_of_stayed),
        ("From connect to the first snapshot, reconnecting clients", &churn.connect),
        ("Generator's lateness", &report.generator.lateness),
    ];
    let mut table = String::from(
        "<h2>Times in milliseconds</h2>\n<table><thead><tr><th></th><th>mean</th><th>p50</th><th>p90</th>\
         <th>p99</th><th>p99.9</th><th>max</th><th>count</th></tr></thead><tbody>\n",
    );
    for (name, times) in rows.iter().filter(|(_, times)| times.count > 0) {
        let figures = [times.mean_ms, times.p50_ms, times.p90_ms, times.p99_ms, times.p999_ms, times.max_ms];
        let cells: Vec<String> = figures.iter().map(|figure| format!("{figure:.2}")).collect();
        let cells = cells.join("</td><td>");
        let _ = writeln!(table, "<tr><td>{name}</td><td>{cells}</td><td>{}</td></tr>", times.count);
    }
    table + "</tbody></table>\n"
}

fn charts(report: &Report) -> Vec<(&'static str, &'static str, String)> {
    let seconds = &report.timeline;
    let measured = || seconds.iter().filter(|second| second.measured).map(|second| second.at_s);
    // A second is drawn at its end.
    let shaded = measured().next().zip(measured().next_back()).map(|(first, last)| (first - 1.0, last));
    let line = |name, class, value: &dyn Fn(&Second) -> Option<f64>| {
        let point = |second: &Second| Some((second.at_s, value(second)?));
        Series { name, class, points: seconds.iter().filter_map(point).collect() }
    };
    let when_answered = |second: &Second, value: f64| (second.ack.count > 0).then_some(value);
    let latency = [
        line("max", "high", &|second| when_answered(second, second.ack.max_ms)),
        line("p99", "mid", &|second| when_answered(second, second.ack.p99_ms)),
        line("p50", "low", &|second| when_answered(second, second.ack.p50_ms)),
    ];
    let per_client = |count: u64, second: &Second| count as f64 / 1e3 / second.playing.max(1) as f64;
    let bandwidth = [
        line("received", "mid", &|second| Some(per_client(second.tally.bytes_in, second))),
        line("sent", "other", &|second| Some(per_client(second.tally.bytes_out, second))),
    ];
    let churn = [
        line("disconnected", "other", &|second| Some(second.tally.left as f64)),
        line("reconnected", "mid", &|second| Some(second.tally.returned as f64)),
    ];
    let cores = [
        line("server", "mid", &|second| second.server.map(|(cores, _)| cores)),
        line("generator", "other", &|second| Some(second.generator_cores)),
    ];
    let reconnects = (
        "Reconnects",
        "Clients per second.",
        lines("reconnects over time", "", Scale::Linear, &churn, shaded),
    );
    let mut charts = vec![
        (
            "Ack round trip over time",
            "Median, 99th percentile and maximum of each second, on a logarithmic scale; the measured window is shaded.",
            lines("ack round trip over time", "ms", Scale::Log, &latency, shaded),
        ),
        (
            "Ack round trips",
            "Percentage of all acks, by time since the MOVE was due.",
            bars("histogram of ack round trips", "ms", &report.ack_ranges),
        ),
        (
            "Changes to the screen",
            "Percentage of all changes of the 50 nearest players, by time until a sampled viewer received them.",
            bars("histogram of delays to the screen", "ms", &report.to_screen_ranges),
        ),
        (
            "Bandwidth",
            "Kilobytes per second and playing client.",
            lines("bandwidth per client", "kB/s", Scale::Linear, &bandwidth, shaded),
        ),
        (
            "Processor",
            "Cores used by the generator and, with --pid, by the server.",
            lines("cores used", "", Scale::Linear, &cores, shaded),
        ),
    ];
    charts.extend(report.churn.is_some().then_some(reconnects));
    charts
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::sample;

    #[test]
    fn the_page_is_self_contained_and_escaped() {
        let mut report = sample();
        report.connections.failures.insert("<script>".to_owned(), 1);
        let page = html(&report);
        for part in
            ["Ack round trip over time", "Bandwidth", "prefers-color-scheme: dark", "<polyline", "<rect"]
        {
            assert!(page.contains(part), "{part}");
        }
        for outside in ["http://", "https://", "<script", "src=", "@import"] {
            assert!(!page.contains(outside), "{outside}");
        }
    }

    #[test]
    fn a_run_without_seconds_renders_a_page() {
        let mut report = sample();
        report.timeline.clear();
        report.ack_ranges.clear();
        assert!(html(&report).contains("</html>"));
    }
}
