//! The initial environment file: every setting with its meaning, commented out.

use std::fmt::Write as _;

use pixi_game_server::config::SETTINGS;

/// Renders each setting as a comment, so that its default applies until it is uncommented.
pub fn commented() -> String {
    let mut text =
        "# Settings of pixi-game-server, one NAME=value per line. A commented setting has its default.\n\
                    # `systemctl reload pixi-game-server` applies changes, except those marked (needs a restart).\n"
            .to_owned();
    for setting in SETTINGS {
        let at = if setting.is_live { "" } else { " (needs a restart)" };
        let (help, allowed) = (setting.help, setting.allowed);
        let _ = write!(text, "\n# {help}: {allowed}{at}\n#{}={}\n", setting.variable, setting.default);
    }
    text
}
