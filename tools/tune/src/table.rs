//! The findings as a table for people.

use std::fmt::Write as _;

use pixi_game_server::ops::kernel_limits::Finding;

/// Each setting with its value, the one wanted, and why; below them the commands for those that are to change.
pub fn show(findings: &[Finding], players: u32) -> String {
    let width = |of: fn(&Finding) -> usize, least: usize| findings.iter().map(of).fold(least, usize::max);
    let names = width(|finding| finding.name.len(), "setting".len());
    let values = width(|finding| finding.value.len(), "value".len());
    let wanted = width(|finding| finding.wanted.len(), "wanted".len());
    let mut text = format!("For {players} players:\n\n");
    let mut line = |mark: &str, cells: [&str; 4]| {
        let [name, value, want, why] = cells;
        let _ = writeln!(text, "{mark:<4} {name:<names$}  {value:<values$}  {want:<wanted$}  {why}");
    };
    line("", ["setting", "value", "wanted", "why"]);
    for finding in findings {
        line(mark(finding), [finding.name, &finding.value, &finding.wanted, finding.why]);
    }
    let missing: Vec<&Finding> = findings.iter().filter(|finding| !finding.is_met).collect();
    if missing.is_empty() {
        return text + "\nAll is as wanted.\n";
    }
    text += "\nTo change it, as root (--apply does it, --print-sysctl makes a file that lasts):\n\n";
    for finding in missing {
        let _ = writeln!(text, "  {}", finding.command());
    }
    text
}

fn mark(finding: &Finding) -> &'static str {
    match (finding.is_met, finding.bites) {
        (true, _) => "ok",
        (false, false) => "low",
        (false, true) => "BAD",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(value: &str, wanted: &str, bites: bool) -> Finding {
        Finding {
            name: "net.core.somaxconn",
            value: value.to_owned(),
            wanted: wanted.to_owned(),
            is_met: value == wanted,
            bites,
            why: "the queue",
        }
    }

    #[test]
    fn columns_line_up_and_commands_follow_for_what_is_to_change() {
        let text = show(&[finding("128", "4096", true), finding("8192", "8192", false)], 12_000);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[2], "     setting             value  wanted  why");
        assert_eq!(lines[3], "BAD  net.core.somaxconn  128    4096    the queue");
        assert_eq!(lines[4], "ok   net.core.somaxconn  8192   8192    the queue");
        assert_eq!(lines.last(), Some(&"  sysctl -w net.core.somaxconn=4096"));
        assert!(show(&[finding("1", "1", false)], 1).ends_with("All is as wanted.\n"));
    }
}
