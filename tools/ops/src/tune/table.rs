//! The table of settings.

use std::fmt::Write as _;

use pixi_game_server::ops::kernel_limits::KernelSetting;

/// Renders each setting with its value, recommended value and description, then the commands for the insufficient ones.
pub fn show(settings: &[KernelSetting], players: u64) -> String {
    let width =
        |of: fn(&KernelSetting) -> usize, least: usize| settings.iter().map(of).fold(least, usize::max);
    let names = width(|setting| setting.name.len(), "setting".len());
    let values = width(|setting| setting.value.len(), "value".len());
    let recommended = width(|setting| setting.recommended.len(), "recommended".len());
    let mut text = format!("For {players} players:\n\n");
    let mut line = |mark: &str, cells: [&str; 4]| {
        let [name, value, minimum, description] = cells;
        let _ = writeln!(
            text,
            "{mark:<4} {name:<names$}  {value:<values$}  {minimum:<recommended$}  {description}"
        );
    };
    line("", ["setting", "value", "recommended", "meaning"]);
    for setting in settings {
        line(mark(setting), [setting.name, &setting.value, &setting.recommended, setting.description]);
    }
    let insufficient: Vec<&KernelSetting> =
        settings.iter().filter(|setting| !setting.is_sufficient).collect();
    if insufficient.is_empty() {
        return text + "\nEvery setting is sufficient.\n";
    }
    text += "\nTo change them, run as root (--apply runs these; --print-sysctl prints a file that survives a reboot):\n\n";
    for setting in insufficient {
        let _ = writeln!(text, "  {}", setting.command());
    }
    text
}

fn mark(setting: &KernelSetting) -> &'static str {
    match (setting.is_sufficient, setting.is_critical) {
        (true, _) => "ok",
        (false, false) => "low",
        (false, true) => "BAD",
    }
}
