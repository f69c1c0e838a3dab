//! The environment file to begin with: every setting with its meaning, none of them set.

use std::fmt::Write as _;

use pixi_game_server::config::SETTINGS;

/// Each setting as a comment, so that its default holds until somebody takes the sign away.
pub fn commented() -> String {
    let mut text =
        "# Settings of pixi-game-server, one NAME=value a line. What is a comment has its default.\n\
                    # `systemctl reload pixi-game-server` takes over what can change while it runs.\n"
            .to_owned();
    for setting in SETTINGS {
        let at = if setting.is_live { "" } else { " (takes a restart)" };
        let (help, allowed) = (setting.help, setting.allowed);
        let _ = write!(text, "\n# {help}: {allowed}{at}\n#{}={}\n", setting.variable, setting.default);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_sets_nothing_and_names_everything() {
        let text = commented();
        assert!(text.lines().all(|line| line.is_empty() || line.starts_with('#')), "{text}");
        let named = text.lines().filter(|line| line.starts_with('#') && !line.starts_with("# ")).count();
        assert_eq!(named, SETTINGS.len());
    }
}
